"""Requests handed on to the process that owns the data directory, and its answers handed back.

Who makes a request is known here already where the host tells; the owner takes a member's word
for it. While one owner follows another, a request that has not come to any is asked again.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp
import attrs
import msgspec
from aiohttp import web
from msgspec.structs import replace
from multidict import CIMultiDict
from yarl import URL

from cidx_jobs.model.errors import StoppingError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.web.access.member_word import HEADER, MemberWord
from cidx_jobs.web.http.body import MAX_BODY_BYTES
from cidx_jobs.web.http.parked import Waiters
from cidx_jobs.web.owner_connection import AGAIN_SECONDS, GONE_SECONDS, OwnerConnection

_STALL_SECONDS = 15.0
"""So long a reader of a stream may take nothing."""
_WAKE_AGAIN_SECONDS = 0.1
_WAKE_SECONDS = 5.0
_STREAM = "text/event-stream"
_OF_THE_CONNECTION = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "expect", "content-length"}
)
"""What is said of one connection, and not of what goes over it."""
_LOOKED_AT = frozenset(
    {"origin", "forwarded", "via", "x-real-ip", "x-request-id", HEADER.lower()}
    | {f"x-forwarded-{name}" for name in ("for", "host", "port", "prefix", "proto", "server")}
)
"""What this process has looked at itself; the member's word says what came of it."""
_OF_THE_SERVER = frozenset({"date"})
_SAFE = frozenset({"GET", "HEAD"})
_UNAVAILABLE = web.HTTPServiceUnavailable.status_code

Wake = Callable[[aiohttp.ClientSession, str, str], Awaitable[None]]
"""Asks the owner over the session, with the token, to answer all that wait for this member."""


@attrs.frozen(kw_only=True)
class Handing:
    """How the requests of a route are handed on."""

    base: str
    """What the owner has in front of the path below the mount."""
    max_body_bytes: int = MAX_BODY_BYTES


@attrs.frozen(kw_only=True)
class Asked:
    """What is asked of the owner."""

    word: MemberWord
    """What is known of the request; its token and member the relay fills in."""
    target: str
    """The path and query at the owner."""
    body: bytes | None
    """None for none."""
    request_id: str
    """What the log lines of both processes are found by."""


class Relay:
    """Hands requests on to the owner of a directory, whoever that is."""

    def __init__(self, directory: DataDirectory, wake: Wake) -> None:
        """Belong to a directory; nothing is opened yet."""
        self._owner = OwnerConnection(directory, force_close=True)
        self._wake = wake
        self._member = uuid.uuid4().hex
        self._open: set[asyncio.Task[object]] = set()

    async def close(self) -> None:
        """Let what is being answered come to its end, and close the connections."""
        if self._open:
            await asyncio.wait(self._open, timeout=_WAKE_SECONDS)
        await self._owner.close()

    async def hand_on(
        self, request: web.Request, asked: Asked, waiters: Waiters
    ) -> web.StreamResponse:
        """Return the owner's answer; what waits there is answered at once when *waiters* stop.

        Raises:
            StoppingError: nobody owns the directory, or who did ended meanwhile; unless the
                request only reads, it may have been done.
        """
        user_id = asked.word.user_id or ""
        asking = asyncio.create_task(self._ask(request, asked), name="relay")
        self._open.add(asking)
        asking.add_done_callback(self._open.discard)
        try:
            was_woken = await self._wait(request, asking, user_id, waiters)
            answer = await asking
        finally:
            if not asking.done():
                asking.cancel()
        async with _released(answer):
            response = await self._hand_back(request, answer, user_id, waiters)
        if was_woken:
            if "Retry-After" in response.headers:
                response.headers["Retry-After"] = "2"
            response.force_close()
        return response

    async def _wait(
        self,
        request: web.Request,
        asking: asyncio.Task[aiohttp.ClientResponse],
        user_id: str,
        waiters: Waiters,
    ) -> bool:
        """Return once it is answered; True if it was told to be, as this process stops."""
        if not waiters.is_stopping:
            with waiters.park(request, user_id, is_watched=False):
                await asyncio.wait([asking])
        if asking.done():
            return False
        async with asyncio.timeout(_WAKE_SECONDS):
            while not asking.done():
                # One that comes to the owner only now is asked for again.
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    session, token = await self._owner.open(), await self._owner.read_token()
                    await self._wake(session, token, self._member)
                await asyncio.wait([asking], timeout=_WAKE_AGAIN_SECONDS)
        return True

    async def _ask(self, request: web.Request, asked: Asked) -> aiohttp.ClientResponse:
        """Return the head of the answer of whoever owns the directory."""
        url = URL(f"http://local{asked.target}", encoded=True)
        headers = _kept(request.headers, _OF_THE_CONNECTION | _LOOKED_AT)
        headers["X-Request-Id"] = asked.request_id
        word = replace(asked.word, member=self._member)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GONE_SECONDS
        while True:
            try:
                session = await self._owner.open()
                said = replace(word, token=await self._owner.read_token())
                headers[HEADER] = said.encode()
                answer = await session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=asked.body,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                )
                if not await _is_ending(answer):
                    return answer
                answer.release()
            except (aiohttp.ClientConnectorError, FileNotFoundError):
                pass  # nothing was asked
            except (aiohttp.ClientError, OSError) as error:
                if request.method not in _SAFE:
                    raise StoppingError from error
            self._owner.forget_token()
            if loop.time() > deadline:
                raise StoppingError
            await asyncio.sleep(AGAIN_SECONDS)

    async def _hand_back(
        self,
        request: web.Request,
        answer: aiohttp.ClientResponse,
        user_id: str,
        waiters: Waiters,
    ) -> web.StreamResponse:
        headers = _kept(answer.headers, _OF_THE_CONNECTION | _OF_THE_SERVER)
        if answer.content_type != _STREAM or request.method == "HEAD":
            length = answer.headers.get("Content-Length")
            if request.method == "HEAD" and length is not None:
                headers["Content-Length"] = length
            try:
                body = await answer.read()
            except (aiohttp.ClientError, OSError) as error:
                raise StoppingError from error
            return web.Response(status=answer.status, headers=headers, body=body)
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        # Where it breaks off, or this process stops, its reader comes back and goes on by id.
        with (
            contextlib.suppress(aiohttp.ClientError, ConnectionError),
            waiters.park(request, user_id, is_watched=False),
        ):
            await _copy(request, answer, response)
        return response


async def _copy(
    request: web.Request, answer: aiohttp.ClientResponse, response: web.StreamResponse
) -> None:
    async for chunk in answer.content.iter_any():
        try:
            async with asyncio.timeout(_STALL_SECONDS):
                await response.write(chunk)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            return


async def _is_ending(answer: aiohttp.ClientResponse) -> bool:
    """Tell whether the owner ends, and has done nothing: the next one is asked."""
    if answer.status != _UNAVAILABLE:
        return False
    try:
        body = await answer.read()
    except (aiohttp.ClientError, OSError):
        return False
    with contextlib.suppress(msgspec.DecodeError):
        problem = msgspec.json.decode(body, type=dict)
        return problem.get("code") == StoppingError.code
    return False


@contextlib.asynccontextmanager
async def _released(answer: aiohttp.ClientResponse) -> AsyncIterator[None]:
    try:
        yield
    finally:
        answer.close()


def _kept(headers: Mapping[str, str], dropped: frozenset[str]) -> "CIMultiDict[str]":
    named = ((name, value) for name, value in headers.items() if name.lower() not in dropped)
    return CIMultiDict(named)
