"""Why a job waits, where it stands in line, and how long it may take."""

import msgspec

USER_LIMIT = "user_limit"
TOTAL_LIMIT = "total_limit"
PROJECT_BUSY = "project_busy"
PAUSED = "paused"
START_AT = "start_at"
HELD = "held"
RETRY_BACKOFF = "retry_backoff"
DRAINING = "draining"


def resource_reason(name: str) -> str:
    """Give the reason of a job that waits for a unit of the resource *name*."""
    return f"resource:{name}"


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A waiting job's place among all waiting jobs, read from the order that dispatches."""

    position: int | None
    """The rank, from 1, as if no limit applied; None while the job is created."""
    length: int
    """How many jobs are queued in all."""
    blocked_by: tuple[str, ...]
    """What makes the dispatcher pass the job over; empty for one that only waits its turn."""
    estimated_wait_seconds: tuple[float, float] | None = None
    """A range from recent durations, or None when nothing is known."""
