"""Effects of what was committed: what the engine does by itself next, as values.

The memory notes them and does not know who carries them out (`EffectRunner`).
"""

import msgspec

from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.key_limits import LimitKey


class EnqueueDue(msgspec.Struct, frozen=True):
    """Queue a created job whose start time has come."""

    job_id: JobId


class MakeHead(msgspec.Struct, frozen=True):
    """Make a follower the head of its project's line, in which nobody is before it.

    A submit that saw a running head, and the end of that head, which saw no follower, may be
    stored in one moment; neither knows of the other.
    """

    job_id: JobId


class StopRun(msgspec.Struct, frozen=True):
    """Ask a run to end: its job's cancel was asked for."""

    run: ActiveRun
    again: bool = False
    """It was asked for once more: the first request may have been swallowed."""


class CancelChildren(msgspec.Struct, frozen=True):
    """Cancel what a job has made that is not done: the job was cancelled."""

    parent_id: JobId


class GiveUp(msgspec.Struct, frozen=True):
    """Let a waiting job fail: its code host has been down for as long as it may wait."""

    job_id: JobId
    host: LimitKey


Effect = CancelChildren | EnqueueDue | GiveUp | MakeHead | StopRun
