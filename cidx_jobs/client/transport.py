"""HTTP requests to one server: retries of what is safe to repeat, time-outs, streams."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import attrs
import msgspec

from cidx_jobs.client.backoff import Backoff
from cidx_jobs.client.errors import (
    AuthenticationError,
    JobsClientError,
    NetworkConnectionError,
    PermissionDeniedError,
    ServerBusyError,
    UnexpectedAnswerError,
    error_of_answer,
)
from cidx_jobs.wire.encode import decode, encode

Document = TypeVar("Document")

ANSWER_SECONDS = 30.0
"""How long an answer may take, beyond the time that the server was asked to wait."""
CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer that is taken in; a page of the longest list is a fourth of it."""
SILENCE_SECONDS = 45.0
"""How long a stream may be silent: the server pings every 15 seconds."""
LONGEST_RETRY_AFTER_SECONDS = 10.0
"""A server that wants a longer pause than this gets it from the caller, not from a retry here."""

_FIRST_FAULT = 400
_UNIX_SCHEMES = ("unix://", "unix:", "http+unix://")


@attrs.frozen(kw_only=True)
class Call:
    """One request: what is asked, and whether asking twice is the same as asking once."""

    method: str
    path: str
    """From ``/`` on, already quoted."""
    query: Mapping[str, Any] = attrs.field(factory=dict)
    """None leaves a parameter out; a sequence repeats it."""
    body: Any = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    wait_seconds: float = 0.0
    """How long the server may keep the request before it answers."""
    is_safe: bool = True
    """Whether it may be sent again after a failure that leaves its outcome unknown."""


@attrs.frozen(kw_only=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def decode(self, kind: type[Document]) -> Document:
        """Read the body as a document of *kind*; members that it does not know are ignored.

        Raises:
            UnexpectedAnswerError: the body is not such a document.
        """
        try:
            return decode(self.body, kind)
        except msgspec.MsgspecError as error:
            message = f"the server's answer is not understood: {error}"
            raise UnexpectedAnswerError(message, status=self.status) from error

    @property
    def retry_after_seconds(self) -> float | None:
        """The header ``Retry-After`` in seconds; None without one (dates are not read)."""
        with contextlib.suppress(KeyError, ValueError):
            return max(0.0, float(self.headers["Retry-After"]))
        return None


class Transport:
    """An HTTP session with one server, which retries what is safe to retry."""

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        refresh_token: Callable[[], Awaitable[str]] | None = None,
        retries: int = 3,
    ) -> None:
        """Take where and as whom; nothing is opened yet.

        Raises:
            ValueError: *base_url* is neither an http(s) URL nor ``unix:`` and a path, or no
                header can hold the token.
        """
        if token is not None and not token.isprintable():
            message = "a token has no control characters: look at what holds it"
            raise ValueError(message)
        self.address = base_url
        self._root, self._socket_path = _parse_address(base_url)
        self._token = token
        self._refresh_token = refresh_token
        self._retries = retries
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Open the session; a second opening is an error of the caller."""
        if self._session is not None:
            message = "this client is open already"
            raise RuntimeError(message)
        connector = (
            # No limit: a parked long-poll must not keep other requests from going out.
            aiohttp.TCPConnector(limit=0)
            if self._socket_path is None
            else aiohttp.UnixConnector(self._socket_path, limit=0)
        )
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), raise_for_status=False
        )

    async def close(self) -> None:
        """Close the session; closing twice is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, call: Call) -> Answer:
        """Make the call, again where that is safe, and give the good answer.

        Raises:
            JobsClientError: the answer is a problem, or none came.
        """
        backoff = Backoff()
        while True:
            try:
                return await self._ask_as_somebody(call)
            except (NetworkConnectionError, ServerBusyError) as error:
                if not self._may_retry(call, error, backoff.failures):
                    raise
                await asyncio.sleep(backoff.next_seconds(error.retry_after_seconds))

    def _may_retry(self, call: Call, error: JobsClientError, failures: int) -> bool:
        asked_for = error.retry_after_seconds or 0.0
        return (
            call.is_safe and failures < self._retries and asked_for <= LONGEST_RETRY_AFTER_SECONDS
        )

    async def _ask_as_somebody(self, call: Call) -> Answer:
        # A token that has run out is replaced once; what a fresh one may not do is refused.
        try:
            return await self._ask_once(call)
        except PermissionDeniedError:
            raise
        except AuthenticationError:
            if self._refresh_token is None:
                raise
        self._token = await self._refresh_token()
        return await self._ask_once(call)

    async def _ask_once(self, call: Call) -> Answer:
        answer = await self._send(call)
        if answer.status < _FIRST_FAULT:
            return answer
        raise error_of_answer(answer.status, _problem(answer), answer.retry_after_seconds)

    @contextlib.asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[AsyncIterator[bytes] | None]:
        """Make the call once, and give what the server sends, piece by piece, until it ends.

        None when it says that nothing will come (204).

        Raises:
            JobsClientError: the answer is a problem, or none came; also while it is read, and
                when nothing comes for longer than `SILENCE_SECONDS`.
        """
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        )
        async with self._request(call, limits, SILENCE_SECONDS) as response:
            if response.status >= _FIRST_FAULT:
                answer = await _read(response)
                raise error_of_answer(answer.status, _problem(answer), answer.retry_after_seconds)
            has_content = response.status != HTTPStatus.NO_CONTENT
            yield response.content.iter_any() if has_content else None

    async def _send(self, call: Call) -> Answer:
        seconds = ANSWER_SECONDS + call.wait_seconds
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        async with self._request(call, limits, seconds) as response:
            return await _read(response)

    @contextlib.asynccontextmanager
    async def _request(
        self, call: Call, limits: aiohttp.ClientTimeout, seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            message = "use the client as 'async with JobsClient(...) as client'"
            raise RuntimeError(message)
        try:
            async with self._session.request(
                call.method,
                self._root + call.path,
                params=_parameters(call.query),
                data=None if call.body is None else encode(call.body),
                headers=self._headers(call),
                timeout=limits,
                # A token is for this server alone.
                allow_redirects=False,
            ) as response:
                yield response
        except TimeoutError as error:
            message = f"no answer from {self.address} within {seconds:g} seconds"
            raise NetworkConnectionError(message) from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"cannot reach {self.address}: {_reason(error)}"
            raise NetworkConnectionError(message) from error

    def _headers(self, call: Call) -> dict[str, str]:
        headers = {"Accept": "application/json", **call.headers}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


async def _read(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            message = f"the answer has more than {MAX_ANSWER_BYTES} bytes"
            raise UnexpectedAnswerError(message, status=response.status)
    return Answer(status=response.status, headers=response.headers, body=bytes(body))


def _parse_address(base_url: str) -> tuple[str, str | None]:
    for scheme in _UNIX_SCHEMES:
        if base_url.startswith(scheme):
            return "http://localhost", base_url.removeprefix(scheme)
    if not _is_http_address(base_url):
        message = f"{base_url!r} is no address of a server: http://HOST:PORT or unix:PATH"
        raise ValueError(message)
    return base_url.rstrip("/"), None


def _is_http_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # A port that is none, or half an IPv6 address.
        return False


def _parameters(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if value is None:
            continue
        values = value if isinstance(value, list | tuple) else (value,)
        pairs.extend((name, str(part)) for part in values)
    return pairs


def _problem(answer: Answer) -> Mapping[str, Any]:
    # A proxy in between answers with anything; only an object can be a problem document.
    with contextlib.suppress(msgspec.MsgspecError):
        return decode(answer.body, dict[str, Any])
    return {}


def _reason(error: BaseException) -> str:
    # What TLS finds wrong is numbered as a failing call of the system is, and is none.
    is_tls = isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError)
    if isinstance(error, aiohttp.ClientConnectorError) and not is_tls:
        # asyncio's own text names an address tuple, and on some systems nothing else.
        number = error.os_error.errno
        if number is not None and number > 0:
            return os.strerror(number).lower()
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__
