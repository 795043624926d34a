"""What can happen to a job: one immutable event for each kind of edge, named as an imperative."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import attrs

from cidx_jobs.model.job.job import DispatchKey, JobError, JsonObject, Place


@attrs.frozen(kw_only=True)
class Submit:
    """Store a new job."""


@attrs.frozen(kw_only=True)
class Enqueue:
    """Make a created job eligible for a slot, at *key* in the dispatch order."""

    key: DispatchKey
    place: Place | None = None
    """Its new place in its project's line; None leaves it as it is."""
    reason: str | None = None


@attrs.frozen(kw_only=True)
class Revise:
    """Change what a waiting job asks for; None leaves a member as it is."""

    priority: int | None = None
    labels: Mapping[str, str] | None = None
    options: JsonObject | None = None
    place: Place | None = None
    key: DispatchKey | None = None
    release: bool = False
    """Take the hold and the start time off."""
    reason: str | None = None


@attrs.frozen(kw_only=True)
class Start:
    """Begin a run in a slot, in the server's *epoch*."""

    epoch: int


@attrs.frozen(kw_only=True)
class Complete:
    """End the run with a result."""

    result: JsonObject
    elapsed_seconds: float


@attrs.frozen(kw_only=True)
class Fail:
    """End the run and the job with an error."""

    error: JobError
    elapsed_seconds: float


@attrs.frozen(kw_only=True)
class RetryLater:
    """End the attempt with an error and queue the job again, not to start before *retry_at*."""

    error: JobError
    retry_at: datetime
    key: DispatchKey
    elapsed_seconds: float


@attrs.frozen(kw_only=True)
class Interrupt:
    """End the run without blame: queue the job again at its old key, its attempt given back."""

    elapsed_seconds: float
    is_clean: bool
    """False when the server died under the run."""
    drop_checkpoint: bool = False
    reason: str | None = None


@attrs.frozen(kw_only=True)
class RequestCancel:
    """Tell a running job to stop; it stays running until its task has really ended."""

    reason: str | None = None


@attrs.frozen(kw_only=True)
class Cancel:
    """End a job that waits, or one whose task has ended after it was told to stop."""

    error: JobError
    elapsed_seconds: float = 0.0
    reason: str | None = None


@attrs.frozen(kw_only=True)
class Retry:
    """Queue a failed or cancelled job again, on request, with new attempts."""

    key: DispatchKey
    from_start: bool = False
    place: Place | None = None


Event = (
    Submit
    | Enqueue
    | Revise
    | Start
    | Complete
    | Fail
    | RetryLater
    | Interrupt
    | RequestCancel
    | Cancel
    | Retry
)

EVENT_NAMES: Mapping[type[Any], str] = MappingProxyType(
    {
        Submit: "submit",
        Enqueue: "enqueue",
        Revise: "revise",
        Start: "start",
        Complete: "complete",
        Fail: "fail",
        RetryLater: "retry_later",
        Interrupt: "interrupt",
        RequestCancel: "request_cancel",
        Cancel: "cancel",
        Retry: "retry",
    }
)
"""The name of each event in the transition log."""
