"""Processes that handlers fork have nothing of the server's: no signal, no lock, no port."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cidx_jobs.runtime.forks import in_forked_children, withhold
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.system import JobSystem
from tests.fakes import WAIT_SECONDS
from tests.functional.forking_jobs import fork_a_sleeper
from tests.functional.test_serve import Server, server
from tests.functional.web import eventually

HANDLERS = "tests.functional.forking_jobs:TYPES"

pytestmark = pytest.mark.slow


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_of_server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Let servers have this loop."""
    name: str = request.param
    if name == "asyncio":
        place = tmp_path / "without"
        place.mkdir()
        (place / "uvloop.py").write_text("raise ImportError", "utf-8")
        monkeypatch.setenv("PYTHONPATH", str(place))
    return name


@pytest.fixture
def free_port() -> str:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextlib.contextmanager
def ended(pid: int) -> Iterator[None]:
    """End the process after the block."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def result_of(running: Server, job_type: str) -> dict[str, int]:
    """Run a job to its end, and give its result."""
    body = {"job_type": job_type, "project_id": "p"}
    _, job = await running.ask("POST", "/api/jobs", json=body)
    _, job = await running.ask("GET", f"/api/jobs/{job['job_id']}?wait=20")
    assert job["status"] == "completed", job
    result: dict[str, int] = job["result"]
    return result


async def test_a_fork_that_is_ended_stops_nobody_else(tmp_path: Path, loop_of_server: str) -> None:
    """TERM ends the child by the signal, and the server does not hear of it."""
    async with server(tmp_path / "data", handlers=HANDLERS) as running:
        ready = await running.until_logged("server_ready")

        result = await result_of(running, "end_a_fork")
        status, _ = await running.ask("GET", "/readyz")

    assert ready["loop"] == loop_of_server
    assert result == {"exitcode": -signal.SIGTERM}
    assert status == 200
    assert "server_stopping" not in [line["event"] for line in running.lines]


async def test_a_fork_that_comes_back_takes_nothing_of_the_servers(
    tmp_path: Path, loop_of_server: str
) -> None:
    """It would turn the server's loop a second time, and take its events: it ends there."""
    async with server(tmp_path / "data", handlers=HANDLERS) as running:
        result = await result_of(running, "come_back_forked")
        status, _ = await running.ask("GET", "/readyz")

    assert result == {"exitcode": os.EX_SOFTWARE}
    assert status == 200
    assert loop_of_server


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_fork_that_stays_keeps_no_start_back(
    tmp_path: Path, loop_of_server: str, free_port: str, number: signal.Signals
) -> None:
    """Neither the directory nor the port is taken by it, however the server has ended."""
    values = {"handlers": HANDLERS, "port": free_port}
    async with server(tmp_path / "data", **values) as running:
        left = (await result_of(running, "leave_a_fork"))["pid"]
        with ended(left):
            running.process.send_signal(number)
            # Not `wait`, which also waits for whoever else has the log's pipe.
            await eventually(lambda: running.process.returncode is not None)

            async with server(tmp_path / "data", **values) as again:
                status, _ = await again.ask("GET", "/readyz")
                if number == signal.SIGKILL:
                    # (At a clean end multiprocessing ends what it has started.)
                    os.kill(left, 0)
        # The fork had the log's pipe, as it should.
        await running.ended()

    assert status == 200
    assert loop_of_server


async def test_a_fork_that_stays_keeps_no_connection_open(
    tmp_path: Path, loop_of_server: str
) -> None:
    """Who waits for an answer of a server that was killed is told so at once."""
    async with server(tmp_path / "data", handlers=HANDLERS) as running:
        port = int(running.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")

        with ended((await result_of(running, "leave_a_fork"))["pid"]):
            running.process.kill()
            async with asyncio.timeout(WAIT_SECONDS):
                with contextlib.suppress(ConnectionError):
                    await reader.read()

        writer.close()
        await running.ended()
    assert loop_of_server


async def test_a_system_in_a_program_is_not_shared_with_its_forks(tmp_path: Path) -> None:
    """Another process takes the directory over though a fork of its last owner lives."""
    async with JobSystem.open(Settings(data_dir=tmp_path / "data")):
        sleeper = fork_a_sleeper()
        await asyncio.sleep(0.2)
        lock = DataDirectory(tmp_path / "data").owner_lock
        shared = open_files_of(sleeper.pid) & {str(lock)}
        handler = signal.getsignal(signal.SIGTERM)
        sleeper.terminate()
        await asyncio.to_thread(sleeper.join)

    assert shared == set()
    assert sleeper.exitcode == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is handler


def open_files_of(pid: int | None) -> set[str]:
    """Give the paths of the files that a process has open."""
    return {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}


def test_a_withheld_descriptor_is_nothing_in_a_fork(tmp_path: Path) -> None:
    """Its number stays taken, by /dev/null; the parent's lock and file stay as they are."""
    file = tmp_path / "lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    place = Path(f"/proc/self/fd/{descriptor}")
    forget = withhold(lambda: [descriptor])

    first = in_a_fork(lambda: place.readlink() == Path("/dev/null"))
    with file.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    forget()
    second = in_a_fork(lambda: place.readlink() == file)

    os.close(descriptor)
    assert (first, second) == (True, True)


def test_one_that_fails_keeps_no_other_from_its_part() -> None:
    """A fork goes on whatever is wrong with a part of ours."""
    told: list[int] = []

    def fail() -> None:
        raise OSError

    forget = [in_forked_children(fail), in_forked_children(lambda: told.append(1))]

    assert in_a_fork(lambda: told == [1])
    for each in forget:
        each()
    assert told == []


def in_a_fork(check: Callable[[], bool]) -> bool:
    """Tell whether *check* holds in a process that is a fork of this one."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return status == 0
