"""Serving: as a program of its own, or beside others on a loop that somebody else runs.

Never `web.run_app`: a start that fails with the database open would hang for ever. What is set
up is torn down in ``finally``, in the reverse order.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import resource
import socket
import sys
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    MutableMapping,
    Sequence,
)
from pathlib import Path
from typing import Any

import attrs
from aiohttp import web

from cidx_jobs import __version__
from cidx_jobs.handlers.git.network.operator_files import find_unusable_files
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import SettingsError, StartRefusedError
from cidx_jobs.model.findings import ServerWarning
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.forks import withhold
from cidx_jobs.runtime.last_exit import ending_at_last
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.loops import taking_signals
from cidx_jobs.runtime.shielded import end_tasks
from cidx_jobs.runtime.socket_paths import open_short_path
from cidx_jobs.settings import DataDirectory, Settings, make_private_directory
from cidx_jobs.store.index.program import find_missing_program
from cidx_jobs.store.sqlite.open.migrations import load_migrations
from cidx_jobs.store.sqlite.open.possession import check_possession
from cidx_jobs.system import JobSystem
from cidx_jobs.web.addresses import (
    BACKLOG,
    Listeners,
    bind_socket,
    lies_in_new_directory,
    listening_at,
    still_open,
    url_of_socket,
)
from cidx_jobs.web.app import create_app
from cidx_jobs.web.connections import EXTRA_CONNECTIONS, ProblemRunner
from cidx_jobs.web.handed_sockets import is_local, take_sockets
from cidx_jobs.web.keys import API
from cidx_jobs.web.routes.server.health import make_starting_app
from cidx_jobs.web.server_files import ensure_admin_token, remove_server_file, write_server_file
from cidx_jobs.web.service_manager import ServiceManager

KEEPALIVE_SECONDS = 75.0
"""Longer than the 60 s for which load balancers keep an idle connection to use it again."""
TOGETHER_SECONDS = 0.2
"""Signals that come so soon after the first are the same one: a terminal tells all of a group, and
whoever started the server may pass its own on. Nobody presses a key twice in that time."""
OVERDUE_SECONDS = 8.0
"""So long after the grace time a stop is given up, and the process ends (guarantees.md, G7)."""
SHUTDOWN_SECONDS = 2.0
"""How long open requests may take to end; those that wait are woken before."""
PATIENCE_SECONDS = 2.0
"""So long a client waits for a server that is starting, before it is told (guarantees.md, G5)."""
LAST_REQUESTS_SECONDS = 0.1
"""How long a connection that was taken at the very end has for its request."""
LINGER_SECONDS = 5.0
"""How long the rest of a body that nobody wants is still taken in."""

LEAST_FILES = 64
"""So many files an idle server may have open at a time, with some room."""
MAX_CONNECTIONS = 12_000
"""Those that long-poll are among them (`max_waiters_total`)."""

YOUNG_OBJECTS = 10_000
"""So many new objects, a millisecond's work, before the garbage collector looks at them."""

_FILES_OF_OURS = 256
_FEWEST = 16

_log = get_logger("server")


def _nobody(_: str) -> bool:
    """Tell that an address is no proxy's."""
    return False


async def serve(
    app: web.Application,
    *,
    host: str = "127.0.0.1",
    port: int = 8095,
    unix_socket: Path | None = None,
    max_connections: int = MAX_CONNECTIONS,
    keepalive_seconds: float = KEEPALIVE_SECONDS,
    handle_signals: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve an application until the caller cancels this.

    Args:
        app: as `create_app` builds it, or any other.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        unix_socket: a socket file in place of host and port.
        max_connections: further ones get a 503, or are closed at once.
        keepalive_seconds: a connection that is idle, or has not brought a whole header, is closed
            after this time.
        handle_signals: also end at SIGTERM, SIGINT or SIGHUP; off, since beside others on a loop
            the signals are not ours.
        on_ready: called with the url once connections are taken.

    Raises:
        OSError: it cannot listen there.
        StartRefusedError: the data directory cannot be served.
    """
    stop = asyncio.Event()
    place = listening(
        app,
        host=host,
        port=port,
        unix_socket=unix_socket,
        max_connections=max_connections,
        keepalive_seconds=keepalive_seconds,
    )
    async with place as url:
        with taking_signals(stop.set) if handle_signals else contextlib.nullcontext():
            if on_ready is not None:
                on_ready(url)
            await stop.wait()


async def run_server(settings: Settings, job_types: Iterable[JobType] = ()) -> None:
    """Be the standalone server until SIGTERM, SIGINT or SIGHUP; a second signal hurries.

    New work is refused from the first signal on. Jobs that run get the grace time to end, what
    does not is queued again, and all the while the server still answers who asks. A SIGHUP that
    is ignored, as under nohup, stays so.

    Raises:
        SettingsError: the settings choose what is not there.
        StartRefusedError: the data directory cannot be served.
        OSError: it cannot listen there.
    """
    # What `auth` means where it is left out, only a server of its own may decide.
    settings = attrs.evolve(settings, auth=settings.auth_mode)
    # Before anybody's code is loaded, which might start processes.
    manager = ServiceManager.take_over(os.environ)
    handed = take_allowed_sockets(settings, os.environ)
    jobs = JobSystem(settings, [*job_types, *load_job_types(settings.handlers)])
    stop = _Stop(jobs)
    raise_file_limit(settings.max_connections)
    with taking_signals(stop.ask), contextlib.ExitStack() as start:
        start.callback(gc.enable)
        # To look for garbage among many jobs while they are loaded takes longer than to load them.
        gc.disable()
        app = create_app(jobs)
        async with (
            _taking_address(settings, handed) as listeners,
            _opened(jobs, () if handed else listeners.sockets),
            _looking_for_warnings(jobs) as warnings,
            _announced(jobs, app, listeners) as place,
            manager.beating(),
        ):
            settle_collector()
            start.close()
            _log.info(
                "server_ready",
                url=place.url,
                auth=settings.auth_mode,
                loop=_loop_name(),
                version=__version__,
            )
            unusable = await in_own_thread(find_unusable, settings)
            for warning in (*await warnings, *unusable):
                _log.warning("server_warning", code=warning.code, message=warning.message)
            manager.tell("READY=1", f"STATUS=serving at {place.url}")
            await stop.asked.wait()
            manager.tell("STOPPING=1")
            await asyncio.sleep(TOGETHER_SECONDS)
            _log.info("server_stopping")
            stop.is_under_way = True
            start.enter_context(ending_at_last(settings.shutdown_grace_seconds + OVERDUE_SECONDS))
            await jobs.end_runs()
            await place.stop_listening()
            await jobs.close()
    _log.info("server_stopped")


def find_unusable(settings: Settings) -> Sequence[ServerWarning]:
    """Return what the settings name for syncs and cannot be used; each sync looks anew. Blocks."""
    if not settings.repository_sync:
        return ()
    return [*find_unusable_files(settings), *find_missing_program(settings)]


def take_allowed_sockets(
    settings: Settings, environ: MutableMapping[str, str]
) -> Sequence[socket.socket]:
    """Return the sockets that were handed to this process, as `take_sockets` does.

    Raises:
        SettingsError: they are none, or reach further than the way in allows.
    """
    handed = take_sockets(environ)
    if settings.auth_mode == "none" and not all(map(is_local, handed)):
        message = "auth: none is refused on a socket that others than this machine can reach"
        raise SettingsError(message)
    return handed


@attrs.frozen
class Place:
    """Where an application takes connections."""

    url: str
    """The address under which a client on this machine reaches it."""
    _runner: web.AppRunner

    async def stop_listening(self) -> None:
        """Take no further connection, and answer those that came just now.

        Who connects to a socket that was handed over waits in it for the next server.
        """
        for site in tuple(self._runner.sites):
            await site.stop()
        await asyncio.sleep(LAST_REQUESTS_SECONDS)


@contextlib.asynccontextmanager
async def listening(
    app: web.Application, *, host: str, port: int, unix_socket: Path | None = None, **more: Any
) -> AsyncIterator[str]:
    """Take connections for the application; yield the url. The rest is as in `open_place`.

    Raises:
        OSError: it cannot listen there.
    """
    async with (
        listening_at(host, port, unix_socket) as listeners,
        open_place(app, listeners, **more) as place,
    ):
        yield place.url


@contextlib.asynccontextmanager
async def open_place(
    app: web.Application,
    listeners: Listeners,
    *,
    max_connections: int = MAX_CONNECTIONS,
    keepalive_seconds: float = KEEPALIVE_SECONDS,
    local_socket: Path | None = None,
    proxies: Callable[[str], bool] = _nobody,
) -> AsyncIterator[Place]:
    """Take connections for the application; yield where.

    No more of them than the system's limit of open files leaves room for.

    Args:
        app: what answers.
        listeners: where it does; they are closed at the end.
        max_connections: further ones get a 503, or are closed at once.
        keepalive_seconds: how long a connection may be idle.
        local_socket: a socket file besides, for commands on this machine; one that is there was
            left behind.
        proxies: whether an address is that of a proxy, which may have any number of connections.

    Raises:
        OSError: it cannot listen on *local_socket*.
    """
    runner = _make_runner(app, max_connections, keepalive_seconds, proxies)
    sockets = list(listeners.sockets)
    forget_forks = withhold(lambda: (*still_open(sockets), *_connections(runner)))
    try:
        await runner.setup()
        for listener in listeners.sockets:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
        if local_socket is not None:
            await _listen_locally(runner, local_socket, sockets)
        yield Place(listeners.url, runner)
    finally:
        await runner.cleanup()
        forget_forks()
        if local_socket is not None:
            await in_own_thread(local_socket.unlink, missing_ok=True)


def _make_runner(
    app: web.Application,
    max_connections: int = MAX_CONNECTIONS,
    keepalive_seconds: float = KEEPALIVE_SECONDS,
    proxies: Callable[[str], bool] = _nobody,
) -> web.AppRunner:
    return ProblemRunner(
        app,
        max_connections=bound_connections(max_connections),
        proxies=proxies,
        access_log=None,
        keepalive_timeout=keepalive_seconds,
        shutdown_timeout=SHUTDOWN_SECONDS,
        lingering_time=LINGER_SECONDS,
        # An encoded body is refused, and not unpacked before that is known.
        auto_decompress=False,
    )


def settle_collector() -> None:
    """Let the garbage collector leave alone what is loaded by now, and look less often.

    What is loaded stays: to look through it again and again, some ten milliseconds each time,
    would only hold the loop. And nearly all that a request makes goes without the collector, or
    lives as long as its job: at Python's own 700 new objects it looks every thirty submits or so,
    which takes a tenth of their processor time, and finds nothing.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def check_file_limit() -> None:
    """Check that the process may have so many files open that a server can work at all.

    Raises:
        StartRefusedError: it may not; somewhere in its start a file could not be opened.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < LEAST_FILES:
        message = (
            f"the limit of open files is {hard} (ulimit -n, LimitNOFILE): a server needs "
            f"{LEAST_FILES} at the very least, and one more for each connection"
        )
        raise StartRefusedError(message)


def raise_file_limit(connections: int) -> None:
    """Let the process have so many connections open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + EXTRA_CONNECTIONS + _FILES_OF_OURS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bound_connections(wanted: int) -> int:
    """Return how many connections there may be, so that files can still be opened beside them.

    A server without descriptors could not even write its database.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(_FEWEST, soft - EXTRA_CONNECTIONS - _FILES_OF_OURS))


def load_job_types(place: str | None) -> list[JobType]:
    """Return the job types that ``package.module:NAME`` names; none for None.

    A module that is not installed is looked for in the working directory too.

    Raises:
        SettingsError: there is no such module or name, or it is no list of job types.
    """
    if place is None:
        return []
    module_name, mark, name = place.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        # At the end: a file that lies here must not take an installed module's place.
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module_name), name) if mark else None
    except Exception as error:
        # The code is another's, and fails as it likes.
        message = f"handlers: {place} cannot be loaded: {type(error).__name__}: {error}"
        raise SettingsError(message) from error
    types = [found] if isinstance(found, JobType) else found
    if not isinstance(types, Iterable):
        message = f"handlers: it must be package.module:JOB_TYPES, not {place!r}"
        raise SettingsError(message)
    known = list(types)
    if not all(isinstance(one, JobType) for one in known):
        message = f"handlers: {place} holds something that is no JobType"
        raise SettingsError(message)
    return known


def _loop_name() -> str:
    """Tell whose loop turns: ``asyncio`` or ``uvloop``."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


class _Stop:
    """What signals do: the first asks for the stop, the next ones hurry it."""

    def __init__(self, jobs: JobSystem) -> None:
        """Belong to the server of *jobs*."""
        self.asked = asyncio.Event()
        self.is_under_way = False
        self._jobs = jobs

    def ask(self) -> None:
        """Take a signal."""
        if self.is_under_way:
            _log.warning("stop_hurried")
            self._jobs.hurry()
        self.asked.set()


@contextlib.asynccontextmanager
async def _looking_for_warnings(
    jobs: JobSystem,
) -> AsyncIterator[asyncio.Task[Sequence[ServerWarning]]]:
    """Find out beside the rest of a start what to warn of: git is run for it.

    Whoever first asks for ``/readyz`` waits for the answer, too.
    """
    looking = asyncio.create_task(jobs.find_warnings(), name="warnings")
    try:
        yield looking
    finally:
        await end_tasks([looking])


@contextlib.asynccontextmanager
async def _taking_address(
    settings: Settings, handed: Sequence[socket.socket]
) -> AsyncIterator[Listeners]:
    """Listen where the settings say: before anything stored is touched, for it may be refused."""
    if handed:
        yield Listeners(handed, url_of_socket(handed[0]))
        return
    async with contextlib.AsyncExitStack() as stack:
        place = listening_at(settings.host, settings.port, settings.unix_socket)
        try:
            if await in_own_thread(lies_in_new_directory, settings):
                await in_own_thread(make_private_directory, settings.data_dir)
            listeners = await stack.enter_async_context(place)
        except OSError:
            # Whoever has the address may have the directory as well, and that says more.
            directory = DataDirectory(settings.data_dir)
            await in_own_thread(lambda: check_possession(directory, load_migrations()))
            raise
        yield listeners


@contextlib.asynccontextmanager
async def _opened(jobs: JobSystem, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Have the jobs open, and say on the sockets that they are being opened where it takes long.

    Sockets that were handed over are not told: who connects to those waits over any restart.
    """
    async with contextlib.AsyncExitStack() as stack:
        async with saying_starting(sockets):
            await stack.enter_async_context(jobs)
        yield


@contextlib.asynccontextmanager
async def saying_starting(
    sockets: Sequence[socket.socket], *, after: float = PATIENCE_SECONDS
) -> AsyncIterator[None]:
    """Answer on the sockets that the server is starting, from *after* seconds on to the end.

    Before that nobody is answered: who connects waits, and is answered by the server itself.
    """
    talking = asyncio.create_task(_say_starting(sockets, after), name="starting")
    try:
        yield
    finally:
        await end_tasks([talking])


async def _say_starting(sockets: Sequence[socket.socket], after: float) -> None:
    await asyncio.sleep(after)
    _log.warning("start_takes_long", seconds=after)
    # Copies, which are closed when this ends: the others go on to the server itself.
    copies = [listener.dup() for listener in sockets]
    async with open_place(make_starting_app(), Listeners(copies, "")):
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def _announced(
    jobs: JobSystem, app: web.Application, listeners: Listeners
) -> AsyncIterator[Place]:
    """Take connections, and tell local commands where that is."""
    settings = jobs.settings
    directory = DataDirectory(settings.data_dir)
    await ensure_admin_token(directory, jobs.persistence.tokens, jobs.clock)
    async with open_place(
        app,
        listeners,
        max_connections=settings.max_connections,
        keepalive_seconds=settings.keepalive_seconds,
        local_socket=directory.server_socket,
        proxies=app[API].peers.covers,
    ) as place:
        await write_server_file(directory, place.url)
        try:
            yield place
        finally:
            await remove_server_file(directory)


def _connections(runner: web.AppRunner) -> Iterator[int]:
    """Yield the descriptors of the connections."""
    for connection in () if runner.server is None else runner.server.connections:
        if connection.transport is not None:
            yield connection.transport.get_extra_info("socket").fileno()


@contextlib.asynccontextmanager
async def listening_locally(app: web.Application, path: Path) -> AsyncIterator[None]:
    """Take connections on a socket in the data directory alone, which this process owns.

    Raises:
        OSError: it cannot listen there.
    """
    runner = _make_runner(app)
    sockets: list[socket.socket] = []
    forget_forks = withhold(lambda: (*still_open(sockets), *_connections(runner)))
    try:
        await runner.setup()
        await _listen_locally(runner, path, sockets)
        yield
    finally:
        # Who comes from now on finds nobody, and knows that nothing was asked; those who came
        # just now are still told.
        await in_own_thread(path.unlink, missing_ok=True)
        await asyncio.sleep(LAST_REQUESTS_SECONDS)
        await runner.cleanup()
        forget_forks()


async def _listen_locally(runner: web.AppRunner, path: Path, sockets: list[socket.socket]) -> None:
    """Listen on a socket that no other server can have: this one owns its directory.

    It is added to the sockets.
    """
    await in_own_thread(path.unlink, missing_ok=True)
    name, descriptor = await in_own_thread(open_short_path, path)
    try:
        sockets.append(bind_socket(Path(name)))
        await web.SockSite(runner, sockets[-1], backlog=BACKLOG).start()
    finally:
        if descriptor is not None:
            os.close(descriptor)
