"""Figures: how a server stands at the moment at which it is asked for its metrics."""

from collections.abc import Mapping

import msgspec


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What is not counted along the way, but looked up; no user is named."""

    jobs: Mapping[tuple[str, str], int]
    """Stored jobs by status and job type."""
    oldest_seconds: float
    slots: Mapping[str, tuple[int, int]]
    """Units in use and in all, by resource."""
    hosts: Mapping[str, bool]
    """Whether each code host that is known answers."""
    waiters: int
    database_bytes: int
    wal_bytes: int
    free_bytes: int | None
    """None where nothing tells."""
    backup_age_seconds: float | None
    """None without a backup."""
    backup_failures: int
    lines_dropped: int
    info: Mapping[str, str]
