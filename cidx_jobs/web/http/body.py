"""Bodies of requests: JSON in UTF-8, bounded in size and time."""

import asyncio
from typing import Any, TypeVar

from aiohttp import hdrs, web

from cidx_jobs.model.errors import CidxJobsError, ValidationError
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
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding is not None and encoding.strip().lower() != "identity":
        raise UnsupportedMediaTypeError(shown(encoding))
    if not request.can_read_body:
        return {}
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise BodyTooLargeError(MAX_BODY_BYTES)
    if request.headers.get(hdrs.CONTENT_TYPE) != "application/json":
        _check_type(request)
    content = request.content
    if content.is_eof() and content.exception() is None:
        # All of it came along with the head, as small bodies do: there is nothing to wait for.
        return read_object(_bounded(content.read_nowait()))
    return read_object(await _await_bytes(request))


def shown(text: str) -> str:
    """Return the beginning of a text that came from outside, in ASCII, for an error's words."""
    return text.encode("ascii", "replace").decode()[:80]


def _check_type(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError(shown(request.content_type))
    charset = request.charset
    if charset is not None and charset.lower() not in _OUR_CHARSETS:
        raise UnsupportedMediaTypeError(shown(charset))


async def _await_bytes(request: web.Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                _bounded(body)
    except TimeoutError as error:
        raise RequestTimeoutError(BODY_SECONDS) from error
    except web.RequestPayloadError as error:
        message = "the body broke off"
        raise MalformedBodyError(message) from error
    return bytes(body)


def _bounded(body: B) -> B:
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLargeError(MAX_BODY_BYTES)
    return body
