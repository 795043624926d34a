"""aiohttp's server with our answers where aiohttp would give its own, and with bounded room.

A request that cannot even be parsed never reaches a route; aiohttp answers it in plain text and
logs a traceback. `web.Server` makes one `RequestHandler` a connection, whose `handle_error` is
what answers then; a test pins this.

Connections beyond the most there may be take nothing from those that are served: a few of them
are told so (or are told of the server's health, if that is what they ask for), all others are
closed at once.
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from yarl import URL

from cidx_jobs.model.errors import CidxJobsError, RequestError
from cidx_jobs.web.errors import TooManyConnectionsError
from cidx_jobs.web.http.problems import make_problem

EXTRA_CONNECTIONS = 64
"""So many connections beyond the most are answered, each once."""
EXTRA_SECONDS = 3.0
"""How long such a one may take to bring its request."""

_TOLD_SECONDS = 60.0
_HEALTH = ("/livez", "/readyz")
_CLIENT_ERRORS = range(400, 500)
_ROOT = URL("/")

_log = structlog.get_logger("cidx_jobs.web")
_numbers = itertools.count(1)


class ProblemHandler(RequestHandler):
    """One connection, whose errors are problem documents and close it."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, if there is room for it."""
        server = cast("ProblemServer", self._manager)
        if server.is_closed_to_all:
            self._manager = None
            cast("asyncio.Transport", transport).abort()
            return
        if server.is_full:
            server.tell_full()
            self._keepalive_timeout = EXTRA_SECONDS
            self._request_handler = server.answer_extra
        server.count += 1
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give its place back."""
        if self._manager is not None:
            cast("ProblemServer", self._manager).count -= 1
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what never reached a route, or failed outside of all of them."""
        request_id = f"connection-{next(_numbers):x}"
        if request.writer.output_size > 0 or isinstance(exc, ConnectionError):
            # Half an answer has gone out, or nobody is there to take one: all that is left is
            # to break off.
            raise ConnectionError(message) from exc
        error: CidxJobsError = RequestError("this is no HTTP request that can be understood")
        if status in _CLIENT_ERRORS:
            _log.debug("request_not_understood", request_id=request_id, peer=request.remote)
        else:
            _log.error("connection_failed", request_id=request_id, exc_info=exc)
            error = CidxJobsError("")
        answer = make_problem(error, "", request_id)
        answer.force_close()
        return answer


class ProblemServer(web.Server):
    """Makes the connections, and knows how many there are."""

    def __init__(self, handler: Any, *, max_connections: int, **more: Any) -> None:
        """Serve with *handler*, over so many connections at a time."""
        super().__init__(handler, **more)
        self.count = 0
        self._most = max_connections
        self._told_at: float | None = None

    @property
    def is_full(self) -> bool:
        """True when a further connection is one too many."""
        return self.count >= self._most

    @property
    def is_closed_to_all(self) -> bool:
        """True when a further one is not even told so."""
        return self.count >= self._most + EXTRA_CONNECTIONS

    def tell_full(self) -> None:
        """Say so in the log, once a minute."""
        now = asyncio.get_running_loop().time()
        if self._told_at is None or now - self._told_at >= _TOLD_SECONDS:
            self._told_at = now
            _log.warning("connections_full", most=self._most)

    async def answer_extra(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the one answer of a connection too many: how the server is, or a 503."""
        answer: web.StreamResponse
        if request.path.endswith(_HEALTH):
            # Else whoever looks after the server would take a busy one for a dead one.
            answer = await self.request_handler(request)
        else:
            request_id = f"connection-{next(_numbers):x}"
            error = TooManyConnectionsError(self._most)
            answer = make_problem(error, request.rel_url.raw_path, request_id)
        answer.force_close()
        return answer

    def __call__(self) -> RequestHandler:
        """Return the handler of a new connection."""
        return ProblemHandler(self, loop=self._loop, **self._kwargs)


def _rooted(make_request: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    """Return *make_request*, with the root for a target without a path, as ``*`` is.

    The router looks for nothing there, and aiohttp would answer in its own words.
    """

    def make(message: RawRequestMessage, *parts: Any) -> web.BaseRequest:
        if message.path[:1] != "/" and not _has_path(message.url):
            message = message._replace(url=_ROOT)
        if message.upgrade:
            # No route changes the protocol, and aiohttp reads no further request after it.
            message = message._replace(should_close=True)
        return make_request(message, *parts)

    return make


def _has_path(url: URL) -> bool:
    return (url.relative() if url.absolute else url).raw_path.startswith("/")


class ProblemRunner(web.AppRunner):
    """Runs an application on a `ProblemServer`."""

    __slots__ = ("_max_connections",)

    def __init__(self, app: web.Application, *, max_connections: int, **more: Any) -> None:
        """Run *app*, over so many connections at a time."""
        super().__init__(app, **more)
        self._max_connections = max_connections

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return ProblemServer(
            made.request_handler,
            request_factory=_rooted(made.request_factory),
            handler_cancellation=made.handler_cancellation,
            max_connections=self._max_connections,
            **made._kwargs,  # noqa: SLF001 - what it was made with, unchanged
        )
