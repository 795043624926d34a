"""The job: one immutable value, and the values it is made of.

A change makes a new value (`msgspec.structs.replace`), and only `cidx_jobs.model.job.lifecycle`
changes a status. All times are aware UTC datetimes; all durations are seconds.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.key_limits import KeyLimits
from cidx_jobs.model.late_imports import import_late

JsonObject = Mapping[str, Any]

MIN_PRIORITY = 0
MAX_PRIORITY = 9


class JobStatus(StrEnum):
    """Where a job stands; the last three are final."""

    CREATED = "created"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True for completed, failed and cancelled: left only by a retry on request."""
        return self in _FINAL

    @property
    def is_waiting(self) -> bool:
        """True for created and queued: stored, and not running."""
        return self in _WAITING


CREATED, QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED = JobStatus
"""The statuses by themselves, for what is asked of every job: where Python 3.11 looks a member up
in its class it calls a function, which takes as long as ten other looks."""

_FINAL = frozenset({COMPLETED, FAILED, CANCELLED})
_WAITING = frozenset({CREATED, QUEUED})


class Place(StrEnum):
    """The place of an active job of an exclusive type in the line of its type in its project.

    At most one job of a type is the head (it runs, would run next, or is between two attempts)
    and at most one follows it; partial unique indexes hold this in the database. A job that is
    held, has its time to come, or found the line full has no place.
    """

    HEAD = "head"
    FOLLOWER = "follower"


class Category(StrEnum):
    """What kind of thing went wrong in a job."""

    NETWORK = "network"
    AUTHENTICATION = "authentication"
    GIT_OPERATION = "git_operation"
    INDEXING = "indexing"
    RESOURCE = "resource"
    CONFIGURATION = "configuration"
    VALIDATION = "validation"
    SYSTEM = "system"


class Severity(StrEnum):
    """How bad it is: recoverable may pass by itself, persistent needs somebody."""

    WARNING = "warning"
    RECOVERABLE = "recoverable"
    PERSISTENT = "persistent"
    FATAL = "fatal"


class Outcome(StrEnum):
    """How one run of a job ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


class PhaseStatus(StrEnum):
    """Where a phase of a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class DispatchKey(NamedTuple):
    """A job's place in the one stored dispatch order; the smallest goes first.

    Computed once, when the job is queued, and kept in its row (guarantees.md, G9).
    """

    level: float
    """Engine seconds of arrival over the ageing time, less the priority: older and higher go
    first, and a waiting job gains one priority level for each ageing time."""
    turn: int
    """The user's turn within the priority (start-time fair queueing)."""
    arrival: int
    """A number that only grows: first in, first out for all else equal."""


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job or a run of it did not complete."""

    code: Annotated[str, Meta(description="Documented, stable and never reused.")]
    category: Annotated[Category, Meta(description="What kind of thing went wrong.")]
    severity: Annotated[Severity, Meta(description="How bad it is.")]
    retryable: Annotated[bool, Meta(description="Whether another attempt may succeed.")]
    # No secret, path or traceback: who sees the job sees it.
    message: Annotated[str, Meta(description="One line for people.")]
    phase: Annotated[str | None, Meta(description="The phase that it is in, or was in.")] = None
    occurred_at: Annotated[datetime, Meta(description="When it happened.")]
    actions: Annotated[
        tuple[str, ...], Meta(description="What the reader can do, most useful first.")
    ] = ()
    output: Annotated[
        tuple[str, ...] | UnsetType,
        Meta(description="The last lines of the program that failed; left out where none did."),
    ] = UNSET


class JobWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something a reader should know, which did not end the job."""

    code: Annotated[str, Meta(description="Documented, stable and never reused.")]
    message: Annotated[str, Meta(description="One line for people.")]
    # Warnings of equal code and message are counted, not repeated.
    count: Annotated[int, Meta(description="How many times it was reported.")] = 1


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One ended run."""

    attempt: Annotated[
        int,
        Meta(
            description="The attempt; 0 before the first start.",
            extra_json_schema={"minimum": 0},
        ),
    ]
    started_at: Annotated[datetime, Meta(description="When the run started.")]
    finished_at: Annotated[datetime, Meta(description="When it ended.")]
    outcome: Annotated[Outcome, Meta(description="How the run ended.")]
    error: Annotated[JobError | None, Meta(description="Why it did not complete.")] = None

    @property
    def found_host_down(self) -> bool:
        """True where it was ended without blame by an error: its code host did not answer."""
        return self.outcome is Outcome.INTERRUPTED and self.error is not None


class PhaseState(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of the job."""

    name: Annotated[str, Meta(description="Its name.")]
    status: Annotated[PhaseStatus, Meta(description="Where it stands.")] = PhaseStatus.PENDING
    weight: Annotated[float, Meta(description="Its share of the whole, 0 to 1.")]
    progress: Annotated[
        int,
        Meta(
            description="0 to 100 within the phase.",
            extra_json_schema={"minimum": 0, "maximum": 100},
        ),
    ] = 0
    started_at: Annotated[datetime | None, Meta(description="When it last started.")] = None
    finished_at: Annotated[datetime | None, Meta(description="When it ended.")] = None
    message: Annotated[str | None, Meta(description="One line for people.")] = None
    result: Annotated[JsonObject | None, Meta(description="What came out, when it completed.")] = (
        None
    )


class ProgressDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The finer side of a progress report; every member may be unknown (None)."""

    done: int | None = None
    total: int | None = None
    unit: str | None = None
    current_item: str | None = None
    rate_per_second: float | None = None
    eta_seconds: float | None = None
    progress_at: datetime | None = None
    """When the job last reported anything; None before its first report."""
    waiting_for: str | None = None
    """The named resource that the run is waiting for, if it is."""
    stalled: bool = False
    """The run has reported nothing for 30 seconds."""
    memory_bytes: int | None = None
    """Resident memory of the run's child processes, where that is measured."""
    cpu_seconds: float | None = None
    """Processor time of the run's child processes that live."""


class CheckpointInfo(msgspec.Struct, frozen=True, kw_only=True):
    """That a checkpoint is stored; its content is for the job alone."""

    phase: Annotated[str | None, Meta(description="The phase that it is in, or was in.")]
    saved_at: Annotated[datetime, Meta(description="When it was stored.")]


NO_DETAIL = ProgressDetail()

PAYLOAD = ("options", "result")
"""What of a finished job may go earlier than the job."""


class Job(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One job, as it is stored: everything but the content of its checkpoint."""

    job_id: JobId
    job_type: str
    user_id: UserId
    project_id: ProjectId
    status: JobStatus
    version: int
    """Grows by one with each stored change: the compare-and-set guard, the ETag and the cursor
    of the long-poll."""
    priority: int
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    options: JsonObject = msgspec.field(default_factory=dict)
    limits: KeyLimits = ()
    """The keys whose limits the job obeys; held from start to end."""
    notify: tuple[str, ...] = ()
    """The URLs that its end is told to."""

    parent_id: JobId | None = None
    """The job whose run made this one."""
    child_key: str | None = None
    """What its parent tells it apart by: it is made once for each key."""
    has_children: bool = False
    joins: tuple[JobId, ...] = ()
    """The children that a suspended job waits for, to go on when they are done."""
    traceparent: str | None = None
    """The trace context of its submit (W3C Trace Context)."""

    attempt: int = 0
    """The number of the current or last attempt; 0 before the first start."""
    max_attempts: int
    attempts_granted: int
    """How many attempts a submit or a retry on request allows."""
    run: int = 0
    """Grows with each start and is never given back: the fencing token of every write of a run."""
    epoch: int = 0
    """The server's epoch that made the last start."""
    losses: int = 0
    """Unclean ends (the server died) in a row without a stored checkpoint or progress."""
    timeout_seconds: float
    """The longest a run may take, monotonic."""
    place: Place | None = None
    """None for a job that is not exclusive, has no place in its line yet, or is final."""
    hold: bool = False
    schedule: str | None = None
    """The schedule that submitted it, one of its user's."""
    scheduled_at: datetime | None = None
    """The time of the schedule that it stands for; None when somebody ran the schedule."""
    start_at: datetime | None = None
    retry_at: datetime | None = None
    """A queued job that failed before does not start earlier than this."""
    dispatch_key: DispatchKey | None = None

    progress: int = 0
    """0 to 100, a high-water mark of the attempt; 100 only when completed."""
    phase: str | None = None
    message: str | None = None
    progress_detail: ProgressDetail = NO_DETAIL
    phases: tuple[PhaseState, ...] = ()

    created_at: datetime
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime
    cancel_requested_at: datetime | None = None
    cancel_reason: str | None = None

    checkpoint: CheckpointInfo | None = None
    result: JsonObject | None = None
    error: JobError | None = None
    warnings: tuple[JobWarning, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    removed: tuple[str, ...] = ()
    """Which members of `PAYLOAD` a finished job had, and are no longer kept."""

    def document(self, *, prefix: str = "/api") -> dict[str, Any]:
        """Return the job as the API shows it (JSON-ready values), its links below *prefix*.

        Where it stands in the queue is no part of the job: `queue` is None here.
        """
        shown: dict[str, Any] = import_late("cidx_jobs.wire.jobs").show_job(self, prefix)
        return shown

    @property
    def done(self) -> bool:
        """True once the job is completed, failed or cancelled."""
        return self.status in _FINAL

    @property
    def end_version(self) -> int:
        """The version of a final job's last row in the log: a removal comes after it."""
        return self.version - bool(self.removed)

    @property
    def lacks_options(self) -> bool:
        """True once its options were removed: it cannot run again."""
        return "options" in self.removed

    @property
    def has_place(self) -> bool:
        """True for an exclusive job that stands in the line of its type in its project."""
        return self.place is not None

    @property
    def is_between_attempts(self) -> bool:
        """True for a queued job whose last run met an error: it waits for its next, or did.

        It failed, or its host was down.
        """
        if self.status is not QUEUED:
            return False
        has_waited = bool(self.attempts) and self.attempts[-1].found_host_down
        return self.retry_at is not None or has_waited

    @property
    def has_never_started(self) -> bool:
        """True until the first start, which an interruption does not undo."""
        return self.run == 0


class Transition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of the transition log; *sequence* is given by the store when it is committed."""

    job_id: JobId
    user_id: UserId
    version: int
    event: str
    from_status: JobStatus | None
    to_status: JobStatus
    at: datetime
    attempt: int
    run: int
    reason: str | None = None
    actor: UserId | None = None
    """The user who asked for it; None for the server itself."""
    sequence: int = 0


def seconds_between(since: datetime | None, until: datetime | None) -> float:
    """Return the seconds in between, at least 0; 0 where there is no beginning or no end."""
    if since is None or until is None:
        return 0.0
    return max(0.0, (until - since).total_seconds())
