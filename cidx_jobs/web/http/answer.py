"""What every answer carries, and the plain JSON answer."""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict, CIMultiDictProxy

from cidx_jobs.wire.encode import encode

JSON = "application/json; charset=utf-8"

_SHARED = {
    "Server": "cidx-jobs",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_JSON_LINE = f"Content-Type: {JSON}\r\n"
_SHARED_LINES = "".join(f"{name}: {value}\r\n" for name, value in _SHARED.items())


class ReadyResponse(web.Response):
    """A JSON answer that goes out as one piece of bytes, its head included.

    aiohttp spends more on the head of a small answer than we on the whole of it. This leaves out
    what only middlewares and signals could have changed, so it is for requests that meet none
    (see `answer_bytes`), over HTTP/1.1, with a body.
    """

    # What there is to read of it by aiohttp's names: its headers are lines already.
    _headers: Any = CIMultiDictProxy(CIMultiDict())
    _state: Any = MappingProxyType({})

    def __init__(self, status: int, lines: str, body: bytes) -> None:
        """Take the status, the header lines of this answer alone, and the body."""
        # Without aiohttp's own, which takes as long as the rest of an answer.
        self._status = status
        self._reason = _phrase(status)
        self._lines = lines
        self._text = body
        self._is_sent = False

    @property
    def prepared(self) -> bool:
        """True once it was sent."""
        return self._is_sent

    @property
    def keep_alive(self) -> bool:
        """True unless `force_close` was called."""
        return self._keep_alive is not False

    @property
    def body_length(self) -> int:
        """The bytes of the body, for access logs."""
        return len(self._text)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it."""
        self._is_sent = True
        close = "Connection: close\r\n" if self._keep_alive is False else ""
        head = (
            f"HTTP/1.1 {self._status} {self._reason}\r\n{_SHARED_LINES}{self._lines}"
            f"Content-Length: {len(self._text)}\r\nDate: {_date(int(time.time()))}\r\n{close}\r\n"
        )
        writer = request.writer
        await writer.write_eof(head.encode("latin-1") + self._text)
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: it is sent."""


def answer_headers(content_type: str, request_id: str) -> dict[str, str]:
    """Return the headers of an answer: its type, its id, and those that protect its reader."""
    return _SHARED | {"Content-Type": content_type, "X-Request-Id": request_id}


def answer_bytes(
    request: web.Request,
    body: bytes,
    request_id: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    lines: str | None = None,
) -> web.Response:
    """Return the answer with a JSON document that is encoded already.

    Args:
        request: what is answered.
        body: the document.
        request_id: finds the request in the log.
        status: of the answer.
        headers: besides those that every answer has.
        lines: the same as `make_lines` gives them, where that was done before.
    """
    if _meets_nobody(request):
        if lines is None:
            lines = make_lines(headers or {})
        return ReadyResponse(status, f"{_JSON_LINE}X-Request-Id: {request_id}\r\n{lines}", body)
    all_headers = answer_headers(JSON, request_id)
    if headers:
        all_headers.update(headers)
    return web.Response(body=body, status=status, headers=all_headers)


def answer_document(
    request: web.Request,
    document: Any,
    request_id: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return the answer with a document."""
    return answer_bytes(request, encode(document), request_id, status=status, headers=headers)


def answer_nothing(
    request_id: str, *, status: int = 204, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer without a body (204 or 304)."""
    all_headers = answer_headers(JSON, request_id)
    del all_headers["Content-Type"]
    if headers:
        all_headers.update(headers)
    return web.Response(status=status, headers=all_headers)


def make_lines(headers: Mapping[str, str]) -> str:
    """Return the headers as they stand in the head of an answer.

    Raises:
        ValueError: one holds the end of a line.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\r") + lines.count("\n") != 2 * len(headers):
        message = "a header holds the end of a line"
        raise ValueError(message)
    return lines


def _meets_nobody(request: web.Request) -> bool:
    """Tell whether nothing but the connection stands between our answer and the client."""
    if request.version != HttpVersion11 or not request.keep_alive or request.method == "HEAD":
        return False
    # A generator would take as long as all the rest; a cache, too, and would keep applications.
    for app in request.match_info.apps:  # noqa: SIM110
        if app.middlewares or app.on_response_prepare:
            return False
    return True


@lru_cache(64)
def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


@lru_cache(2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
