"""The standalone server as a process: start, signals, stop, and what it leaves behind."""

import asyncio
import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from tests.functional.web import eventually

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 20.0

pytestmark = pytest.mark.slow


@attrs.define
class Server:
    """A server process, and how to ask it."""

    process: asyncio.subprocess.Process
    data_dir: Path
    lines: list[dict[str, Any]]
    http: aiohttp.ClientSession
    url: str

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Give the status and the document of an answer."""
        async with self.http.request(method, self.url + path, **more) as answer:
            return answer.status, await answer.json()

    async def until_logged(self, event: str) -> dict[str, Any]:
        """Read the log up to an event."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (found := [line for line in self.lines if line["event"] == event]):
                assert self.process.stderr is not None
                raw = await self.process.stderr.readline()
                assert raw, f"the server ended without {event}: {self.lines}"
                self.lines.append(json.loads(raw))
        return found[0]

    async def submit_lingering(self) -> str:
        """Submit a job that runs until it is ended, and wait until it runs."""
        body = {"job_type": "linger", "project_id": "p"}
        _, job = await self.ask("POST", "/api/jobs", json=body)
        job_id: str = job["job_id"]
        await self.until_running(job_id)
        return job_id

    async def until_running(self, job_id: str) -> dict[str, Any]:
        """Wait until the job runs; give it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, job = await self.ask("GET", f"/api/jobs/{job_id}")
            while job["status"] != "running":
                path = f"/api/jobs/{job_id}?wait=20&since={job['version']}"
                _, job = await self.ask("GET", path)
        document: dict[str, Any] = job
        return document

    async def ended(self) -> int:
        """Wait for the end; give the exit code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, rest = await self.process.communicate()
        self.lines += [json.loads(line) for line in rest.splitlines()]
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def server(
    data_dir: Path, prefix: Sequence[str] = (), /, **settings: str
) -> AsyncIterator[Server]:
    """Start a server on a free port, or the one socket; end it in any case."""
    values = {"data_dir": str(data_dir), "port": "0", "log_format": "json"}
    values |= {"handlers": "tests.functional.slow_jobs:TYPES"} | settings
    environ = {f"CIDX_JOBS_{name.upper()}": value for name, value in values.items()}
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", "cidx_jobs", "serve"),
        cwd=ROOT,
        env={**os.environ, **environ},
        stderr=asyncio.subprocess.PIPE,
    )
    path = settings.get("unix_socket")
    connector = aiohttp.UnixConnector(path) if path else None
    try:
        async with aiohttp.ClientSession(connector=connector) as http:
            made = Server(process=process, data_dir=data_dir, lines=[], http=http, url="")
            ready = await made.until_logged("server_ready")
            made.url = "http://localhost" if path else ready["url"]
            yield made
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def mode_of(path: Path) -> int:
    """Give the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_server_says_where_it_is_and_stops_on_sigterm(tmp_path: Path) -> None:
    """server.json and admin.token for local commands; exit code 0; a clean stop takes back."""
    async with server(tmp_path / "data") as running:
        where = json.loads((running.data_dir / "server.json").read_text(encoding="utf-8"))
        token = (running.data_dir / "admin.token").read_text(encoding="utf-8").strip()
        modes = {mode_of(path) for path in running.data_dir.iterdir() if path.is_file()}
        status, _ = await running.ask("GET", "/readyz")

        running.process.send_signal(signal.SIGTERM)
        code = await running.ended()

    assert where == {"url": running.url, "pid": running.process.pid}
    assert (status, code) == (200, 0)
    assert (modes, mode_of(running.data_dir)) == ({0o600}, 0o700)
    assert not (running.data_dir / "server.json").exists()
    assert (running.data_dir / "admin.token").read_text(encoding="utf-8").strip() == token
    assert [line["event"] for line in running.lines][-2:] == ["server_stopping", "server_stopped"]
    (ready,) = (line for line in running.lines if line["event"] == "server_ready")
    assert ready["loop"] == ("uvloop" if importlib.util.find_spec("uvloop") else "asyncio")


async def test_the_admin_token_lets_in_and_is_made_once(tmp_path: Path) -> None:
    """User admin, scope admin; a second start leaves it as it is."""
    tokens = []
    for _ in range(2):
        async with server(tmp_path, auth="tokens") as running:
            tokens.append((tmp_path / "admin.token").read_text(encoding="utf-8").strip())
            headers = {"Authorization": f"Bearer {tokens[-1]}"}
            refused, _ = await running.ask("GET", "/api/admin/tokens")
            status, listed = await running.ask("GET", "/api/admin/tokens", headers=headers)
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0

        assert (refused, status) == (401, 200)
        assert [(one["user_id"], one["scope"]) for one in listed["tokens"]] == [("admin", "admin")]

    assert tokens[0] == tokens[1]


async def test_a_stop_answers_who_waits_and_refuses_what_is_new(tmp_path: Path) -> None:
    """While jobs get their grace: 503 for submits, reads go on, waiters are answered at once."""
    async with server(tmp_path, shutdown_grace_seconds="3") as running:
        job_id = await running.submit_lingering()
        reader = asyncio.create_task(running.ask("GET", f"/api/jobs/{job_id}?wait=55"))
        while (await running.ask("GET", "/api/admin/stats"))[1]["waiters"] == 0:
            assert not reader.done()

        running.process.send_signal(signal.SIGTERM)
        waited = await asyncio.wait_for(reader, 2)
        body = {"job_type": "linger", "project_id": "q"}
        refused = await running.ask("POST", "/api/jobs", json=body)
        read = await running.ask("GET", f"/api/jobs/{job_id}")
        ready = await running.ask("GET", "/readyz")
        code = await running.ended()

    assert (waited[0], waited[1]["status"]) == (200, "running")
    assert (refused[0], refused[1]["code"]) == (503, "stopping")
    assert (read[0], read[1]["status"]) == (200, "running")
    assert (ready[0], ready[1]["reasons"]) == (503, ["stopping"])
    assert code == 0


async def test_what_a_stop_interrupts_is_queued_again(tmp_path: Path) -> None:
    """Its attempt is given back, and it runs after the next start."""
    async with server(tmp_path, shutdown_grace_seconds="0") as running:
        job_id = await running.submit_lingering()
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0

    async with server(tmp_path, shutdown_grace_seconds="0") as running:
        job = await running.until_running(job_id)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0

    assert (job["attempt"], [one["outcome"] for one in job["attempts"]]) == (1, ["interrupted"])


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_hurries(tmp_path: Path, second: signal.Signals) -> None:
    """The grace is cut short, and it still is a clean stop."""
    async with server(tmp_path, shutdown_grace_seconds="600") as running:
        job_id = await running.submit_lingering()
        running.process.send_signal(signal.SIGINT)
        await running.until_logged("server_stopping")

        running.process.send_signal(second)
        code = await running.ended()

    assert code == 0
    assert "stop_hurried" in [line["event"] for line in running.lines]
    async with server(tmp_path) as running:
        _, job = await running.ask("GET", f"/api/jobs/{job_id}")
    assert job["attempts"][0]["outcome"] == "interrupted"


async def test_signals_that_come_together_are_one(tmp_path: Path) -> None:
    """A terminal tells a whole group, and whoever started the server passes its own on."""
    async with server(tmp_path, shutdown_grace_seconds="600") as running:
        await running.submit_lingering()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            running.process.send_signal(number)
        await running.until_logged("server_stopping")
        await asyncio.sleep(0.5)
        waits = running.process.returncode is None

        running.process.send_signal(signal.SIGTERM)
        code = await running.ended()

    assert waits
    assert code == 0
    assert [line["event"] for line in running.lines].count("stop_hurried") == 1


async def test_a_closed_terminal_stops_the_server(tmp_path: Path) -> None:
    """SIGHUP is a SIGTERM: jobs are queued again, and the exit code is 0."""
    async with server(tmp_path, shutdown_grace_seconds="0") as running:
        await running.submit_lingering()
        running.process.send_signal(signal.SIGHUP)
        code = await running.ended()

    assert code == 0
    assert running.lines[-1]["event"] == "server_stopped"


async def test_under_nohup_the_server_goes_on(tmp_path: Path) -> None:
    """A SIGHUP that is ignored when the server starts stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        async with server(tmp_path) as running:
            running.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.5)
            status, _ = await running.ask("GET", "/readyz")
            running.process.terminate()
            code = await running.ended()
    finally:
        signal.signal(signal.SIGHUP, before)

    assert (status, code) == (200, 0)


async def test_a_stop_that_is_cut_short_blames_no_job(tmp_path: Path) -> None:
    """`docker stop` sends KILL after ten seconds: no unclean end, however often it happens."""
    values = {"poison_after": "1", "shutdown_grace_seconds": "600"}
    async with server(tmp_path, **values) as running:
        job_id = await running.submit_lingering()
        await stop_impatiently(running)
    async with server(tmp_path, **values) as running:
        await running.until_running(job_id)
        await stop_impatiently(running)
    async with server(tmp_path, **values) as running:
        job = await running.until_running(job_id)

    assert [one["outcome"] for one in job["attempts"]] == ["interrupted"] * 2


async def stop_impatiently(running: Server) -> None:
    """Tell the server to stop, and kill it in its grace time."""
    running.process.terminate()
    await running.until_logged("server_stopping")
    await asyncio.sleep(0.5)
    running.process.kill()
    assert await running.ended() == -signal.SIGKILL


@pytest.mark.parametrize("where", ["thread", "pool", "process", "loop"])
async def test_what_hangs_does_not_hold_the_exit(tmp_path: Path, where: str) -> None:
    """The process ends within the grace time and ten seconds, and says where it hung."""
    values = {"handlers": "tests.functional.forking_jobs:TYPES", "shutdown_grace_seconds": "0"}
    async with server(tmp_path, **values) as running:
        body = {"job_type": "hang", "project_id": "p", "options": {"where": where}}
        _, job = await running.ask("POST", "/api/jobs", json=body)
        await running.ask("GET", f"/api/jobs/{job['job_id']}?wait=1")
        began = asyncio.get_running_loop().time()
        running.process.terminate()
        await running.until_logged("end_not_awaited")
        # (A process that was left behind holds the log's pipe.)
        await eventually(lambda: running.process.returncode is not None)
        seconds = asyncio.get_running_loop().time() - began
        # For the same reason its end of the pipe never comes: nobody else would close it.
        getattr(running.process, "_transport").close()  # noqa: B009 - no public name for it
        await asyncio.sleep(0)

    (line,) = [line for line in running.lines if line["event"] == "end_not_awaited"]
    assert running.process.returncode == 0
    assert seconds < 10
    if where in {"thread", "pool"}:
        assert any("the-hanging-one" in thread for thread in line["at_work"])
    else:
        assert line["at_work"]


@pytest.fixture
def namespace() -> tuple[str, ...]:
    """Give the command that makes what it starts the first process of a namespace."""
    command = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may make no process namespace")
    return command


async def test_as_first_process_of_a_container_it_leaves_no_zombies(
    tmp_path: Path, namespace: tuple[str, ...]
) -> None:
    """What jobs' children leave behind is reaped; signals and the exit code are passed on."""
    values = {"handlers": "tests.functional.forking_jobs:TYPES", "shutdown_grace_seconds": "0"}
    async with server(tmp_path, namespace, **values) as running:
        body = {"job_type": "leave_a_grandchild", "project_id": "p"}
        for _ in range(5):
            _, job = await running.ask("POST", "/api/jobs", json=body)
            _, job = await running.ask("GET", f"/api/jobs/{job['job_id']}?wait=20")
            assert job["status"] == "completed"
        (first,) = children_of(running.process.pid)
        await eventually(lambda: len(children_of(first)) == 1)
        os.kill(first, signal.SIGTERM)
        code = await running.ended()

    assert code == 0
    assert running.lines[-1]["event"] == "server_stopped"


def children_of(pid: int) -> list[int]:
    """List the children of a process, those that have ended and wait to be reaped too."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    """Submits and health are answered, SIGTERM stops it, and lost lines are counted."""
    values = {"handlers": "tests.functional.forking_jobs:TYPES", "shutdown_grace_seconds": "0"}
    async with server(tmp_path, **values) as running:
        # Twice what the pipe and the reader's buffer hold.
        _, job = await running.ask(
            "POST", "/api/jobs", json={"job_type": "log_much", "project_id": "p"}
        )
        _, job = await running.ask("GET", f"/api/jobs/{job['job_id']}?wait=20")
        status, _ = await running.ask("GET", "/livez")
        running.process.terminate()
        await eventually(lambda: running.process.returncode is not None)
        # The last line may be cut where the pipe was full: what was written is not looked at.
        await running.process.communicate()

    assert job["status"] == "completed"
    assert (status, running.process.returncode) == (200, 0)


async def test_a_signal_while_it_starts_stops_it(tmp_path: Path) -> None:
    """Whenever it comes there is no traceback, and nothing is left running."""
    for milliseconds in (0, 100, 200, 300, 400, 600):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "cidx_jobs", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        await asyncio.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, errors = await process.communicate()

        assert b"Traceback" not in errors


async def test_a_unix_socket_is_its_owners(tmp_path: Path) -> None:
    """It is served in place of a port, in a directory that is not there yet, too; then gone."""
    path = tmp_path / "data" / "socket"
    async with server(tmp_path / "data", unix_socket=str(path)) as running:
        mode = mode_of(path)
        status, job = await running.ask(
            "POST", "/api/jobs", json={"job_type": "linger", "project_id": "p", "hold": True}
        )
        where = json.loads((tmp_path / "data" / "server.json").read_text(encoding="utf-8"))
        running.process.send_signal(signal.SIGTERM)
        code = await running.ended()

    assert (status, job["user_id"], mode, code) == (202, "local", 0o600, 0)
    assert where["url"] == f"unix:{path}"
    assert not path.exists()
