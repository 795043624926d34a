"""What every answer carries, and the plain JSON answer."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from cidx_jobs.wire.coding import encode

JSON = "application/json; charset=utf-8"

_SHARED = {
    "Server": "cidx-jobs",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def answer_headers(content_type: str, request_id: str) -> dict[str, str]:
    """Give the headers of an answer: its type, its id, and those that protect its reader."""
    return _SHARED | {"Content-Type": content_type, "X-Request-Id": request_id}


def answer_bytes(
    body: bytes, request_id: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Give the answer with a JSON document that is encoded already."""
    all_headers = answer_headers(JSON, request_id)
    if headers:
        all_headers.update(headers)
    return web.Response(body=body, status=status, headers=all_headers)


def answer_document(
    document: Any, request_id: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Give the answer with a document."""
    return answer_bytes(encode(document), request_id, status=status, headers=headers)


def answer_nothing(
    request_id: str, *, status: int = 204, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Give an answer without a body (204 or 304)."""
    all_headers = answer_headers(JSON, request_id)
    del all_headers["Content-Type"]
    if headers:
        all_headers.update(headers)
    return web.Response(status=status, headers=all_headers)
