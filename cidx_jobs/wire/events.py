"""The transition log as the API shows it, and what live streams tell besides."""

from datetime import datetime
from typing import Self

import msgspec

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.job_parts import ProgressDocument


class EventDocument(Document, frozen=True, kw_only=True):
    """One row of the transition log."""

    seq: int
    """Its number among all rows: grows, with gaps."""
    job_id: JobId
    version: int
    """The job's version after it."""
    event: str
    from_status: JobStatus | None = msgspec.field(name="from")
    """Null in a job's first row."""
    to_status: JobStatus = msgspec.field(name="to")
    at: datetime
    attempt: int
    reason: str | None

    @classmethod
    def of(cls, row: Transition) -> Self:
        """Give the document of a row."""
        return cls(
            seq=row.sequence,
            job_id=row.job_id,
            version=row.version,
            event=row.event,
            from_status=row.from_status,
            to_status=row.to_status,
            at=row.at,
            attempt=row.attempt,
            reason=row.reason,
        )


class EventListDocument(Document, frozen=True, kw_only=True):
    """One page of the log, oldest first."""

    events: tuple[EventDocument, ...]
    next_cursor: str | None
    """Brings the next page; null when there is none yet."""


class ProgressEventDocument(Document, frozen=True, kw_only=True):
    """A progress report, as the live streams tell it."""

    job_id: JobId
    version: int
    status: JobStatus
    progress: int
    phase: str | None
    message: str | None
    progress_detail: ProgressDocument

    @classmethod
    def of(cls, job: Job) -> Self:
        """Give the document of what a job last reported."""
        return cls(
            job_id=job.job_id,
            version=job.version,
            status=job.status,
            progress=job.progress,
            phase=job.phase,
            message=job.message,
            progress_detail=ProgressDocument.of(job.progress_detail),
        )


class ResetDocument(Document, frozen=True, kw_only=True):
    """The log no longer holds what comes after the id that the reader brought."""

    oldest_seq: int
    """Where the log begins now; 0 when it is empty."""
