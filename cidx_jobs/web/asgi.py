"""The API as an ASGI application: every route, long-polls and streams too, in any ASGI host.

A request of the host becomes one of aiohttp's, whose connection is the host's: what is read comes
from `receive`, what is written goes to `send`. ASGI tells nobody that the host stops while a
request is open; where the host is uvicorn, its server object behind its signal handler tells.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import attrs
import msgspec
from aiohttp import HttpVersion10, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from cidx_jobs.interfaces.access import Identity
from cidx_jobs.model.errors import StoppingError
from cidx_jobs.runtime.shielded import end_tasks
from cidx_jobs.system import JobSystem
from cidx_jobs.web.app import PREFIX, check_way_in, create_app
from cidx_jobs.web.http.problems import make_problem
from cidx_jobs.web.keys import API

LOOK_SECONDS = 0.25
"""How often it is looked whether the host stops."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_SCOPE: web.RequestKey[Scope] = web.RequestKey("cidx_jobs_scope")
# What the host's server says itself, or has done already.
_NOT_HANDED_ON = frozenset({b"date", b"server", b"transfer-encoding"})
_NOT_TAKEN = frozenset({"expect", "connection", "upgrade", "transfer-encoding"})


class AsgiRequest(msgspec.Struct, frozen=True):
    """What `authenticate` gets of a request."""

    headers: Mapping[str, str]
    """By names in any case."""
    path: str
    """The whole path, as the host has it."""
    scope: Scope
    """The ASGI scope, as the host has it."""


AsgiAuthenticate = Callable[[AsgiRequest], Awaitable[Identity | None]]
"""The host application's own way to tell who makes a request; None is a 401."""


def asgi_app(jobs: JobSystem, *, authenticate: AsgiAuthenticate | None = None) -> AsgiApp:
    """Build an ASGI application with all routes, to be mounted in FastAPI, Starlette or Quart.

    The system is opened in the host's lifespan; until then, and after it, every request is
    answered with 503. Served by itself, with a lifespan of its own, it opens and closes it.

    Args:
        jobs: the system.
        authenticate: who makes a request, in place of the way that the settings choose; None
            from it is a 401.

    Raises:
        SettingsError: neither *authenticate* nor the setting `auth` says who may come in.
    """
    check_way_in(jobs, authenticate)
    return _AsgiApp(jobs, authenticate)


class _AsgiApp:
    """One ASGI application; behind it an aiohttp application for each opening of the system."""

    def __init__(self, jobs: JobSystem, authenticate: AsgiAuthenticate | None) -> None:
        self._jobs = jobs
        self._authenticate = authenticate
        self._served: _Served | None = None
        self._opening = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of the host, or follow its lifespan."""
        match scope["type"]:
            case "http":
                await self._answer(scope, receive, send)
            case "lifespan":
                await self._live(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})
            case _:
                pass

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        served = await self._find_served()
        path = _path_below(scope)
        if served is None:
            await _send_whole(send, make_problem(StoppingError(), path, "-"))
            return
        served.api.root = scope.get("root_path", "").rstrip("/")
        served.api.prefix = served.api.root + PREFIX
        await _Exchange(served, scope, receive, send).run(path)

    async def _find_served(self) -> "_Served | None":
        if not (self._jobs.is_open or self._jobs.is_member):
            return None
        async with self._opening:
            stop_begun = self._jobs.stop_begun
            if self._served is None or self._served.stop_begun is not stop_begun:
                self._served = await _begin(self._jobs, self._identify, stop_begun)
        return self._served

    @property
    def _identify(self) -> Callable[[web.Request], Awaitable[Identity | None]] | None:
        return None if self._authenticate is None else self._find_identity

    async def _find_identity(self, request: web.Request) -> Identity | None:
        scope = request[_SCOPE]
        assert self._authenticate is not None  # noqa: S101 - it is only called where there is one
        return await self._authenticate(AsgiRequest(request.headers, scope["path"], scope))

    async def _live(self, receive: Receive, send: Send) -> None:
        """Be opened and closed by a server that has no other application but this."""
        await receive()
        try:
            await self._jobs.start()
        except BaseException as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._jobs.close()
        await send({"type": "lifespan.shutdown.complete"})


@attrs.define(eq=False)
class _Served:
    """An aiohttp application for as long as the system is open, here or at another process."""

    stop_begun: asyncio.Event
    """That of this opening."""
    _jobs: JobSystem
    _app: web.Application
    _runner: web.AppRunner
    _watch: asyncio.Task[None] | None = None

    @property
    def api(self) -> Any:
        """The parts that the routes share."""
        return self._app[API]

    @property
    def server(self) -> Any:
        """What makes aiohttp's requests, and answers them."""
        return self._runner.server

    def begin(self) -> None:
        """Look after the end of the host and of the system."""
        self._watch = asyncio.create_task(self._watch_end(), name="asgi-watch")

    async def _watch_end(self) -> None:
        while not self.stop_begun.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.stop_begun.wait()
            if _host_stops():
                await self._jobs.begin_stop()
        self.api.waiters.stop()
        await self._runner.cleanup()


async def _begin(
    jobs: JobSystem,
    identify: Callable[[web.Request], Awaitable[Identity | None]] | None,
    stop_begun: asyncio.Event,
) -> _Served:
    app = create_app(jobs, authenticate=identify)
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    served = _Served(stop_begun, jobs, app, runner)
    served.begin()
    return served


def _host_stops() -> bool:
    """Tell whether uvicorn, if that is the host, was told to stop."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True


class _Exchange:
    """One request and its answer, between ASGI's messages and aiohttp's objects."""

    def __init__(self, served: _Served, scope: Scope, receive: Receive, send: Send) -> None:
        self._served = served
        self._scope = scope
        self._receive = receive
        self._send = send
        self._peer = _Peer(asyncio.get_running_loop(), scope)
        self._body = StreamReader(self._peer, 2**16, loop=asyncio.get_running_loop())

    async def run(self, path: str) -> None:
        """Answer the request."""
        reading = asyncio.create_task(self._read(), name="asgi-read")
        try:
            # What came along with the head is there before the route looks.
            await asyncio.wait([reading, self._peer.has_begun], return_when="FIRST_COMPLETED")
            await self._respond(path)
        finally:
            await end_tasks([reading])

    async def _respond(self, path: str) -> None:
        task = asyncio.current_task()
        writer = _Writer(self._send, self._peer)
        message = _raw_message(self._scope, path)
        server = self._served.server
        request: web.Request = server.request_factory(
            message, self._body, self._peer, writer, task
        )
        request[_SCOPE] = self._scope
        try:
            response = await server.request_handler(request)
        except web.HTTPException as error:
            response = error
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()

    async def _read(self) -> None:
        """Take the body in, as fast as it is wanted, then wait for the client to go."""
        is_whole = False
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
            if not is_whole:
                self._body.feed_data(message.get("body", b""))
                is_whole = not message.get("more_body", False)
                if is_whole:
                    self._body.feed_eof()
                self._peer.begin()
                await self._peer.wanted.wait()
        if not is_whole:
            self._body.set_exception(web.RequestPayloadError("the client has gone"))
        self._peer.lose()


class _Peer(BaseProtocol):
    """The other side of a request, as aiohttp knows a connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, scope: Scope) -> None:
        super().__init__(loop)
        self.has_begun: asyncio.Future[None] = loop.create_future()
        self.wanted = asyncio.Event()
        self.wanted.set()
        self.transport = _Transport(self, scope)

    @property
    def peername(self) -> Any:
        """The address of the client."""
        return None if self.transport is None else self.transport.get_extra_info("peername")

    @property
    def sockname(self) -> Any:
        """The address that the client called."""
        return None if self.transport is None else self.transport.get_extra_info("sockname")

    @property
    def ssl_context(self) -> Any:
        """None: what the host does for that is its own."""
        return None

    def begin(self) -> None:
        """Let the request be looked at."""
        if not self.has_begun.done():
            self.has_begun.set_result(None)

    def lose(self) -> None:
        """Know that the client has gone."""
        self.begin()
        self.transport = None

    def pause_reading(self) -> None:
        """Take no more of the body in for now."""
        self._reading_paused = True
        self.wanted.clear()

    def resume_reading(self, *_: Any, **__: Any) -> None:
        """Take more of the body in."""
        self._reading_paused = False
        self.wanted.set()


class _Transport(asyncio.Transport):
    """What aiohttp asks of a connection."""

    def __init__(self, peer: _Peer, scope: Scope) -> None:
        server = scope.get("server")
        client = scope.get("client")
        # A server on a unix socket names its file and no port; nobody else has come that way.
        is_file = server is not None and server[1] is None
        is_secure = scope.get("scheme") == "https"
        super().__init__(
            {
                "peername": None if client is None else tuple(client),
                "sockname": str((server or [""])[0]) if is_file else tuple(server or ("", 0)),
                "sslcontext": True if is_secure else None,
            }
        )
        self._peer = peer

    def is_closing(self) -> bool:
        """Return whether the client has gone."""
        return self._peer.transport is None

    def close(self) -> None:
        """Send nothing more."""
        self._peer.lose()

    def abort(self) -> None:
        """Send nothing more."""
        self._peer.lose()


class _Writer(AbstractStreamWriter):
    """Where aiohttp writes an answer: the host's `send`."""

    def __init__(self, send: Send, peer: _Peer) -> None:
        self._send = send
        self._peer = peer
        self._is_over = False
        self.length = None
        self.output_size = 0
        self.buffer_size = 0

    async def write_headers(self, status_line: str, headers: "CIMultiDict[str]") -> None:
        """Send the head."""
        status = int(status_line.split(" ", 2)[1])
        await self._send(
            {"type": "http.response.start", "status": status, "headers": _pairs(headers)}
        )

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Send a part of the body."""
        await self._send_body(bytes(chunk), more=True)

    async def write_eof(self, chunk: bytes = b"") -> None:
        """Send the last part of the body."""
        if not self._is_over:
            self._is_over = True
            await self._send_body(chunk, more=False)

    async def drain(self) -> None:
        """Return at once: each part is taken when it is sent."""

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """Leave it to the host."""

    def enable_chunking(self) -> None:
        """Leave it to the host."""

    async def _send_body(self, chunk: bytes, *, more: bool) -> None:
        if self._peer.transport is None:
            message = "the client has gone"
            raise ConnectionResetError(message)
        self.output_size += len(chunk)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})


def _raw_message(scope: Scope, path: str) -> RawRequestMessage:
    raw = tuple(
        (name, value) for name, value in scope["headers"] if name.decode() not in _NOT_TAKEN
    )
    headers = CIMultiDict((name.decode(), value.decode("latin-1")) for name, value in raw)
    query = scope.get("query_string", b"").decode("latin-1")
    target = f"{path}?{query}" if query else path
    return RawRequestMessage(
        method=scope["method"],
        path=target,
        # Of the head and the frames of the answer the host takes care.
        version=HttpVersion10,
        headers=CIMultiDictProxy(headers),
        raw_headers=raw,
        should_close=True,
        compression=None,
        upgrade=False,
        chunked=False,
        url=URL(target, encoded=True),
    )


def _path_below(scope: Scope) -> str:
    """Return the path below where the application is mounted, as it came."""
    root = scope.get("root_path", "").rstrip("/")
    raw = scope.get("raw_path")
    path: str = scope["path"] if raw is None else raw.partition(b"?")[0].decode("latin-1")
    if raw is None:
        path = URL.build(path=path).raw_path
    if root and path.startswith(f"{root}/"):
        path = path.removeprefix(root)
    return path or "/"


def _pairs(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return [pair for pair in pairs if pair[0] not in _NOT_HANDED_ON]


async def _send_whole(send: Send, response: web.Response) -> None:
    body = response.body if isinstance(response.body, bytes) else b""
    headers = [*_pairs(response.headers), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
