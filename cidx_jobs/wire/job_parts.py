"""What a job document is made of (api.md 1.2): the smaller documents in it, and its members."""

from datetime import datetime
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

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


class ProgressDocument(Document, frozen=True, kw_only=True):
    """The finer side of the progress; every member may be unknown (null)."""

    done: Annotated[int | None, Meta(description="How many of the units are done.")]
    total: Annotated[
        int | None,
        Meta(
            description="How many units there are; it may grow.",
            extra_json_schema=rules.NOT_NEGATIVE,
        ),
    ]
    unit: Annotated[str | None, Meta(description="What is counted.")]
    current_item: Annotated[str | None, Meta(description="What is worked on.")]
    rate_per_second: Annotated[float | None, Meta(description="How many a second.")]
    eta_seconds: Annotated[float | None, Meta(description="How long the rest may take.")]
    progress_at: Annotated[
        datetime | None, Meta(description="When the job last reported anything.")
    ]
    waiting_for: Annotated[
        str | None, Meta(description="The named resource that the run waits for, if it does.")
    ]
    stalled: Annotated[
        bool,
        Meta(description="The job has reported nothing for 30 seconds; its status is the same."),
    ] = False
    memory_bytes: Annotated[
        int | None,
        Meta(
            description="Resident memory of the job's child processes; null where it is not "
            "measured."
        ),
    ] = None
    cpu_seconds: Annotated[
        float | None, Meta(description="Processor time of the job's child processes that live.")
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
        Meta(
            description="The rank, from 1, among all waiting jobs as if no limit applied; null "
            "while created."
        ),
    ]
    length: Annotated[int, Meta(description="How many jobs are queued in all.")]
    blocked_by: Annotated[
        tuple[str, ...],
        Meta(
            description="What makes the dispatcher pass the job over; the first with none starts "
            "next."
        ),
    ]
    until: Annotated[
        datetime | None,
        Meta(description="The latest known end of these reasons; null when none is known."),
    ] = None
    estimated_wait_seconds: Annotated[
        tuple[float, float] | None,
        Meta(description="A range from recent durations; null when nothing is known."),
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

    total: Annotated[
        int, Meta(description="How many there are.", extra_json_schema=rules.NOT_NEGATIVE)
    ]
    done: Annotated[
        int,
        Meta(description="How many of them have ended.", extra_json_schema=rules.NOT_NEGATIVE),
    ]
    failed: Annotated[
        int,
        Meta(description="How many of these have failed.", extra_json_schema=rules.NOT_NEGATIVE),
    ]


class LinksDocument(Document, frozen=True, kw_only=True):
    """Where the job's own routes are: absolute paths."""

    own: Annotated[str, Meta(description="The job.")] = msgspec.field(name="self")
    events: Annotated[str, Meta(description="Where its events are.")]
    cancel: Annotated[str, Meta(description="Where to cancel it.")]

    @classmethod
    def of(cls, job_id: str, prefix: str) -> Self:
        """Return the links of a job; *prefix* is the path that the routes stand under."""
        here = f"{prefix}/jobs/{job_id}"
        return cls(own=here, events=f"{here}/events", cancel=f"{here}/cancel")


JobIdMember = Annotated[
    JobId, Meta(description="The job: a UUIDv7 in lower case.", extra_json_schema=rules.JOB_ID)
]
JobTypeMember = Annotated[str, Meta(description="The name of a registered job type.")]
UserIdMember = Annotated[UserId, Meta(description="Whose it is.")]
ProjectIdMember = Annotated[
    ProjectId,
    Meta(description="The project, one of its user's.", extra_json_schema=rules.PROJECT_ID),
]
StatusMember = Annotated[JobStatus, Meta(description="Where it stands.")]
DoneMember = Annotated[
    bool, Meta(description="True once `finished_at` is set: completed, failed or cancelled.")
]
VersionMember = Annotated[
    int,
    Meta(description="Grows by one with each stored change.", extra_json_schema=rules.FROM_ONE),
]
PriorityMember = Annotated[
    int, Meta(description="0 to 9, 9 first.", extra_json_schema=rules.PRIORITY)
]
LabelsMember = Annotated[
    dict[str, str], Meta(description="The caller's own marks.", extra_json_schema=rules.LABELS)
]
ParentIdMember = Annotated[
    JobId | None, Meta(description="The job whose run made this one, if one did.")
]
ChildrenMember = Annotated[
    ChildrenDocument | None, Meta(description="The jobs that it has made; null if it made none.")
]
AttemptMember = Annotated[
    int, Meta(description="0 before the first start.", extra_json_schema=rules.NOT_NEGATIVE)
]
MaxAttemptsMember = Annotated[
    int,
    Meta(
        description="How many attempts a submit, or a retry on request, grants.",
        extra_json_schema=rules.FROM_ONE,
    ),
]
LimitsMember = Annotated[
    dict[str, int],
    Meta(
        description="Its keys, those of its type among them: of all jobs with one at most so many "
        "run at a time."
    ),
]
ProgressMember = Annotated[
    int,
    Meta(
        description="0 to 100; never goes back in an attempt, 100 only when completed.",
        extra_json_schema=rules.PERCENT,
    ),
]
PhaseMember = Annotated[str | None, Meta(description="The phase that it is in, or was in.")]
MessageMember = Annotated[str | None, Meta(description="One line for people.")]
ProgressDetailMember = Annotated[
    ProgressDocument, Meta(description="The finer side of the progress.")
]
QueueMember = Annotated[
    QueueDocument | None,
    Meta(
        description="Why the job waits and where it stands; null unless it is created or queued."
    ),
]
CreatedAtMember = Annotated[datetime, Meta(description="When it was made.")]
QueuedAtMember = Annotated[datetime | None, Meta(description="When it was last queued.")]
ScheduleMember = Annotated[
    str | None, Meta(description="The schedule that submitted it, one of its user's.")
]
ScheduledAtMember = Annotated[
    datetime | None,
    Meta(
        description="The time of the schedule that it stands for, without its jitter; null when "
        "the schedule was run by hand."
    ),
]
StartAtMember = Annotated[datetime | None, Meta(description="It does not start before this time.")]
StartedAtMember = Annotated[datetime | None, Meta(description="When it last started.")]
FinishedAtMember = Annotated[datetime | None, Meta(description="When it ended.")]
UpdatedAtMember = Annotated[datetime, Meta(description="When it last changed.")]
TimeoutSecondsMember = Annotated[
    float, Meta(description="The longest a run may take.", extra_json_schema=rules.SECONDS)
]
CancelRequestedAtMember = Annotated[datetime | None, Meta(description="When it was told to stop.")]
CancelReasonMember = Annotated[str | None, Meta(description="Why, as the caller said.")]
CheckpointMember = Annotated[
    CheckpointInfo | None,
    Meta(description="That a checkpoint is stored; null when none is."),
]
ResultMember = Annotated[
    dict[str, Any] | None, Meta(description="Of a completed job; null once it is `removed`.")
]
RemovedMember = Annotated[
    tuple[str, ...],
    Meta(
        description="Which of `options` and `result` the job had, and the server keeps no longer."
    ),
]
ErrorMember = Annotated[JobError | None, Meta(description="Of a failed or cancelled job.")]
WarningsMember = Annotated[
    tuple[JobWarning, ...], Meta(description="What a reader should know besides.")
]


def plain(seconds: float) -> float:
    """Return whole seconds as a whole number: 3600, not 3600.0."""
    return int(seconds) if seconds == int(seconds) else seconds


def plain_or_none(seconds: float | None) -> float | None:
    """Return `plain` seconds, if any."""
    return None if seconds is None else plain(seconds)


class DeliveryDocument(Document, frozen=True, kw_only=True):
    """One try to tell the job's end to who asked for it."""

    at: Annotated[datetime, Meta(description="When it was sent.")]
    url: Annotated[str, Meta(description="Where to.")]
    status: Annotated[
        int | None, Meta(description="The status of the answer; null where none came.")
    ]
    error: Annotated[str | None, Meta(description="Why it was not taken; null where it was.")]
