"""What a request brings: its body, bounded in size and time, and its query, strictly read."""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from aiohttp import hdrs, web

from cidx_jobs.model.errors import InvalidParameterError
from cidx_jobs.web.http.problems import (
    BodyTooLargeError,
    RequestTimeoutError,
    UnsupportedMediaTypeError,
)
from cidx_jobs.wire.strict_json import MalformedBodyError, read_object

T = TypeVar("T")
B = TypeVar("B", bytes, bytearray)

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
"""How long a body may take to come in."""

_WHOLE = re.compile(r"[0-9]{1,18}")
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_OUR_CHARSETS = frozenset({"utf-8", "utf8"})


async def read_members(request: web.Request) -> dict[str, Any]:
    """Give the members of the JSON object in the body; no body is the same as ``{}``.

    Raises:
        UnsupportedMediaTypeError: it is encoded, or no JSON in UTF-8.
        BodyTooLargeError: it has more than 64 KiB.
        RequestTimeoutError: it took longer than 10 seconds.
        MalformedBodyError, ValidationError: see `read_object`.
    """
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding is not None and encoding.strip().lower() != "identity":
        raise UnsupportedMediaTypeError(_shown(encoding))
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


class Query:
    """The parameters of a request; each may come once, and only those that the route knows."""

    def __init__(
        self, request: web.Request, known: Collection[str], repeatable: Collection[str] = ()
    ) -> None:
        """Take the parameters of *request*.

        Raises:
            InvalidParameterError: one is unknown, doubled, or no text.
        """
        self._values: dict[str, list[str]] = {}
        if not request.query_string:
            return
        for name, value in request.query.items():
            if name not in known and name not in repeatable:
                raise InvalidParameterError(_shown(name), "there is no such parameter")
            if _NO_TEXT.search(value):
                raise InvalidParameterError(name, "it holds what is no text")
            self._values.setdefault(name, []).append(value)
        for name, values in self._values.items():
            if len(values) > 1 and name not in repeatable:
                raise InvalidParameterError(name, "it came more than once")

    def __contains__(self, name: str) -> bool:
        """Tell whether the parameter came."""
        return name in self._values

    def text(self, name: str) -> str | None:
        """Give the parameter as it came, or None."""
        values = self._values.get(name)
        return values[0] if values else None

    def texts(self, name: str) -> list[str]:
        """Give all values of a parameter that may be repeated."""
        return self._values.get(name, [])

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Give the parameter as a whole number from *low* to *high*, in ASCII digits.

        Raises:
            InvalidParameterError: it is none.
        """
        text = self.text(name)
        if text is None:
            return None
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            message = f"it must be a whole number from {low} to {high}"
            raise InvalidParameterError(name, message, minimum=low, maximum=high)
        return int(text)

    def choice(self, name: str, choices: Mapping[str, T]) -> T | None:
        """Give what the parameter stands for.

        Raises:
            InvalidParameterError: it is none of the *choices*.
        """
        text = self.text(name)
        if text is None:
            return None
        if text not in choices:
            message = f"it must be one of {', '.join(choices)}"
            raise InvalidParameterError(name, message, choices=list(choices))
        return choices[text]

    def checked(self, name: str, is_valid: Callable[[str], bool], rule: str) -> str | None:
        """Give the parameter if it keeps the rule.

        Raises:
            InvalidParameterError: it does not.
        """
        text = self.text(name)
        if text is not None and not is_valid(text):
            raise InvalidParameterError(name, rule)
        return text

    def time(self, name: str) -> datetime | None:
        """Give the parameter as a time in UTC; it is RFC 3339 with a zone.

        Raises:
            InvalidParameterError: it is none.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            # A plus that was not escaped has become a space on its way.
            time = msgspec.convert(text.replace(" ", "+"), datetime)
            if time.tzinfo is not None:
                return time.astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            pass
        raise InvalidParameterError(name, "it must be a time such as 2026-01-31T12:00:00Z")


def _check_type(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError(_shown(request.content_type))
    charset = request.charset
    if charset is not None and charset.lower() not in _OUR_CHARSETS:
        raise UnsupportedMediaTypeError(_shown(charset))


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


def _shown(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:80]
