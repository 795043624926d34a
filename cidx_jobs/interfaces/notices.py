"""How notices go out: one request to a place that was checked, and what it was answered."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class NoticeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a try."""

    status: int | None = None
    """The status of the answer; None where none came."""
    error: str | None = None
    """Why the notice was not taken; None if it was."""


class NoticeSender(Protocol):
    """Sends notices."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> NoticeAnswer:
        """Post the body, and return what was answered; no redirect is followed.

        The name of the host is looked up anew, and nothing but what was found and checked is
        connected to. It takes 10 seconds at most, and raises nothing of the network's.
        """
