"""Where the admin log is kept: what administrators did, and which logins were refused."""

from collections.abc import Sequence
from typing import Protocol

from cidx_jobs.model.admin.log import AdminEntry

MAX_ACTS = 100_000
MAX_REFUSALS = 10_000
"""Of each kind about so many are kept, the newest: refusals cost no act its entry."""


class AdminLogStore(Protocol):
    """Keeps the newest entries of each kind, numbered in the order in which they came."""

    async def add_entries(self, entries: Sequence[AdminEntry]) -> None:
        """Store entries, all or none, and drop the oldest beyond what is kept."""

    async def list_entries(self, *, limit: int, before: int | None = None) -> Sequence[AdminEntry]:
        """Return at most *limit* entries, newest first; those below the number *before*."""
