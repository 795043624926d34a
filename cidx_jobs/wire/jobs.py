"""The job as the API shows it: whole, in lists, and short for pollers (api.md 1.2, 1.9)."""

from datetime import datetime
from typing import Any, Self

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.wait_reasons import QueueStatus
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.job_parts import (
    AttemptDocument,
    CheckpointDocument,
    ErrorDocument,
    LinksDocument,
    PhaseDocument,
    ProgressDocument,
    QueueDocument,
    WarningDocument,
    object_or_none,
    plain,
)


class JobDocument(Document, frozen=True, kw_only=True):
    """The whole job."""

    job_id: JobId
    job_type: str
    user_id: UserId
    project_id: ProjectId
    status: JobStatus
    done: bool
    """True once `finished_at` is set: completed, failed or cancelled."""
    version: int
    """Grows by one with each stored change."""
    priority: int
    """0 to 9, 9 first."""
    labels: dict[str, str]
    attempt: int
    """0 before the first start."""
    max_attempts: int
    options: dict[str, Any]
    progress: int
    """0 to 100; never goes back in an attempt, 100 only when completed."""
    phase: str | None
    message: str | None
    progress_detail: ProgressDocument
    phases: tuple[PhaseDocument, ...]
    queue: QueueDocument | None
    """Why the job waits and where it stands; null unless it is created or queued."""
    created_at: datetime
    queued_at: datetime | None
    start_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    timeout_seconds: float
    """The longest a run may take."""
    cancel_requested_at: datetime | None
    cancel_reason: str | None
    checkpoint: CheckpointDocument | None
    result: dict[str, Any] | None
    """Of a completed job."""
    error: ErrorDocument | None
    """Of a failed or cancelled job."""
    warnings: tuple[WarningDocument, ...]
    attempts: tuple[AttemptDocument, ...]
    """One entry for each ended run."""
    links: LinksDocument

    @classmethod
    def of(cls, job: Job, queue: QueueStatus | None, prefix: str) -> Self:
        """Give the document of a job; *prefix* is the path that the routes stand under."""
        return cls(**_members(job, queue), **_whole(job, prefix))


class ListedJobDocument(JobDocument, frozen=True, kw_only=True):
    """A job in a list: the whole job, and the names that the CIDX client reads."""

    operation_type: str
    """The same as `job_type`."""
    username: str
    """The same as `user_id`."""
    completed_at: datetime | None
    """The same as `finished_at`."""

    @classmethod
    def of(cls, job: Job, queue: QueueStatus | None, prefix: str) -> Self:
        """Give the document of a job; *prefix* is the path that the routes stand under."""
        return cls(**_members(job, queue), **_whole(job, prefix), **_aliases(job))


class CancelledJobDocument(JobDocument, frozen=True, kw_only=True):
    """The answer to DELETE: the job, its `message` saying what became of the request."""

    success: bool

    @classmethod
    def of(cls, job: Job, queue: QueueStatus | None, prefix: str) -> Self:
        """Give the answer for a job that was told to stop."""
        is_over = job.status is JobStatus.CANCELLED
        message = "Job cancelled" if is_over else "Job is being cancelled"
        members = _members(job, queue) | {"message": message}
        return cls(**members, **_whole(job, prefix), success=True)


class JobListDocument(Document, frozen=True, kw_only=True):
    """One page of jobs."""

    jobs: tuple[ListedJobDocument, ...]
    total: int
    """How many fit the filters in all; see `total_is_exact`."""
    total_is_exact: bool
    limit: int
    offset: int
    next_cursor: str | None
    """Brings the next page; null on the last one."""


class StatusDocument(Document, frozen=True, kw_only=True):
    """The short form for pollers: `status` is never created, and `message` is always text."""

    job_id: JobId
    job_type: str
    user_id: UserId
    project_id: ProjectId
    status: JobStatus
    done: bool
    version: int
    priority: int
    labels: dict[str, str]
    attempt: int
    max_attempts: int
    progress: int
    phase: str | None
    """``queued`` while the job waits."""
    message: str
    progress_detail: ProgressDocument
    queue: QueueDocument | None
    created_at: datetime
    queued_at: datetime | None
    start_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    timeout_seconds: float
    cancel_requested_at: datetime | None
    cancel_reason: str | None
    checkpoint: CheckpointDocument | None
    result: dict[str, Any] | None
    error: ErrorDocument | None
    warnings: tuple[WarningDocument, ...]
    id: str
    """The same as `job_id`."""
    operation_type: str
    """The same as `job_type`."""
    username: str
    """The same as `user_id`."""
    repository_id: str
    """The same as `project_id`."""
    error_details: str | None
    """Text when failed."""
    completed_at: datetime | None
    """The same as `finished_at`."""

    @classmethod
    def of(cls, job: Job, queue: QueueStatus | None) -> Self:
        """Give the short form of a job."""
        members = _members(job, queue) | {"message": describe(job, queue)}
        if job.status.is_waiting:
            members |= {"status": JobStatus.QUEUED, "phase": "queued"}
        return cls(
            **members,
            id=job.job_id,
            repository_id=job.project_id,
            error_details=_error_text(job),
            **_aliases(job),
        )


def describe(job: Job, queue: QueueStatus | None) -> str:
    """Give one line that says where the job stands; never empty."""
    match job.status:
        case JobStatus.CREATED | JobStatus.QUEUED:
            return _describe_waiting(queue)
        case JobStatus.RUNNING:
            return _describe_running(job)
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


def _members(job: Job, queue: QueueStatus | None) -> dict[str, Any]:
    """Give the members that every form has."""
    return {
        "job_id": job.job_id,
        "job_type": job.job_type,
        "user_id": job.user_id,
        "project_id": job.project_id,
        "status": job.status,
        "done": job.done,
        "version": job.version,
        "priority": job.priority,
        "labels": dict(job.labels),
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "progress": job.progress,
        "phase": job.phase,
        "message": job.message,
        "progress_detail": ProgressDocument.of(job.progress_detail),
        "queue": QueueDocument.of(queue) if queue else None,
        "created_at": job.created_at,
        "queued_at": job.queued_at,
        "start_at": job.start_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "updated_at": job.updated_at,
        "timeout_seconds": plain(job.timeout_seconds),
        "cancel_requested_at": job.cancel_requested_at,
        "cancel_reason": job.cancel_reason,
        "checkpoint": CheckpointDocument.of(job.checkpoint) if job.checkpoint else None,
        "result": object_or_none(job.result),
        "error": ErrorDocument.of(job.error) if job.error else None,
        "warnings": tuple(map(WarningDocument.of, job.warnings)),
    }


def _whole(job: Job, prefix: str) -> dict[str, Any]:
    """Give the members that only the whole job has."""
    return {
        "options": dict(job.options),
        "phases": tuple(map(PhaseDocument.of, job.phases)),
        "attempts": tuple(map(AttemptDocument.of, job.attempts)),
        "links": LinksDocument.of(job.job_id, prefix),
    }


def _aliases(job: Job) -> dict[str, Any]:
    return {
        "operation_type": job.job_type,
        "username": job.user_id,
        "completed_at": job.finished_at,
    }
