"""What the standalone server is made of: job types named by the settings, urls, private files."""

import asyncio
import contextlib
import json
import os
import resource
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
from aiohttp import web

from cidx_jobs.cli.actions.serve import choose_loop, serve_until_stopped
from cidx_jobs.model.errors import SettingsError
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.web.addresses import bind_socket, listening_at
from cidx_jobs.web.server import (
    bound_connections,
    listening,
    load_job_types,
    open_place,
    raise_file_limit,
    saying_starting,
)
from cidx_jobs.web.server_files import ensure_admin_token, remove_server_file, write_server_file
from tests.fakes import FakeClock
from tests.functional.slow_jobs import TYPES

MODULE = "tests.functional.slow_jobs"


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give a folder whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_job_types_are_found_by_module_and_name() -> None:
    """A list of them, or one; none where nothing is named."""
    assert load_job_types(f"{MODULE}:TYPES") == TYPES
    assert load_job_types(f"{MODULE}:ONE_TYPE") == TYPES[:1]
    assert load_job_types(None) == []


@pytest.mark.parametrize(
    "place",
    [
        "no.such.module:TYPES",
        f"{MODULE}:NOTHING",
        f"{MODULE}:NO_TYPES",
        f"{MODULE}:linger",
        MODULE,
        "",
        ":TYPES",
        ".relative:TYPES",
        "tests.functional.failing_jobs:TYPES",
    ],
)
def test_what_names_no_job_types_is_a_wrong_setting(place: str) -> None:
    """One clear line that names the setting."""
    with pytest.raises(SettingsError, match="handlers"):
        load_job_types(place)


def test_the_working_directory_takes_no_installed_modules_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Job types are found in it, but only where nothing that is installed has the name."""
    (tmp_path / "jobs_at_hand.py").write_text("TYPES = []\n", "utf-8")
    places: list[str] = []

    async def note(settings: Settings) -> None:
        load_job_types(settings.handlers)
        places.extend(sys.path)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.setattr("cidx_jobs.cli.actions.serve.setup_logging", lambda *_: None)
    monkeypatch.setattr("cidx_jobs.cli.actions.serve.run_server", note)

    serve_until_stopped(None, data_dir=tmp_path / "data", handlers="jobs_at_hand:TYPES")

    assert places[-1] == str(tmp_path)
    assert places.count(str(tmp_path)) == 1


def test_what_handlers_leave_behind_does_not_hold_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that ignores its cancellation gets a moment; then the process ends, with code 0."""
    codes: list[int] = []
    left: list[asyncio.Task[None]] = []

    async def ignore_cancellation() -> None:
        for _ in range(2_000):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.002)
            if codes:
                return

    async def serve(_: Settings) -> None:
        left.append(asyncio.create_task(ignore_cancellation()))
        await asyncio.sleep(0)

    monkeypatch.setattr("cidx_jobs.cli.actions.serve.setup_logging", lambda *_: None)
    monkeypatch.setattr("cidx_jobs.cli.actions.serve.run_server", serve)
    monkeypatch.setattr("cidx_jobs.cli.actions.serve.CLOSING_SECONDS", 0.01)
    monkeypatch.setattr("cidx_jobs.cli.actions.serve.os._exit", codes.append)

    serve_until_stopped(None, data_dir=tmp_path / "data")

    assert codes == [0]


async def test_a_socket_on_which_a_server_listens_is_left_to_it(short_path: Path) -> None:
    """A second one there is refused, and takes neither the socket nor the file away."""
    place = short_path / "s"
    app = web.Application()
    async with listening(app, host="", port=0, unix_socket=place):
        with pytest.raises(OSError, match="in use"):
            async with listening(web.Application(), host="", port=0, unix_socket=place):
                pass
        _, writer = await asyncio.open_unix_connection(str(place))
        writer.close()
        await writer.wait_closed()

    assert not place.exists()


async def _say_here(_: web.Request) -> web.Response:
    return web.Response(text="here")


async def test_a_start_that_takes_long_is_told() -> None:
    """The server is alive, not ready, and takes nothing yet; then it answers at the same place."""
    app = web.Application()
    app.router.add_get("/readyz", _say_here)
    async with listening_at("127.0.0.1", 0) as listeners, aiohttp.ClientSession() as http:
        async with saying_starting(listeners.sockets, after=0):
            async with http.get(f"{listeners.url}/livez") as alive:
                assert (alive.status, await alive.json()) == (200, {"status": "alive"})
            async with http.get(f"{listeners.url}/readyz") as waiting:
                problem = await waiting.json()
            async with http.post(f"{listeners.url}/api/jobs", json={}) as submit:
                pass

        async with (
            open_place(app, listeners),
            http.get(f"{listeners.url}/readyz") as ready,
        ):
            text = await ready.text()

    assert (waiting.status, problem["code"], problem["reasons"]) == (
        503,
        "not_ready",
        ["starting"],
    )
    assert (submit.status, submit.headers["Retry-After"]) == (503, "2")
    assert text == "here"


async def test_who_connects_while_a_server_starts_is_answered_by_it() -> None:
    """A short start is not seen: the request waits for its end."""
    app = web.Application()
    app.router.add_get("/", _say_here)
    async with listening_at("127.0.0.1", 0) as listeners, aiohttp.ClientSession() as http:
        early = asyncio.create_task(http.get(listeners.url))
        async with saying_starting(listeners.sockets):
            reader, writer = await asyncio.open_connection(*listeners.sockets[0].getsockname())
            writer.write(b"GET / HTTP/1.0\r\n\r\n")

        async with open_place(app, listeners):
            answer = await early
            raw = await reader.read()
            writer.close()

    assert answer.status == 200
    assert raw.endswith(b"here")


async def test_a_file_in_the_sockets_place_is_kept(short_path: Path) -> None:
    """What is no socket is nobody's to take away; a socket that a killed server left is."""
    file, left = short_path / "f", short_path / "s"
    file.write_text("mine", "utf-8")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(left))

    with pytest.raises(OSError, match="in use"):
        async with listening(web.Application(), host="", port=0, unix_socket=file):
            pass
    async with listening(web.Application(), host="", port=0, unix_socket=left) as url:
        _, writer = await asyncio.open_unix_connection(str(left))
        writer.close()
        await writer.wait_closed()

    assert file.read_text("utf-8") == "mine"
    assert url == f"unix:{left}"


async def test_the_admin_token_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    """A second start leaves it; the file can be read by nobody else."""
    directory, store, clock = DataDirectory(tmp_path), MemoryPersistence(), FakeClock()
    await store.open()

    for _ in range(2):
        await ensure_admin_token(directory, store.tokens, clock)

    (token,) = await store.tokens.list_tokens()
    assert (token.user_id, token.scope) == ("admin", "admin")
    assert stat.S_IMODE(directory.admin_token.stat().st_mode) == 0o600
    text = directory.admin_token.read_text(encoding="utf-8")
    assert text.startswith("cidxj_")
    assert text.endswith("\n")


async def test_the_server_file_is_replaced_whole(tmp_path: Path) -> None:
    """Who reads it sees the old one or the new one; the draft of a crash is no bar."""
    directory = DataDirectory(tmp_path)
    draft = directory.server_file.with_name(f"server.json.{os.getpid()}")
    await write_server_file(directory, "http://127.0.0.1:1")
    draft.touch()

    await write_server_file(directory, "http://127.0.0.1:2")
    told = json.loads(directory.server_file.read_text(encoding="utf-8"))
    await remove_server_file(directory)

    assert told == {"url": "http://127.0.0.1:2", "pid": os.getpid()}
    assert not directory.server_file.exists()
    assert not draft.exists()


@pytest.mark.parametrize(
    ("soft", "wanted", "given"),
    [(1_024, 12_000, 704), (1_024, 100, 100), (64, 12_000, 16), (resource.RLIM_INFINITY, 9, 9)],
)
def test_connections_leave_room_for_files(
    monkeypatch: pytest.MonkeyPatch, soft: int, wanted: int, given: int
) -> None:
    """A server that is out of descriptors could not write its database."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))

    assert bound_connections(wanted) == given


@pytest.mark.parametrize(
    ("limits", "changed"),
    [
        ((1_024, 4_096), [(4_096, 4_096)]),
        ((1_024, 50_000), [(12_320, 50_000)]),
        ((20_000, 50_000), []),
        ((1_024, resource.RLIM_INFINITY), [(12_320, resource.RLIM_INFINITY)]),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), []),
    ],
)
def test_the_limit_of_files_is_raised_as_far_as_is_needed(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], changed: list[tuple[int, int]]
) -> None:
    """Never lowered, and never beyond what the system lets."""
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: calls.append(both))

    raise_file_limit(12_000)

    assert calls == changed


def test_the_server_takes_the_quicker_loop_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the extra ``speed`` uvloop's, else asyncio's own."""
    installed = ModuleType("uvloop")
    installed.new_event_loop = asyncio.new_event_loop  # type: ignore[attr-defined] # as it has it

    monkeypatch.setitem(sys.modules, "uvloop", installed)
    with_speed = choose_loop()
    monkeypatch.setitem(sys.modules, "uvloop", None)
    without = choose_loop()

    assert with_speed is asyncio.new_event_loop
    assert without is None


def test_a_socket_is_its_owners_from_its_first_moment(short_path: Path) -> None:
    """Whatever the umask: who connects before a mode is set afterwards would stay."""
    path = short_path / "s"
    before = os.umask(0)
    try:
        with bind_socket(path):
            mode, during = stat.S_IMODE(path.stat().st_mode), os.umask(0)
    finally:
        os.umask(before)

    assert mode == 0o600
    assert during == 0
