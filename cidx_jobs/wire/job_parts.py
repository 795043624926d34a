"""What a job document is made of (api.md 1.2): the smaller documents in it, and its members."""

from datetime import datetime
from typing import Annotated, Any, Self

import msgspec

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import (
    CheckpointInfo,
    JobError,
    JobStatus,
    JobWarning,
    ProgressDetail,
)
from cidx_jobs.model.job.queue_status import QueueStatus
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.member_rules import about


class ProgressDocument(Document, frozen=True, kw_only=True):
    """The finer side of the progress; every member may be unknown (null)."""

    done: Annotated[int | None, about("How many of the units are done.")]
    total: Annotated[
        int | None, about("How many units there are; it may grow.", rules.NOT_NEGATIVE)
    ]
    unit: Annotated[str | None, about("What is counted.")]
    current_item: Annotated[str | None, about("What is worked on.")]
    rate_per_second: Annotated[float | None, about("How many a second.")]
    eta_seconds: Annotated[float | None, about("How long the rest may take.")]
    progress_at: Annotated[datetime | None, about("When the job last reported anything.")]
    waiting_for: Annotated[
        str | None, about("The named resource that the run waits for, if it does.")
    ]
    stalled: Annotated[
        bool, about("The job has reported nothing for 30 seconds; its status is the same.")
    ] = False
    memory_bytes: Annotated[
        int | None,
        about("Resident memory of the job's child processes; null where it is not measured."),
    ] = None
    cpu_seconds: Annotated[
        float | None, about("Processor time of the job's child processes that live.")
    ] = None

    @classmethod
    def of(cls, detail: ProgressDetail) -> Self:
        """Return the document of a progress report."""
        return cls(
            done=detail.done,
            total=detail.total,
            unit=detail.unit,
            current_item=detail.current_item,
            rate_per_second=detail.rate_per_second,
            eta_seconds=plain_or_none(detail.eta_seconds),
            progress_at=detail.progress_at,
            waiting_for=detail.waiting_for,
            stalled=detail.stalled,
            memory_bytes=detail.memory_bytes,
            cpu_seconds=plain_or_none(detail.cpu_seconds),
        )


class QueueDocument(Document, frozen=True, kw_only=True):
    """Why a job waits, and where it stands."""

    position: Annotated[
        int | None,
        about(
            "The rank, from 1, among all waiting jobs as if no limit applied; null while created."
        ),
    ]
    length: Annotated[int, about("How many jobs are queued in all.")]
    blocked_by: Annotated[
        tuple[str, ...],
        about("What makes the dispatcher pass the job over; the first with none starts next."),
    ]
    until: Annotated[
        datetime | None, about("The latest known end of these reasons; null when none is known.")
    ] = None
    estimated_wait_seconds: Annotated[
        tuple[float, float] | None,
        about("A range from recent durations; null when nothing is known."),
    ]

    @classmethod
    def of(cls, queue: QueueStatus) -> Self:
        """Return the document of a waiting job's place."""
        wait = queue.estimated_wait_seconds
        return cls(
            position=queue.position,
            length=queue.length,
            blocked_by=queue.blocked_by,
            until=queue.until,
            estimated_wait_seconds=wait and (plain(wait[0]), plain(wait[1])),
        )


class ChildrenDocument(Document, frozen=True, kw_only=True):
    """How far the jobs are that a job has made."""

    total: Annotated[int, about("How many there are.", rules.NOT_NEGATIVE)]
    done: Annotated[int, about("How many of them have ended.", rules.NOT_NEGATIVE)]
    failed: Annotated[int, about("How many of these have failed.", rules.NOT_NEGATIVE)]


class LinksDocument(Document, frozen=True, kw_only=True):
    """Where the job's own routes are: absolute paths."""

    own: Annotated[str, about("The job.")] = msgspec.field(name="self")
    events: Annotated[str, about("Where its events are.")]
    cancel: Annotated[str, about("Where to cancel it.")]

    @classmethod
    def of(cls, job_id: str, prefix: str) -> Self:
        """Return the links of a job; *prefix* is the path that the routes stand under."""
        here = f"{prefix}/jobs/{job_id}"
        return cls(own=here, events=f"{here}/events", cancel=f"{here}/cancel")


JobIdMember = Annotated[JobId, about("The job: a UUIDv7 in lower case.", rules.JOB_ID)]
JobTypeMember = Annotated[str, about("The name of a registered job type.")]
UserIdMember = Annotated[UserId, about("Whose it is.")]
ProjectIdMember = Annotated[ProjectId, about("The project, one of its user's.", rules.PROJECT_ID)]
StatusMember = Annotated[JobStatus, about("Where it stands.")]
DoneMember = Annotated[
    bool, about("True once `finished_at` is set: completed, failed or cancelled.")
]
VersionMember = Annotated[int, about("Grows by one with each stored change.", rules.FROM_ONE)]
PriorityMember = Annotated[int, about("0 to 9, 9 first.", rules.PRIORITY)]
LabelsMember = Annotated[dict[str, str], about("The caller's own marks.", rules.LABELS)]
ParentIdMember = Annotated[JobId | None, about("The job whose run made this one, if one did.")]
ChildrenMember = Annotated[
    ChildrenDocument | None, about("The jobs that it has made; null if it made none.")
]
AttemptMember = Annotated[int, about("0 before the first start.", rules.NOT_NEGATIVE)]
MaxAttemptsMember = Annotated[
    int, about("How many attempts a submit, or a retry on request, grants.", rules.FROM_ONE)
]
LimitsMember = Annotated[
    dict[str, int],
    about(
        "Its keys, those of its type among them: of all jobs with one at most so many "
        "run at a time."
    ),
]
ProgressMember = Annotated[
    int, about("0 to 100; never goes back in an attempt, 100 only when completed.", rules.PERCENT)
]
PhaseMember = Annotated[str | None, about("The phase that it is in, or was in.")]
MessageMember = Annotated[str | None, about("One line for people.")]
ProgressDetailMember = Annotated[ProgressDocument, about("The finer side of the progress.")]
QueueMember = Annotated[
    QueueDocument | None,
    about("Why the job waits and where it stands; null unless it is created or queued."),
]
CreatedAtMember = Annotated[datetime, about("When it was made.")]
QueuedAtMember = Annotated[datetime | None, about("When it was last queued.")]
ScheduleMember = Annotated[str | None, about("The schedule that submitted it, one of its user's.")]
ScheduledAtMember = Annotated[
    datetime | None,
    about(
        "The time of the schedule that it stands for, without its jitter; null when "
        "the schedule was run by hand."
    ),
]
StartAtMember = Annotated[datetime | None, about("It does not start before this time.")]
StartedAtMember = Annotated[datetime | None, about("When it last started.")]
FinishedAtMember = Annotated[datetime | None, about("When it ended.")]
UpdatedAtMember = Annotated[datetime, about("When it last changed.")]
TimeoutSecondsMember = Annotated[float, about("The longest a run may take.", rules.SECONDS)]
CancelRequestedAtMember = Annotated[datetime | None, about("When it was told to stop.")]
CancelReasonMember = Annotated[str | None, about("Why, as the caller said.")]
CheckpointMember = Annotated[
    CheckpointInfo | None, about("That a checkpoint is stored; null when none is.")
]
ResultMember = Annotated[
    dict[str, Any] | None, about("Of a completed job; null once it is `removed`.")
]
RemovedMember = Annotated[
    tuple[str, ...],
    about("Which of `options` and `result` the job had, and the server keeps no longer."),
]
ErrorMember = Annotated[JobError | None, about("Of a failed or cancelled job.")]
WarningsMember = Annotated[tuple[JobWarning, ...], about("What a reader should know besides.")]


def plain(seconds: float) -> float:
    """Return whole seconds as a whole number: 3600, not 3600.0."""
    return int(seconds) if seconds == int(seconds) else seconds


def plain_or_none(seconds: float | None) -> float | None:
    """Return `plain` seconds, if any."""
    return None if seconds is None else plain(seconds)


class DeliveryDocument(Document, frozen=True, kw_only=True):
    """One try to tell the job's end to who asked for it."""

    at: Annotated[datetime, about("When it was sent.")]
    url: Annotated[str, about("Where to.")]
    status: Annotated[int | None, about("The status of the answer; null where none came.")]
    error: Annotated[str | None, about("Why it was not taken; null where it was.")]
