"""The service manager, as systemd is one: told of a server's start, its life and its stop."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cidx_jobs.web.service_manager import ServiceManager
from tests.fakes import WAIT_SECONDS
from tests.functional.test_serve import server


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the socket on which the manager is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


async def next_word(heard: socket.socket) -> str:
    """Return the next datagram."""
    async with asyncio.timeout(WAIT_SECONDS):
        return (await asyncio.get_running_loop().sock_recv(heard, 4096)).decode()


@pytest.mark.slow
async def test_a_server_tells_its_manager_and_no_child_does(
    tmp_path: Path, heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY once it is, WATCHDOG again and again, STOPPING at the first signal."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    words: list[str] = []
    async with server(tmp_path / "data", handlers="tests.functional.told_jobs:TYPES") as running:
        # The first beat may come before it.
        while not words or not words[-1].startswith("READY=1"):
            words.append(await next_word(heard))
        _, job = await running.ask(
            "POST",
            "/api/jobs",
            json={"job_type": "variables", "project_id": "p"},
            headers={"Prefer": "wait=20"},
        )
        beats = [await next_word(heard) for _ in range(3)]
        running.process.send_signal(signal.SIGTERM)
        while words[-1] != "STOPPING=1":
            words.append(await next_word(heard))
        code = await running.ended()

    (ready,) = (word for word in words if word.startswith("READY=1"))
    assert ready == f"READY=1\nSTATUS=serving at {running.url}"
    assert beats == ["WATCHDOG=1"] * 3
    assert job["result"] == {"names": []}
    assert code == 0


async def test_the_beat_goes_on_while_a_thread_of_the_store_is_held(heard: socket.socket) -> None:
    """It is the loop's alone: what waits for a disk holds no beat."""
    manager = ServiceManager(heard.getsockname(), watchdog_seconds=0.02)

    async with manager.beating():
        beats = [await next_word(heard) for _ in range(3)]
    heard.setblocking(False)
    rest = drain(heard)
    await asyncio.sleep(0.03)

    assert {*beats, *rest} == {"WATCHDOG=1"}
    assert drain(heard) == []


def drain(heard: socket.socket) -> list[str]:
    """Return all that was told and not read."""
    found = []
    try:
        while True:
            found.append(heard.recv(4096).decode())
    except BlockingIOError:
        return found


def test_the_variables_are_taken_out_of_the_environment() -> None:
    """A watch over another process is not ours."""
    mine = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    others = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
    nobodys = {"WATCHDOG_USEC": "soon", "HOME": "/"}

    found = [ServiceManager.take_over(variables) for variables in (mine, others, nobodys)]

    assert found == [ServiceManager("/x", 3.0), ServiceManager("@x"), ServiceManager()]
    assert (mine, others, nobodys) == ({}, {}, {"HOME": "/"})


def test_a_name_in_no_file_system_is_told_too() -> None:
    """An address that begins with @ is abstract."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0cidx-jobs-{os.getpid()}")

        ServiceManager(f"@cidx-jobs-{os.getpid()}").tell("READY=1")

        assert listening.recv(100) == b"READY=1"


def test_a_manager_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    """A line of the log tells of it, and the server goes on."""
    ServiceManager(str(tmp_path / "nobody")).tell("READY=1")
    ServiceManager(str(tmp_path / ("x" * 200))).tell("READY=1")
    ServiceManager().tell("READY=1")
