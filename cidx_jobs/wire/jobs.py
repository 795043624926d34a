"""The job as the API shows it: whole, in lists, and short for pollers (api.md 1.2, 1.9)."""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Self

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from cidx_jobs.model.job.job import AttemptRecord, Job, JobStatus, PhaseState
from cidx_jobs.model.job.key_limits import all_limits
from cidx_jobs.model.job.queue_status import QueueStatus
from cidx_jobs.model.listing import ChildCounts
from cidx_jobs.model.webhooks.end_notice import NoticeTry
from cidx_jobs.wire import job_parts as of_job
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.encode import Document, NextCursor, decode, encode
from cidx_jobs.wire.job_parts import (
    ChildrenDocument,
    DeliveryDocument,
    LinksDocument,
    ProgressDocument,
    QueueDocument,
    plain,
)
from cidx_jobs.wire.member_rules import about

MAX_SHOWN_ATTEMPTS = 20
"""How many ended runs of a job are shown, the newest."""


class SharedMembers(Document, frozen=True, kw_only=True):
    """What every form of a job shows."""

    job_id: of_job.JobIdMember
    job_type: of_job.JobTypeMember
    user_id: of_job.UserIdMember
    project_id: of_job.ProjectIdMember
    status: of_job.StatusMember
    done: of_job.DoneMember
    version: of_job.VersionMember
    priority: of_job.PriorityMember
    labels: of_job.LabelsMember
    parent_id: of_job.ParentIdMember = None
    children: of_job.ChildrenMember = None
    attempt: of_job.AttemptMember
    max_attempts: of_job.MaxAttemptsMember
    limits: of_job.LimitsMember = msgspec.field(default_factory=dict)
    progress: of_job.ProgressMember
    phase: of_job.PhaseMember
    message: of_job.MessageMember
    progress_detail: of_job.ProgressDetailMember
    queue: of_job.QueueMember
    created_at: of_job.CreatedAtMember
    queued_at: of_job.QueuedAtMember
    start_at: of_job.StartAtMember
    schedule: of_job.ScheduleMember = None
    scheduled_at: of_job.ScheduledAtMember = None
    started_at: of_job.StartedAtMember
    finished_at: of_job.FinishedAtMember
    updated_at: of_job.UpdatedAtMember
    timeout_seconds: of_job.TimeoutSecondsMember
    cancel_requested_at: of_job.CancelRequestedAtMember
    cancel_reason: of_job.CancelReasonMember
    checkpoint: of_job.CheckpointMember
    result: of_job.ResultMember
    error: of_job.ErrorMember
    warnings: of_job.WarningsMember
    removed: of_job.RemovedMember = ()


class JobMembers(SharedMembers, frozen=True, kw_only=True):
    """What the whole job and its row in a list have in common."""

    phases: Annotated[tuple[PhaseState, ...], about("The phases in their order.")]
    links: Annotated[LinksDocument, about("Where its own routes are.")]


class JobDocument(JobMembers, frozen=True, kw_only=True):
    """The whole job."""

    options: Annotated[
        dict[str, Any] | None,
        about("What the job was told, by its type's schema; null once they are `removed`."),
    ]
    attempts: Annotated[
        tuple[AttemptRecord, ...],
        about(f"One entry for each ended run, the newest {MAX_SHOWN_ATTEMPTS}."),
    ]
    attempts_omitted: Annotated[
        int, about("How many older runs are not among them.", rules.NOT_NEGATIVE)
    ] = 0
    notify: Annotated[
        tuple[str, ...], about("Where its end is told, for those who asked for it.")
    ] = ()
    deliveries: Annotated[
        tuple[DeliveryDocument, ...],
        about(
            "The tries to tell it, oldest first. They are no change of the job: its "
            "version and its tag stay."
        ),
    ] = ()

    @classmethod
    def of(
        cls, job: Job, queue: QueueStatus | None, prefix: str, children: ChildCounts | None = None
    ) -> Self:
        """Return the document of a job; *prefix* is the path that the routes stand under."""
        return cls(**_members(job, queue, children), **_whole(job, prefix), **_attempts(job))

    def with_deliveries(self, tries: Iterable[NoticeTry]) -> Self:
        """Return the document with the tries to tell the job's end."""
        return replace(self, deliveries=tuple(map(DeliveryDocument.like, tries)))


class ListedJobDocument(JobMembers, frozen=True, kw_only=True):
    """A job in a list: without what may be long, and with the names that the CIDX client reads."""

    options: Annotated[
        dict[str, Any] | None,
        about("What the job was told; null if it is `omitted` or `removed`."),
    ]
    omitted: Annotated[
        tuple[str, ...],
        about(
            "Which of `options`, `result` and `error` are left out (null) because "
            "they are long: the job itself has them."
        ),
    ] = ()

    operation_type: Annotated[str, about("The same as `job_type`.")]
    username: Annotated[str, about("The same as `user_id`.")]
    completed_at: Annotated[datetime | None, about("The same as `finished_at`.")]

    @classmethod
    def of(
        cls,
        job: Job,
        queue: QueueStatus | None,
        prefix: str,
        omitted: tuple[str, ...] = (),
        children: ChildCounts | None = None,
    ) -> Self:
        """Return the document of a job; *prefix* is the path that the routes stand under.

        Args:
            job: without the members that are *omitted*.
            queue: why it waits, if it does.
            prefix: as above.
            omitted: which of its members are left out.
            children: how many it has, if any.
        """
        members = _members(job, queue, children) | _whole(job, prefix) | _aliases(job)
        own = cls._of_its_own(job)
        return cls(**(members | dict.fromkeys(omitted)), **own, omitted=omitted)

    @classmethod
    def _of_its_own(cls, _: Job) -> dict[str, Any]:
        return {}


class AdminJobDocument(ListedJobDocument, frozen=True, kw_only=True):
    """A job in the list that the CIDX client shows to administrators."""

    id: Annotated[str, about("The same as `job_id`.")]
    type: Annotated[str, about("The same as `job_type`.")]

    @classmethod
    @override
    def _of_its_own(cls, job: Job) -> dict[str, Any]:
        return {"id": job.job_id, "type": job.job_type}


class CancelledJobDocument(JobDocument, frozen=True, kw_only=True):
    """The answer to DELETE: the job, its `message` saying what became of the request."""

    success: Annotated[bool, about("Always true: errors are problem documents.")]

    @classmethod
    def of(
        cls, job: Job, queue: QueueStatus | None, prefix: str, children: ChildCounts | None = None
    ) -> Self:
        """Return the answer for a job that was told to stop."""
        is_over = job.status is JobStatus.CANCELLED
        message = "Job cancelled" if is_over else "Job is being cancelled"
        members = _members(job, queue, children) | {"message": message}
        return cls(**members, **_whole(job, prefix), **_attempts(job), success=True)


class JobListDocument(Document, frozen=True, kw_only=True):
    """One page of jobs."""

    jobs: Annotated[tuple[ListedJobDocument, ...], about("The jobs.")]
    total: Annotated[
        int, about("How many fit the filters in all; see `total_is_exact`.", rules.NOT_NEGATIVE)
    ]
    total_is_exact: Annotated[bool, about("False: there are at least so many.")]
    limit: Annotated[int, about("How many there may be on the page.", rules.FROM_ONE)]
    offset: Annotated[int, about("How many were passed over.", rules.NOT_NEGATIVE)]
    next_cursor: NextCursor


class StatusDocument(SharedMembers, frozen=True, kw_only=True):
    """The short form for pollers: `status` is never created, and `message` is always text."""

    phase: Annotated[
        str,
        about(
            "`queued` while the job waits, `starting` before the first phase, and the "
            "status of an ended job that had none."
        ),
    ]
    message: Annotated[str, about("One line for people; never empty.")]
    id: Annotated[str, about("The same as `job_id`.")]
    operation_type: Annotated[str, about("The same as `job_type`.")]
    username: Annotated[str, about("The same as `user_id`.")]
    repository_id: Annotated[str, about("The same as `project_id`.")]
    error_details: Annotated[str | None, about("Text when failed.")]
    completed_at: Annotated[datetime | None, about("The same as `finished_at`.")]

    @classmethod
    def of(cls, job: Job, queue: QueueStatus | None, children: ChildCounts | None = None) -> Self:
        """Return the short form of a job."""
        members = _members(job, queue, children) | {"message": describe(job, queue)}
        if job.status.is_waiting:
            members |= {"status": JobStatus.QUEUED, "phase": "queued"}
        elif members["phase"] is None:
            members["phase"] = "starting" if job.status is JobStatus.RUNNING else str(job.status)
        return cls(
            **members,
            id=job.job_id,
            repository_id=job.project_id,
            error_details=_error_text(job),
            **_aliases(job),
        )


def show_job(job: Job, prefix: str) -> dict[str, Any]:
    """Return the whole job as JSON-ready values, without its place in the queue."""
    return decode(encode(JobDocument.of(job, None, prefix)), dict)


def describe(job: Job, queue: QueueStatus | None) -> str:
    """Return one line that says where the job stands; never empty."""
    match job.status:
        case JobStatus.CREATED | JobStatus.QUEUED:
            return _describe_waiting(queue)
        case JobStatus.RUNNING:
            return _describe_running(job)
        case JobStatus.CANCELLED if job.cancel_reason:
            return job.cancel_reason
        case _:
            return job.error.message if job.error else job.message or str(job.status)


def _describe_waiting(queue: QueueStatus | None) -> str:
    if queue is None:
        return "waiting"
    place = f" at position {queue.position} of {queue.length}" if queue.position else ""
    why = f" ({', '.join(queue.blocked_by)})" if queue.blocked_by else ""
    return f"waiting{place}{why}"


def _describe_running(job: Job) -> str:
    detail = job.progress_detail
    counts = None
    if detail.done is not None and detail.total is not None:
        counts = f"{detail.done} of {detail.total} {detail.unit or ''}".rstrip()
    if job.message and counts and counts not in job.message:
        return f"{job.message} ({counts})"
    return job.message or counts or job.phase or "running"


def _error_text(job: Job) -> str | None:
    if job.status is not JobStatus.FAILED or job.error is None:
        return None
    return f"{job.error.code}: {job.error.message}"


def _members(
    job: Job, queue: QueueStatus | None, children: ChildCounts | None = None
) -> dict[str, Any]:
    """Return the members that every form has."""
    members = dict(zip(_SAME, _same_of(job), strict=True))
    members["progress_detail"] = ProgressDocument.of(job.progress_detail)
    members["queue"] = QueueDocument.of(queue) if queue else None
    members["children"] = None if children is None else ChildrenDocument.like(children)
    members["limits"] = all_limits(job.limits)
    members["timeout_seconds"] = plain(job.timeout_seconds)
    if "result" in job.removed:
        members["result"] = None
    return members


def _whole(job: Job, prefix: str) -> dict[str, Any]:
    """Return the members that only the whole job has."""
    return {
        "options": None if job.lacks_options else job.options,
        "phases": job.phases,
        "links": LinksDocument.of(job.job_id, prefix),
    }


def _attempts(job: Job) -> dict[str, Any]:
    return {
        "attempts": job.attempts[-MAX_SHOWN_ATTEMPTS:],
        "attempts_omitted": max(0, len(job.attempts) - MAX_SHOWN_ATTEMPTS),
        "notify": job.notify,
    }


def _aliases(job: Job) -> dict[str, Any]:
    return {
        "operation_type": job.job_type,
        "username": job.user_id,
        "completed_at": job.finished_at,
    }


_SAME = tuple(name for name in StatusDocument.__struct_fields__ if hasattr(Job, name))
"""The members of a job that every form has by the same name."""

_same_of = attrgetter(*_SAME)
