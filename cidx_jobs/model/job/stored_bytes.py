"""Stored bytes: what the rows, checkpoints and log of jobs count for in their user's share.

What a handler or request decides counts as its JSON text, in UTF-8; all else, with the entries of
indexes, as a round sum for each row. So the figure is the same before and after a restart, and
what a job is counted in for is what it is counted out for when it is deleted.
"""

from collections.abc import Sequence
from operator import attrgetter

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

_counted = attrgetter(*COUNTED_MEMBERS)


def bytes_of_job(job: Job) -> int:
    """Return what the job's row counts for."""
    # What is empty stands in no row, unless it is a result: two bytes of the round sum.
    return JOB_BYTES + sum(map(count_bytes, filter(None, _counted(job))))


def growth(job: Job, before: Job) -> int:
    """Return by how much the row grows where it held *before*; what it loses is negative."""
    size = 0
    for new, old in zip(_counted(job), _counted(before), strict=True):
        if new is not old:
            size += (count_bytes(new) if new else 0) - (count_bytes(old) if old else 0)
    return size


def bytes_of_log(transitions: Sequence[Transition]) -> int:
    """Return what rows of the log count for."""
    size = LOG_BYTES * len(transitions)
    for transition in transitions:
        if transition.reason:
            size += len(transition.reason.encode())
    return size
