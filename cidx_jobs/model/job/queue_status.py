"""Queue status: where a waiting job stands, and the words of ``blocked_by`` for why it waits.

Which of them holds of a job is decided in one place, `cidx_jobs.engine.queue.wait_reasons`.
"""

from datetime import datetime

import msgspec

from cidx_jobs.model.ids import JobId, UserId

DRAINING = "draining"
PAUSED = "paused"
RECOVERING = "recovering"
HELD = "held"
START_AT = "start_at"
PROJECT_BUSY = "project_busy"
RETRY_BACKOFF = "retry_backoff"
USER_LIMIT = "user_limit"
TOTAL_LIMIT = "total_limit"
TYPE_MISSING = "type_missing"
CHILDREN = "children"
RESOURCE = "resource:"
LIMIT = "limit:"
HOST_DOWN = "host_down:"
"""Begin reasons that end with the name of what is short, or of who does not answer."""

OPEN_ENDED = frozenset({DRAINING, PAUSED, RECOVERING, TYPE_MISSING})
"""Reasons that end when an operator or a suspect lets them: no estimate can know when."""

_ORDER = (
    DRAINING, PAUSED, RECOVERING, HELD, START_AT, CHILDREN, PROJECT_BUSY, RETRY_BACKOFF,
    USER_LIMIT, TOTAL_LIMIT, TYPE_MISSING,
)  # fmt: skip
_RANKS = {word: rank for rank, word in enumerate(_ORDER)}


def is_open_ended(word: str) -> bool:
    """Tell whether nobody can know when a reason ends."""
    return word in OPEN_ENDED or word.startswith(HOST_DOWN)


class WaitReason(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that makes the dispatcher pass a job over."""

    word: str
    until: datetime | None = None
    """When it ends at the latest; None where nobody knows."""

    @property
    def rank(self) -> tuple[int, str]:
        """Where it stands among the reasons that are told: as ever, then by name."""
        return _RANKS.get(self.word, len(_ORDER)), self.word


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A waiting job's place among all waiting jobs, read from the order that dispatches."""

    position: int | None
    """The rank, from 1, as if no limit applied; None while the job is created."""
    length: int
    """How many jobs are queued in all."""
    blocked_by: tuple[str, ...]
    """What makes the dispatcher pass the job over; empty for one that only waits its turn."""
    until: datetime | None = None
    """The latest known end of these reasons; None when none is known."""
    estimated_wait_seconds: tuple[float, float] | None = None
    """A range from recent durations, or None when nothing is known."""


class SuspectRun(msgspec.Struct, frozen=True, kw_only=True):
    """That nothing else starts, because a suspect of a crash runs alone or is about to."""

    until: datetime | None
    """When the others go on at the latest; None while the suspect has not started."""
    suspects: int
    """How many suspects there are: the one that runs, and those that wait for that."""
    job_id: JobId
    """The one that runs alone, or is the next to."""
    user_id: UserId
    """Whose job it is: nobody else but an administrator is told its id."""


class HostDown(msgspec.Struct, frozen=True, kw_only=True):
    """That a code host does not answer, and its jobs wait."""

    host: str
    """Its name, with ``:port`` unless that is the scheme's own."""
    code: str
    """The code of the network's error that was met last."""
    since: datetime
    until: datetime
    """When it is probed next, at the latest."""
    waiting: int
    """How many queued jobs wait for it."""
