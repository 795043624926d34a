"""What can happen to a job: one immutable event for each kind of edge, named as an imperative.

What is made for every change of a job, here and in the neighbouring modules, is nothing that the
collector has to look at (``gc=False``): it holds plain values, and none of them can lead back.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import DispatchKey, JobError, JsonObject, Place
from cidx_jobs.model.job.key_limits import KeyLimits


class Submit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Store a new job."""


class Enqueue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Make a created job eligible for a slot, at *key* in the dispatch order."""

    key: DispatchKey
    place: Place | None = None
    """Its new place in its project's line; None leaves it as it is."""
    reason: str | None = None


class Revise(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Change what a waiting job asks for; None leaves a member as it is."""

    priority: int | None = None
    labels: Mapping[str, str] | None = None
    options: JsonObject | None = None
    limits: KeyLimits | None = None
    notify: tuple[str, ...] | None = None
    place: Place | None = None
    key: DispatchKey | None = None
    release: bool = False
    """Take the hold and the start time off."""
    end_backoff: bool = False
    """Wait no longer for the time of the next attempt."""
    from_start: bool = False
    """Forget the checkpoint, which was made with other options."""
    reason: str | None = None


class Hold(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Let a job wait, as created and held, until somebody releases it.

    One that runs goes on: its job is held once the run was interrupted.
    """

    reason: str | None = None


class Start(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Begin a run in a slot, in the server's *epoch*."""

    epoch: int


class Complete(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """End the run with a result."""

    result: JsonObject
    elapsed_seconds: float


class Fail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """End the run and the job with an error."""

    error: JobError
    elapsed_seconds: float


class RetryLater(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """End the attempt with an error and queue the job again, not to start before *retry_at*."""

    error: JobError
    retry_at: datetime
    key: DispatchKey
    elapsed_seconds: float
    place: Place | None = None
    """Its new place in its line; None leaves it as it is."""


class Interrupt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """End the run without blame: queue the job again at its old key, its attempt given back."""

    elapsed_seconds: float
    is_clean: bool
    """False when the server died under the run."""
    drop_checkpoint: bool = False
    error: JobError | None = None
    """What was met that is not the job's fault, as a host that is down."""
    place: Place | None = None
    """Its new place in its line; None leaves it as it is."""
    reason: str | None = None


class Suspend(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """End the run without blame, and wait without a slot until these children are done."""

    joins: tuple[JobId, ...]
    elapsed_seconds: float
    reason: str | None = None


class RequestCancel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tell a running job to stop; it stays running until its task has really ended."""

    reason: str | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """End a job that waits, or one whose task has ended after it was told to stop."""

    error: JobError
    elapsed_seconds: float = 0.0
    reason: str | None = None


class Retry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Queue a failed or cancelled job again, on request, with new attempts."""

    key: DispatchKey
    from_start: bool = False
    place: Place | None = None


Event = (
    Submit
    | Enqueue
    | Revise
    | Hold
    | Start
    | Complete
    | Fail
    | RetryLater
    | Interrupt
    | Suspend
    | RequestCancel
    | Cancel
    | Retry
)

EVENT_NAMES: Mapping[type[Any], str] = MappingProxyType(
    {
        Submit: "submit",
        Enqueue: "enqueue",
        Revise: "revise",
        Hold: "hold",
        Start: "start",
        Complete: "complete",
        Fail: "fail",
        RetryLater: "retry_later",
        Interrupt: "interrupt",
        Suspend: "suspend",
        RequestCancel: "request_cancel",
        Cancel: "cancel",
        Retry: "retry",
    }
)
"""The name of each event in the transition log."""
