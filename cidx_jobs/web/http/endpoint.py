"""What stands around every route: who calls, from where, and errors as problems.

It is put around each route and not into the application's middlewares: mounted in another
application, it leaves that one's own routes alone.
"""

import itertools
import os
import re
import time
from collections.abc import Awaitable, Collection

import attrs
from aiohttp import web

from cidx_jobs.engine.webhooks.signatures import HEADERS as SIGNATURES
from cidx_jobs.interfaces.access import Identity
from cidx_jobs.model.errors import (
    AuthenticationRequiredError,
    CidxJobsError,
    ForbiddenError,
    RequestError,
    StoppingError,
)
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.web.access.authenticators import TokenAuthenticator
from cidx_jobs.web.access.member_word import HEADER, MemberWord, path_of, word_of
from cidx_jobs.web.access.rate_limit import Rates
from cidx_jobs.web.errors import (
    MethodNotAllowedError,
    RateLimitedError,
    RouteNotFoundError,
)
from cidx_jobs.web.http.body import read_bytes
from cidx_jobs.web.http.call import Answer, Api, Call, Stranger, check_scope
from cidx_jobs.web.http.problems import make_problem, status_of
from cidx_jobs.web.http.relay import Asked, Handing, Relay

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NOBODY = Identity(user_id="", scopes=frozenset())
_SERVER_ERROR = 500
_ONCE = frozenset(
    {"authorization", "content-length", "content-type", "host", "idempotency-key"}
    | {"last-event-id", "origin"}
    | {name.lower() for name in SIGNATURES}
)
"""Headers that say one thing: of two, every reader could take another."""

UNMATCHED = "unmatched"
"""What requests are counted under that no route takes."""

_log = get_logger("web")
_numbers = itertools.count(1)
_life = os.urandom(4).hex()


@attrs.define(eq=False)
class Endpoint:
    """One route as aiohttp calls it."""

    _api: Api
    _answer: Answer
    _scope: str | None
    """Who may call: ``read``, ``write``, ``audit``, ``admin``, or None for everybody."""
    _path: str
    """The path that it is counted under, the same for all jobs."""
    _handing: Handing | None = None
    """How a process that does not own the directory hands it on; None: it answers itself."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer the request; any error becomes a problem document."""
        request_id = make_request_id(request)
        begun = time.perf_counter()
        # All in this one coroutine: each more is memory that every request that waits holds.
        try:
            _check_single(request)
            self._api.origins.check(request)
            if HEADER in request.headers and self._api.members is not None:
                await self._api.members.admit(request)
            handing = self._handing if self._api.jobs.is_member else None
            if handing is not None and self._api.relay is not None:
                answer = await self._hand_on(self._api.relay, handing, request, request_id)
            elif self._scope is None:
                answer = await self._answer(self._call(request, request_id, _NOBODY))
            else:
                identity = await self._identify(request)
                if identity is None:
                    self._note_refusal(request)
                else:
                    _tell_known(request)
                if self._api.rates is not None:
                    rates = self._api.rates
                    answer = await self._answer_in_turn(request, request_id, identity, rates)
                else:
                    caller = check_scope(identity, self._scope)
                    answer = await self._answer(self._call(request, request_id, caller))
        except CidxJobsError as error:
            answer = self._refuse(request, error, request_id)
        except web.HTTPException as error:
            answer = make_problem(_translated(error), path_of(request).raw_path, request_id)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place that may: nothing leaks out
            answer = self._refuse(request, error, request_id)
        seconds = time.perf_counter() - begun
        self._api.jobs.meters.count_request(self._path, request.method, answer.status, seconds)
        self._note_answer(request, request_id, answer.status, seconds)
        return answer

    def _identify(self, request: web.Request) -> Awaitable[Identity | None]:
        members = self._api.members
        if members is not None and word_of(request) is not None:
            return members.identify(request)
        return self._api.authenticate(request)

    async def _hand_on(
        self, relay: Relay, handing: Handing, request: web.Request, request_id: str
    ) -> web.StreamResponse:
        """Let the owner of the directory answer, to whom it is known here that they ask."""
        api, identity = self._api, None
        # Tokens and accounts are in the database, which only the owner reads.
        is_unknown = isinstance(api.authenticator, TokenAuthenticator)
        if self._scope is not None and not is_unknown:
            identity = await api.authenticate(request)
            if identity is not None:
                _tell_known(request)
        body = None
        if request.can_read_body and request.method not in {"GET", "HEAD"}:
            with api.large_bodies.place(request):
                body = await read_bytes(request, handing.max_body_bytes)
        call = self._call(request, request_id, identity or _NOBODY)
        word = MemberWord(
            token="",
            member="",
            user_id=None if identity is None else identity.user_id,
            scopes=() if identity is None else tuple(sorted(identity.scopes)),
            is_unknown=is_unknown,
            address=call.address,
            scheme=api.peers.scheme(request) or request.scheme,
            path=request.rel_url.raw_path,
            outer_prefix=call.outer_prefix,
            prefix=api.prefix,
            root=api.root,
        )
        target = handing.base + request.rel_url.raw_path_qs.removeprefix(api.mount)
        asked = Asked(word=word, target=target, body=body, request_id=request_id)
        return await relay.hand_on(request, asked, api.waiters)

    def _note_answer(
        self, request: web.Request, request_id: str, status: int, seconds: float
    ) -> None:
        if not self._api.jobs.settings.access_log:
            return
        _log.info(
            "request_answered",
            request_id=request_id,
            method=request.method,
            path=request.rel_url.raw_path,
            status=status,
            seconds=round(seconds, 6),
            address=self._api.peers.address(request),
        )

    async def _answer_in_turn(
        self, request: web.Request, request_id: str, identity: Identity | None, rates: Rates
    ) -> web.StreamResponse:
        if identity is None:
            who = f"peer {self._api.peers.address(request)}"
        else:
            who = f"user {identity.user_id}"
        allowance = rates.take(who)
        headers = {
            "RateLimit-Policy": rates.policy,
            "RateLimit": f'"default";r={allowance.remaining};t={allowance.reset_seconds}',
        }
        try:
            if allowance.wait_seconds:
                raise RateLimitedError(allowance.wait_seconds)
            call = self._call(request, request_id, check_scope(identity, self._scope or ""))
            call.headers = headers
            answer = await self._answer(call)
        except CidxJobsError as error:
            # A refusal counts too: who gets it must see what they have left.
            refusal = self._refuse(request, error, request_id)
            refusal.headers.update(headers)
            return refusal
        if call.is_quiet or answer.status == web.HTTPNotModified.status_code:
            rates.give_back(who)
        return answer

    def _note_refusal(self, request: web.Request) -> None:
        # Who shows nothing was not refused: they have yet to say who they are.
        proxy_header = self._api.jobs.settings.proxy_header
        if "Authorization" in request.headers or (proxy_header or "") in request.headers:
            target = f"{request.method} {path_of(request).raw_path}"
            self._api.jobs.admin_log.note_refusal(
                "token_refused", address=self._api.peers.address(request), target=target
            )

    def _call(self, request: web.Request, request_id: str, caller: Identity) -> Call:
        return Call(request=request, request_id=request_id, caller=caller, api=self._api)

    def _refuse(
        self, request: web.Request, error: Exception, request_id: str
    ) -> web.StreamResponse:
        known = error if isinstance(error, CidxJobsError) else CidxJobsError(str(error))
        if status_of(known) == _SERVER_ERROR and self._api.jobs.is_stopping:
            # The parts go away one after the other: what fails for that is no fault.
            known = StoppingError()
        if status_of(known) == _SERVER_ERROR:
            _log.error(
                "request_failed",
                request_id=request_id,
                method=request.method,
                path=request.rel_url.raw_path,
                exc_info=error,
            )
        return make_problem(known, path_of(request).raw_path, request_id)


def _tell_known(request: web.Request) -> None:
    # Not by a key of the request: each that is parked would hold the room of a dictionary.
    connection = request.protocol
    if isinstance(connection, Stranger):
        connection.become_known()


def _check_single(request: web.Request) -> None:
    headers = request.headers
    # It tells each name once, and counts every header.
    if len(headers) == len(tuple(headers)):
        return
    for name in _ONCE:
        if len(headers.getall(name, ())) > 1:
            message = f"the header {name} came more than once"
            raise RequestError(message, header=name)


@attrs.define(eq=False)
class Fallback:
    """Answers what no route takes: another path, or another method."""

    _resources: Collection[web.Resource]

    async def answer(self, call: Call) -> web.StreamResponse:
        """Say which methods the path has, or that there is no such path."""
        request = call.request
        allowed: set[str] = set()
        for resource in self._resources:
            _, methods = await resource.resolve(request)
            allowed |= methods
        if allowed:
            raise MethodNotAllowedError(request.method, allowed)
        raise RouteNotFoundError


async def expect_body(request: web.Request) -> None:
    """Let a client go on that waits to be told so; an expectation we do not know is ignored."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What was written is no part of the answer yet to come.
        request.writer.output_size = 0


def make_request_id(request: web.Request) -> str:
    """Return the id that finds a request in the log: its sender's own, or a new one."""
    given = request.headers.get("X-Request-Id")
    if given is not None and _SAFE_ID.fullmatch(given):
        return given
    return f"{_life}-{next(_numbers):x}"


def _translated(error: web.HTTPException) -> CidxJobsError:
    # Only the host's own `authenticate` raises these; what else it says (a redirect to its
    # login, say) goes out as it is.
    match error.status:
        case web.HTTPUnauthorized.status_code:
            return AuthenticationRequiredError()
        case web.HTTPForbidden.status_code:
            return ForbiddenError(error.reason)
        case _:
            raise error
