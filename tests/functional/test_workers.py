"""Real servers with several workers on one directory: gunicorn, uvicorn, and its reload."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
START_SECONDS = 40.0
STOP_SECONDS = 20.0

GUNICORN_AIOHTTP = (
    *("gunicorn", "workers_app:make_aiohttp_app", "--workers", "2"),
    *("--worker-class", "aiohttp.GunicornWebWorker", "--bind", "127.0.0.1:{port}"),
)
UVICORN = (
    *("uvicorn", "--factory", "workers_app:make_asgi_app", "--port", "{port}"),
    *("--log-level", "warning"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Server:
    """A server of the example, as a process."""

    def __init__(self, command: tuple[str, ...], data_dir: Path, folder: Path) -> None:
        """Start it on a free port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        path = f"{folder}{os.pathsep}{EXAMPLES.parent}"
        self.env = {**os.environ, "DATA_DIR": str(data_dir), "PYTHONPATH": path}
        words = [word.format(port=port) for word in command]
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, env=self.env, start_new_session=True
        )
        until(lambda: self.ask("/process"), START_SECONDS)

    def ask(self, path: str, body: Any = None) -> Any:
        """Ask whichever worker takes the connection; give what it answers."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-User": "alice", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
            return json.load(answer)

    def submit(self, **options: Any) -> str:
        """Submit a job; give its path."""
        body = {"job_type": "count", "project_id": "p", "options": options}
        path: str = self.ask("/jobs/api/jobs", body)["links"]["self"]
        return path

    def wait(self, path: str) -> dict[str, Any]:
        """Give the job once it is done."""
        until(lambda: self.ask(f"{path}?wait=20&until=done")["done"], 60.0)
        job: dict[str, Any] = self.ask(path)
        return job

    def stop(self) -> int:
        """Stop it as an operator does; give its exit code."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it and all its workers at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def until(holds: Any, seconds: float) -> None:
    """Ask again and again until it holds; an answer that does not come is none."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, urllib.error.URLError):
            if holds():
                return
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Give what starts a server; it is gone after the test."""
    with contextlib.ExitStack() as stack:

        def start_server(command: tuple[str, ...], folder: Path = EXAMPLES) -> Server:
            server = Server(command, tmp_path / "data", folder)
            stack.callback(server.kill)
            return server

        yield start_server


@pytest.mark.parametrize(
    "command", [GUNICORN_AIOHTTP, (*UVICORN, "--workers", "2")], ids=["gunicorn", "uvicorn"]
)
def test_every_worker_serves_every_job(start: Any, command: tuple[str, ...]) -> None:
    """All jobs run in one worker; when that one is killed another goes on, for all of them."""
    server = start(command)
    first = server.ask("/process")
    until(lambda: server.ask("/process") != first, 30.0)
    done = [server.wait(path) for path in [server.submit() for _ in range(8)]]
    (owner,) = {job["result"]["process"] for job in done}
    path = server.submit(upto=40, pause_seconds=0.05)
    until(lambda: server.ask(path)["progress"] > 10, 20.0)
    os.kill(owner, signal.SIGKILL)
    after = server.wait(path)
    script = subprocess.run(
        [sys.executable, str(EXAMPLES / "workers_app.py")],
        env=server.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    code = server.stop()

    assert {job["status"] for job in (*done, after)} == {"completed"}
    assert after["result"]["process"] != owner
    assert after["result"]["begun_at"] > 0
    assert "completed {'counted': 3" in script.stdout, script.stderr
    assert code == 0


def test_a_reload_hands_the_jobs_over(start: Any, tmp_path: Path) -> None:
    """The worker that a change replaces lets go; its job goes on in the new one."""
    folder = tmp_path / "app"
    folder.mkdir()
    module = Path(shutil.copy(EXAMPLES / "workers_app.py", folder))
    server = start((*UVICORN, "--reload", "--reload-dir", str(folder)), folder)
    before = server.ask("/process")
    path = server.submit(upto=60, pause_seconds=0.05)
    until(lambda: server.ask(path)["progress"] > 10, 20.0)
    module.write_text(module.read_text("utf-8") + "\n# changed\n", "utf-8")
    until(lambda: server.ask("/process") != before, 30.0)
    job = server.wait(path)
    code = server.stop()

    assert (job["status"], job["attempt"]) == ("completed", 1)
    assert job["result"]["process"] != before
    assert job["result"]["begun_at"] > 0
    assert [run["outcome"] for run in job["attempts"]] == ["interrupted", "completed"]
    assert code == 0
