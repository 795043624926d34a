"""aiohttp's server with our answers where aiohttp would give its own, and with bounded room.

A request that cannot even be parsed never reaches a route; aiohttp answers it in plain text and
logs a traceback. `web.Server` makes one `RequestHandler` a connection, whose `handle_error` is
what answers then; a test pins this.

Connections beyond the most there may be take nothing from those that are served: a few of them
are told so (or are told of the server's health, if that is what they ask for). When there are more
than a few the oldest of them goes, so that nobody keeps the next from asking by saying nothing.

A connection is a stranger's until a request on it has shown who makes it. Strangers get three
quarters of the places; further ones are answered, and closed unless they turn out to be known: so
nobody without a token keeps those out who have one, or who look after the server. One address has
at most half of all places, unless it is this machine or a listed proxy, which may speak for
everybody.

What a client does not read is kept for it only so long, and only so much of it.
"""

import asyncio
import ipaddress
import itertools
import socket
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from yarl import URL

from cidx_jobs.engine.counts import decrease
from cidx_jobs.model.errors import CidxJobsError, RequestError
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.web.errors import TooManyConnectionsError
from cidx_jobs.web.http.call import Stranger
from cidx_jobs.web.http.problems import make_problem

EXTRA_CONNECTIONS = 64
"""So many connections beyond the most may ask at a time; each is answered once."""
EXTRA_SECONDS = 3.0
"""How long such a one may take to bring its request."""

PROBATIONS = 64
"""So many connections beyond the strangers' places may be about to show who they are."""
UNREAD_SECONDS = 20.0
"""A client that takes in less than `LEAST_BYTES` of its answer in this time is dropped."""
LEAST_BYTES = 16 * 1024
MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""What all clients together may leave unread; beyond it who has waited longest is dropped."""

_TOLD_SECONDS = 60.0
_LOOPBACK = "loopback"
_HEALTH = ("/livez", "/readyz")
_CLIENT_ERRORS = range(400, 500)
_ROOT = URL("/")

_log = get_logger("web")
_numbers = itertools.count(1)


class ProblemHandler(RequestHandler, Stranger):
    """One connection, whose errors are problem documents and close it."""

    __slots__ = ("_address", "_has_place", "_is_known", "_unread", "_unsent")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, if there is room for it."""
        server = cast("ProblemServer", self._manager)
        connection = cast("asyncio.Transport", transport)
        self._address = _address_of(connection, server.is_proxy)
        self._has_place = self._is_known = False
        self._unread: asyncio.TimerHandle | None = None
        self._unsent = 0
        if server.is_closed_to(self._address):
            self._manager = None
            connection.abort()
            return
        is_newcomer = server.is_full_of_strangers
        if is_newcomer:
            server.make_way()
        if server.is_full:
            server.admit_extra(self)
            self._keepalive_timeout = EXTRA_SECONDS
            self._request_handler = server.answer_extra
        elif is_newcomer:
            self._request_handler = server.answer_newcomer
            server.put_on_probation(self)
        server.enter(self._address)
        self._has_place = True
        _bound_waiting(connection)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give its place back."""
        self._stop_waiting()
        self._leave()
        super().connection_lost(exc)

    def _leave(self) -> None:
        if self._has_place:
            self._has_place = False
            server = cast("ProblemServer", self._manager)
            server.leave(self, self._address, is_known=self._is_known)

    def become_known(self) -> None:
        """Take a place among those of whom it is known who they are."""
        if self._is_known or not self._has_place:
            return
        server = cast("ProblemServer | None", self._manager)
        if server is None or server.is_extra(self):
            return
        self._is_known = True
        self._request_handler = server.request_handler
        server.welcome(self)

    @property
    def is_known(self) -> bool:
        """True once a request on it has shown who makes it."""
        return self._is_known

    def drop(self) -> None:
        """Break the connection off, whatever is still to be sent; its place is free at once."""
        self._leave()
        if self.transport is not None:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Begin to look whether the client reads: there is more than the system takes for it."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """Look no longer: all is on its way."""
        self._stop_waiting()
        super().resume_writing()

    def _wait_for_reader(self) -> None:
        if self.transport is None or self._manager is None:
            return
        left = self.transport.get_write_buffer_size()
        if self._unread is not None and left > self._unsent - LEAST_BYTES:
            self._unread = None
            self.drop()
            return
        cast("ProblemServer", self._manager).count_unsent(self, left - self._unsent)
        self._unsent = left
        self._unread = self._loop.call_later(UNREAD_SECONDS, self._wait_for_reader)

    def _stop_waiting(self) -> None:
        unread, self._unread = self._unread, None
        if unread is not None:
            unread.cancel()
        if self._manager is not None:
            cast("ProblemServer", self._manager).count_unsent(self, -self._unsent)
        self._unsent = 0

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

    def __init__(
        self,
        handler: Any,
        *,
        max_connections: int,
        proxies: Callable[[str], bool] = lambda _: False,
        **more: Any,
    ) -> None:
        """Serve with *handler*, over so many connections at a time."""
        super().__init__(handler, **more)
        self._count = 0
        self._known = 0
        self._most = max_connections
        self.is_proxy = proxies
        """Whether an address may have any number of connections."""
        self._reserved = max_connections // 4
        self._by_address: Counter[str] = Counter()
        self._newcomers: OrderedDict[ProblemHandler, asyncio.TimerHandle] = OrderedDict()
        self._extras: OrderedDict[ProblemHandler, None] = OrderedDict()
        self._unread: OrderedDict[ProblemHandler, int] = OrderedDict()
        self._unsent = 0
        self._told_at: float | None = None

    @property
    def is_full(self) -> bool:
        """True when a further connection is one too many."""
        return self._count >= self._most

    @property
    def is_full_of_strangers(self) -> bool:
        """True when the places are taken that are for those of whom nothing is known."""
        strangers = self._count - self._known - len(self._newcomers)
        return bool(self._reserved) and strangers >= self._most - self._reserved

    def is_closed_to(self, address: str) -> bool:
        """Tell whether the address has as many connections as one may have."""
        share = self._most - self._most // 2
        return address != _LOOPBACK and self._by_address[address] >= share

    def enter(self, address: str) -> None:
        """Count a connection that was taken."""
        self._count += 1
        self._by_address[address] += 1

    def leave(self, connection: ProblemHandler, address: str, *, is_known: bool) -> None:
        """Give back its place, once."""
        self._count -= 1
        self._known -= is_known
        decrease(self._by_address, address)
        self._extras.pop(connection, None)
        self._end_probation(connection)

    def make_way(self) -> None:
        """Drop, of too many that have not shown who they are, the one that had most time."""
        if self._newcomers and (self.is_full or len(self._newcomers) >= PROBATIONS):
            next(iter(self._newcomers)).drop()

    def admit_extra(self, connection: ProblemHandler) -> None:
        """Let one too many ask, in the place of the one that had most time if there are many."""
        self._tell_full()
        if len(self._extras) >= EXTRA_CONNECTIONS:
            next(iter(self._extras)).drop()
        self._extras[connection] = None

    def is_extra(self, connection: ProblemHandler) -> bool:
        """Tell whether it is one too many, which gets one answer."""
        return connection in self._extras

    def put_on_probation(self, connection: ProblemHandler) -> None:
        """Let it show who it is, for a while."""
        loop = asyncio.get_running_loop()
        self._newcomers[connection] = loop.call_later(EXTRA_SECONDS, connection.drop)

    def welcome(self, connection: ProblemHandler) -> None:
        """Count it among those who are known."""
        self._known += 1
        self._end_probation(connection)

    def _end_probation(self, connection: ProblemHandler) -> None:
        timer = self._newcomers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def count_unsent(self, connection: ProblemHandler, growth: int) -> None:
        """Count what waits for a client to read; drop who leaves it lie longest if it is much."""
        left = self._unread.get(connection, 0) + growth
        self._unsent += growth
        if left > 0:
            self._unread[connection] = left
        else:
            self._unread.pop(connection, None)
        if self._unsent > MAX_UNSENT_BYTES:
            next(iter(self._unread)).drop()

    async def answer_newcomer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the answer, which is the last one unless the request was a known one's."""
        answer: web.StreamResponse = await self.request_handler(request)
        if not cast("ProblemHandler", request.protocol).is_known:
            answer.force_close()
        return answer

    def _tell_full(self) -> None:
        # Once a minute.
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


def _address_of(connection: asyncio.Transport, is_proxy: Callable[[str], bool]) -> str:
    """Return what counts as one address: of IPv6 the network of a house, 64 bits.

    A listed proxy speaks for as many as one on this machine does.
    """
    peer = connection.get_extra_info("peername")
    if not isinstance(peer, tuple) or is_proxy(peer[0]):
        return _LOOPBACK
    try:
        address = ipaddress.ip_address(peer[0].partition("%")[0])
    except ValueError:
        return str(peer[0])
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    if address.is_loopback:
        return _LOOPBACK
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _bound_waiting(connection: asyncio.Transport) -> None:
    """Let the system give up a client that takes in nothing; tell us of every byte that waits."""
    connection.set_write_buffer_limits(high=0)
    raw = connection.get_extra_info("socket")
    if raw is None or raw.family == socket.AF_UNIX or sys.platform != "linux":
        return
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))


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

    __slots__ = ("_max_connections", "_proxies")

    def __init__(
        self,
        app: web.Application,
        *,
        max_connections: int,
        proxies: Callable[[str], bool],
        **more: Any,
    ) -> None:
        """Run *app*, over so many connections at a time."""
        super().__init__(app, **more)
        self._max_connections = max_connections
        self._proxies = proxies

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return ProblemServer(
            made.request_handler,
            request_factory=_rooted(made.request_factory),
            handler_cancellation=made.handler_cancellation,
            max_connections=self._max_connections,
            proxies=self._proxies,
            **made._kwargs,  # noqa: SLF001 - what it was made with, unchanged
        )
