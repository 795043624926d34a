"""What a job document is made of (api.md 1.2), each made from the value of the same meaning."""

from datetime import datetime
from typing import Any, Self

import msgspec

from cidx_jobs.model.job.job import (
    AttemptRecord,
    Category,
    CheckpointInfo,
    JobError,
    JobWarning,
    JsonObject,
    Outcome,
    PhaseState,
    PhaseStatus,
    ProgressDetail,
    Severity,
)
from cidx_jobs.model.job.wait_reasons import QueueStatus
from cidx_jobs.wire.encode import Document


class ProgressDocument(Document, frozen=True, kw_only=True):
    """The finer side of the progress; every member may be unknown (null)."""

    done: int | None
    """How many of the units are done."""
    total: int | None
    """How many units there are; it may grow."""
    unit: str | None
    current_item: str | None
    rate_per_second: float | None
    eta_seconds: float | None
    progress_at: datetime | None
    """When the job last reported anything."""
    waiting_for: str | None
    """The named resource that the run waits for, if it does."""
    stalled: bool = False
    """The job has reported nothing for 30 seconds; its status is the same."""
    memory_bytes: int | None = None
    """Resident memory of the job's child processes; null where it is not measured."""
    cpu_seconds: float | None = None
    """Processor time of the job's child processes that live."""

    @classmethod
    def of(cls, detail: ProgressDetail) -> Self:
        """Give the document of a progress report."""
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


class PhaseDocument(Document, frozen=True, kw_only=True):
    """One phase of the job."""

    name: str
    status: PhaseStatus
    weight: float
    """Its share of the whole, 0 to 1."""
    progress: int
    """0 to 100 within the phase."""
    started_at: datetime | None
    finished_at: datetime | None
    message: str | None
    result: dict[str, Any] | None

    @classmethod
    def of(cls, phase: PhaseState) -> Self:
        """Give the document of a phase."""
        return cls(
            name=phase.name,
            status=phase.status,
            weight=phase.weight,
            progress=phase.progress,
            started_at=phase.started_at,
            finished_at=phase.finished_at,
            message=phase.message,
            result=object_or_none(phase.result),
        )


class QueueDocument(Document, frozen=True, kw_only=True):
    """Why a job waits, and where it stands."""

    position: int | None
    """The rank, from 1, among all waiting jobs as if no limit applied; null while created."""
    length: int
    """How many jobs are queued in all."""
    blocked_by: tuple[str, ...]
    """What makes the dispatcher pass the job over; the first with none starts next."""
    estimated_wait_seconds: tuple[float, float] | None
    """A range from recent durations; null when nothing is known."""

    @classmethod
    def of(cls, queue: QueueStatus) -> Self:
        """Give the document of a waiting job's place."""
        wait = queue.estimated_wait_seconds
        return cls(
            position=queue.position,
            length=queue.length,
            blocked_by=queue.blocked_by,
            estimated_wait_seconds=wait and (plain(wait[0]), plain(wait[1])),
        )


class ErrorDocument(Document, frozen=True, kw_only=True):
    """Why a job or a run of it did not complete."""

    code: str
    """Documented, stable and never reused."""
    category: Category
    severity: Severity
    retryable: bool
    message: str
    phase: str | None
    occurred_at: datetime
    actions: tuple[str, ...]
    """What the reader can do, most useful first."""

    @classmethod
    def of(cls, error: JobError) -> Self:
        """Give the document of an error."""
        return cls(
            code=error.code,
            category=error.category,
            severity=error.severity,
            retryable=error.retryable,
            message=error.message,
            phase=error.phase,
            occurred_at=error.occurred_at,
            actions=error.actions,
        )


class WarningDocument(Document, frozen=True, kw_only=True):
    """Something a reader should know, which did not end the job."""

    code: str
    message: str
    count: int
    """How many times it was reported."""

    @classmethod
    def of(cls, warning: JobWarning) -> Self:
        """Give the document of a warning."""
        return cls(code=warning.code, message=warning.message, count=warning.count)


class AttemptDocument(Document, frozen=True, kw_only=True):
    """One ended run."""

    attempt: int
    started_at: datetime
    finished_at: datetime
    outcome: Outcome
    error: ErrorDocument | None

    @classmethod
    def of(cls, record: AttemptRecord) -> Self:
        """Give the document of an ended run."""
        return cls(
            attempt=record.attempt,
            started_at=record.started_at,
            finished_at=record.finished_at,
            outcome=record.outcome,
            error=ErrorDocument.of(record.error) if record.error else None,
        )


class CheckpointDocument(Document, frozen=True, kw_only=True):
    """That a checkpoint is stored; its content is for the job alone."""

    phase: str | None
    saved_at: datetime

    @classmethod
    def of(cls, checkpoint: CheckpointInfo) -> Self:
        """Give the document of a stored checkpoint."""
        return cls(phase=checkpoint.phase, saved_at=checkpoint.saved_at)


class LinksDocument(Document, frozen=True, kw_only=True):
    """Where the job's own routes are: absolute paths."""

    own: str = msgspec.field(name="self")
    events: str
    cancel: str

    @classmethod
    def of(cls, job_id: str, prefix: str) -> Self:
        """Give the links of a job; *prefix* is the path that the routes stand under."""
        here = f"{prefix}/jobs/{job_id}"
        return cls(own=here, events=f"{here}/events", cancel=f"{here}/cancel")


def plain(seconds: float) -> float:
    """Give whole seconds as a whole number: 3600, not 3600.0."""
    return int(seconds) if seconds == int(seconds) else seconds


def plain_or_none(seconds: float | None) -> float | None:
    """Give `plain` seconds, if any."""
    return None if seconds is None else plain(seconds)


def object_or_none(value: JsonObject | None) -> dict[str, Any] | None:
    """Give a JSON object as the dict that the encoder takes."""
    return None if value is None else dict(value)
