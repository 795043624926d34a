"""End notices: that a job has ended, told to a URL until somebody there has taken it."""

import itertools
from datetime import datetime, timedelta

import msgspec

from cidx_jobs.model.ids import JobId, UserId

TRY_TIMES = (0, 5, 30, 300, 1_800, 7_200, 21_600, 43_200, 86_400)
"""When a notice is tried, in seconds from the first try on."""
GAPS = tuple(timedelta(seconds=b - a) for a, b in itertools.pairwise(TRY_TIMES))
"""How long each failed try but the last is waited behind."""


class NoticeTry(msgspec.Struct, frozen=True, kw_only=True):
    """One try to tell it."""

    at: datetime
    url: str
    status: int | None = None
    """The status of the answer; None where none came."""
    error: str | None = None
    """Why it failed, in words; None where it did not."""


class EndNotice(msgspec.Struct, frozen=True, kw_only=True):
    """One end of one job, to be told to one URL."""

    webhook_id: str
    """The same for every try, so that a receiver notices a repeat."""
    job_id: JobId
    version: int
    """Of the job at its end: a job that is tried again ends again."""
    user_id: UserId
    url: str
    body: bytes
    """The same for every try; empty once it was told or given up."""
    tries: tuple[NoticeTry, ...] = ()
    next_at: datetime | None
    """When it is tried next; None once it was told or given up."""


def next_time(tried_at: datetime, tries: int) -> datetime | None:
    """Return when a notice is tried again behind so many tries; None when it is given up."""
    return tried_at + GAPS[tries - 1] if tries <= len(GAPS) else None
