"""Bodies of requests: JSON in UTF-8, bounded in size and time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aiohttp import hdrs, web

from cidx_jobs.model.errors import CidxJobsError, UnavailableError, ValidationError
from cidx_jobs.web.errors import (
    BodyTooLargeError,
    RequestTimeoutError,
    UnsupportedMediaTypeError,
)
from cidx_jobs.wire.strict_json import MalformedBodyError, read_object

B = TypeVar("B", bytes, bytearray)

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
"""How long a body may take to come in."""

BODY_ERRORS: frozenset[type[CidxJobsError]] = frozenset(
    {
        MalformedBodyError,
        RequestTimeoutError,
        BodyTooLargeError,
        UnsupportedMediaTypeError,
        ValidationError,
    }
)
"""What a route that takes a body may refuse it with."""

_OUR_CHARSETS = frozenset({"utf-8", "utf8"})


async def read_members(request: web.Request) -> dict[str, Any]:
    """Return the members of the JSON object in the body; no body is the same as ``{}``.

    Raises:
        UnsupportedMediaTypeError: it is encoded, or no JSON in UTF-8.
        BodyTooLargeError: it has more than 64 KiB.
        RequestTimeoutError: it took longer than 10 seconds.
        MalformedBodyError, ValidationError: see `read_object`.
    """
    _check_plain(request)
    if not request.can_read_body:
        return {}
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise BodyTooLargeError(MAX_BODY_BYTES)
    if request.headers.get(hdrs.CONTENT_TYPE) != "application/json":
        _check_type(request)
    content = request.content
    if content.is_eof() and content.exception() is None:
        # All of it came along with the head, as small bodies do: there is nothing to wait for.
        return read_object(_bounded(content.read_nowait(), MAX_BODY_BYTES))
    return read_object(await _await_bytes(request, MAX_BODY_BYTES))


class LargeBodies:
    """Bodies of which each may take megabytes: a few are in memory at a time."""

    def __init__(self, at_a_time: int) -> None:
        """Begin with none."""
        self.free: int = at_a_time

    @contextmanager
    def place(self, request: web.Request) -> Iterator[None]:
        """Hold a place for the body of the request, unless it says that it is as small as most.

        Raises:
            UnavailableError: all places are taken.
        """
        length = request.content_length
        if length is not None and length <= MAX_BODY_BYTES:
            yield
            return
        if not self.free:
            message = "as many large bodies are being read as there may be: try again later"
            raise UnavailableError(message)
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1


async def read_bytes(request: web.Request, max_bytes: int) -> bytes:
    """Return the body of the request, whatever its type is.

    Raises:
        UnsupportedMediaTypeError: it is encoded.
        BodyTooLargeError: it has more than *max_bytes*.
        RequestTimeoutError: it took longer than 10 seconds.
        MalformedBodyError: it broke off.
    """
    _check_plain(request)
    if (request.content_length or 0) > max_bytes:
        raise BodyTooLargeError(max_bytes)
    return await _await_bytes(request, max_bytes)


def shown(text: str) -> str:
    """Return the beginning of a text that came from outside, in ASCII, for an error's words."""
    return text.encode("ascii", "replace").decode()[:80]


def _check_plain(request: web.Request) -> None:
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding is not None and encoding.strip().lower() != "identity":
        raise UnsupportedMediaTypeError(shown(encoding))


def _check_type(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError(shown(request.content_type))
    charset = request.charset
    if charset is not None and charset.lower() not in _OUR_CHARSETS:
        raise UnsupportedMediaTypeError(shown(charset))


async def _await_bytes(request: web.Request, max_bytes: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                _bounded(body, max_bytes)
    except TimeoutError as error:
        raise RequestTimeoutError(BODY_SECONDS) from error
    except web.RequestPayloadError as error:
        message = "the body broke off"
        raise MalformedBodyError(message) from error
    return bytes(body)


def _bounded(body: B, max_bytes: int) -> B:
    if len(body) > max_bytes:
        raise BodyTooLargeError(max_bytes)
    return body
