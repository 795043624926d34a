"""Base class of the route groups, and how parts of a path and times are written."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from cidx_jobs.client.transport import Answer, Call, Transport


class Routes:
    """A group of routes over one transport."""

    def __init__(self, transport: Transport) -> None:
        """Take the transport; whoever made it opens and closes it."""
        self._transport = transport

    async def _ask(self, call: Call) -> Answer:
        return await self._transport.ask(call)

    async def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Answer:
        return await self._ask(Call(method="GET", path=path, query=query or {}))


def quoted(part: str) -> str:
    """Return *part* as one segment of a path."""
    return quote(part, safe="")


def instant(at: datetime | None) -> str | None:
    """Return a time as RFC 3339 has it, in a query."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")
