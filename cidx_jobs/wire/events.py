"""The transition log as the API shows it, and what live streams tell besides."""

from datetime import datetime
from typing import Annotated, Self

import msgspec

from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.encode import Document, NextCursor
from cidx_jobs.wire.job_parts import (
    JobIdMember,
    MessageMember,
    PhaseMember,
    ProgressDetailMember,
    ProgressDocument,
    StatusMember,
    VersionMember,
)
from cidx_jobs.wire.member_rules import about


class EventDocument(Document, frozen=True, kw_only=True):
    """One row of the transition log."""

    seq: Annotated[int, about("Its number among all rows: grows, with gaps.")]
    job_id: JobIdMember
    version: Annotated[int, about("The job's version after it.", rules.FROM_ONE)]
    event: Annotated[str, about("What happened.")]
    from_status: Annotated[JobStatus | None, about("Null in a job's first row.")] = msgspec.field(
        name="from"
    )
    to_status: Annotated[JobStatus, about("The status after it.")] = msgspec.field(name="to")
    at: Annotated[datetime, about("When it was stored.")]
    attempt: Annotated[int, about("The attempt; 0 before the first start.", rules.NOT_NEGATIVE)]
    reason: Annotated[
        str | None,
        about(
            "Why; always said where an attempt ends: by the code of its error, where "
            "nothing else is known."
        ),
    ]
    actor: Annotated[
        str | None, about("The user who asked for it; null for the server itself.")
    ] = None

    @classmethod
    def of(cls, row: Transition) -> Self:
        """Return the document of a row."""
        # Each by its name, and not by `like`: pages and streams make thousands of them.
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
            actor=row.actor,
        )


class EventListDocument(Document, frozen=True, kw_only=True):
    """One page of the log, oldest first."""

    events: Annotated[tuple[EventDocument, ...], about("Rows of the log, oldest first.")]
    next_cursor: NextCursor


class ProgressEventDocument(Document, frozen=True, kw_only=True):
    """A progress report, as the live streams tell it."""

    job_id: JobIdMember
    version: VersionMember
    status: StatusMember
    progress: Annotated[int, about("0 to 100.", rules.PERCENT)]
    phase: PhaseMember
    message: MessageMember
    progress_detail: ProgressDetailMember

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the document of what a job last reported."""
        return cls.like(job, progress_detail=ProgressDocument.of(job.progress_detail))


class ResetDocument(Document, frozen=True, kw_only=True):
    """The log no longer holds what comes after the id that the reader brought."""

    oldest_seq: Annotated[int, about("Where the log begins now; 0 when it is empty.")]
