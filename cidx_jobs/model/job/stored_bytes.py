"""Stored bytes: what the rows, checkpoints and log of jobs count for in their user's share.

What a handler or request decides counts as its JSON text, in UTF-8; all else, with the entries of
indexes, as a round sum for each row. So the figure is the same before and after a restart, and
what a job is counted in for is what it is counted out for when it is deleted.
"""

from typing import Any

from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.job.packed import count_bytes

JOB_BYTES = 1_024
"""A job, without the members that are counted by themselves."""
LOG_BYTES = 256
"""A row of the log, without its reason."""
EMPTY_BYTES = 2
"""Of an empty object or list, which counts for nothing."""

COUNTED_MEMBERS = ("labels", "options", "result", "error", "attempts")
"""What of a job may be long; a progress report changes none of them."""


def bytes_of_job(job: Job) -> int:
    """Return what the job's row counts for."""
    return JOB_BYTES + sum(map(_bytes_of, _counted(job)))


def growth(job: Job, before: Job) -> int:
    """Return by how much the row grows where it held *before*; what it loses is negative."""
    return sum(
        _bytes_of(new) - _bytes_of(old)
        for new, old in zip(_counted(job), _counted(before), strict=True)
        if new is not old
    )


def bytes_of_log(transition: Transition) -> int:
    """Return what a row of the log counts for."""
    return LOG_BYTES + (len(transition.reason.encode()) if transition.reason else 0)


def _counted(job: Job) -> tuple[Any, ...]:
    return job.labels, job.options, job.result, job.error, job.attempts


def _bytes_of(value: Any) -> int:
    if value is None:
        return 0
    # What is empty stands in no row, unless it is a result: two bytes of the round sum.
    size = count_bytes(value)
    return size if size > EMPTY_BYTES else 0
