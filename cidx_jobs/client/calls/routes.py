"""Base class of the route groups, and how parts of a path and times are written."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from cidx_jobs.client.transport import Answer, Call, Transport

D = TypeVar("D")


class More(TypedDict, total=False):
    """What a request may say besides, as in `Call`."""

    query: Mapping[str, Any]
    headers: Mapping[str, str]
    wait_seconds: float
    is_safe: bool


class Routes:
    """A group of routes over one transport."""

    def __init__(self, transport: Transport) -> None:
        """Take the transport; whoever made it opens and closes it."""
        self._transport = transport

    async def _ask(self, method: str, path: str, body: Any = None, **more: Unpack[More]) -> Answer:
        return await self._transport.ask(Call(method=method, path=path, body=body, **more))

    async def _read(
        self, kind: type[D], method: str, path: str, body: Any = None, **more: Unpack[More]
    ) -> D:
        return (await self._ask(method, path, body, **more)).decode(kind)

    async def _get(self, kind: type[D], path: str, query: Mapping[str, Any] | None = None) -> D:
        return await self._read(kind, "GET", path, query=query or {})


def quoted(part: str) -> str:
    """Return *part* as one segment of a path."""
    return quote(part, safe="")


def instant(at: datetime | None) -> str | None:
    """Return a time as RFC 3339 has it, in a query."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")
