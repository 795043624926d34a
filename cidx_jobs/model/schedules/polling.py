"""Polling of remotes: how often that of a project is asked for news, and at which moments."""

import zlib
from datetime import UTC, datetime, timedelta
from typing import Literal

from cidx_jobs.model.listing import Project

MIN_SYNC_SECONDS = 10
MAX_SYNC_SECONDS = 604_800
AUTO: Literal["auto"] = "auto"
"""As often as the project changes."""

SHORTEST_AUTO = timedelta(minutes=1)
LONGEST_AUTO = timedelta(hours=8)
_PART_OF_AGE = 16
"""A project that last changed so many times an interval ago is asked once in the interval."""
_WITH_PUSHES = 8
"""So many times rarer it is asked where its code host tells of pushes."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_CATCH_UP = timedelta(minutes=1)


def find_interval(project: Project, now: datetime, *, is_told_of_pushes: bool) -> timedelta | None:
    """Return how often the project's remote is asked now; None when it is not.

    Automatic intervals are a minute times a power of two, so that their grids fit each other.
    """
    every = project.sync_every_seconds
    if every is None:
        return None
    if every != AUTO:
        return timedelta(seconds=every)
    changed_at = project.changed_at or project.last_synced_at or now
    wanted = (now - changed_at) / _PART_OF_AGE * (_WITH_PUSHES if is_told_of_pushes else 1)
    interval = SHORTEST_AUTO
    while interval * 2 <= min(wanted, LONGEST_AUTO):
        interval *= 2
    return LONGEST_AUTO if wanted >= LONGEST_AUTO else interval


def find_next_poll(project: Project, interval: timedelta, now: datetime) -> datetime:
    """Return the first moment of the project's grid after *now*.

    Each copy has a place of its own in the interval. It is made from its name, so that polls are
    spread, and go on over restarts as if there had been none.
    """
    offset = _share(project) * interval
    return now + interval - (now - _EPOCH - offset) % interval


def catch_up(
    project: Project, interval: timedelta, stopped_at: datetime, now: datetime
) -> datetime:
    """Return the first poll after a start: soon, where one was due while the server was down."""
    first = find_next_poll(project, interval, now)
    if first - interval <= stopped_at:
        return first
    return min(first, now + _share(project) * min(interval, _LONGEST_CATCH_UP))


def find_group(project: Project) -> str:
    """Return what projects have in common whose remotes are asked together: their copy."""
    return project.copy_id or f"{project.user_id}/{project.project_id}"


def _share(project: Project) -> float:
    return zlib.crc32(find_group(project).encode()) / 2**32
