"""The transition log as the API shows it, and what live streams tell besides."""

from datetime import datetime
from typing import Annotated, Self

import msgspec
from msgspec import Meta

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


class EventDocument(Document, frozen=True, kw_only=True):
    """One row of the transition log."""

    seq: Annotated[int, Meta(description="Its number among all rows: grows, with gaps.")]
    job_id: JobIdMember
    version: Annotated[
        int, Meta(description="The job's version after it.", extra_json_schema=rules.FROM_ONE)
    ]
    event: Annotated[str, Meta(description="What happened.")]
    from_status: Annotated[JobStatus | None, Meta(description="Null in a job's first row.")] = (
        msgspec.field(name="from")
    )
    to_status: Annotated[JobStatus, Meta(description="The status after it.")] = msgspec.field(
        name="to"
    )
    at: Annotated[datetime, Meta(description="When it was stored.")]
    attempt: Annotated[
        int,
        Meta(
            description="The attempt; 0 before the first start.",
            extra_json_schema=rules.NOT_NEGATIVE,
        ),
    ]
    reason: Annotated[
        str | None,
        Meta(
            description="Why; always said where an attempt ends: by the code of its error, where "
            "nothing else is known."
        ),
    ]
    actor: Annotated[
        str | None, Meta(description="The user who asked for it; null for the server itself.")
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

    events: Annotated[
        tuple[EventDocument, ...], Meta(description="Rows of the log, oldest first.")
    ]
    next_cursor: NextCursor


class ProgressEventDocument(Document, frozen=True, kw_only=True):
    """A progress report, as the live streams tell it."""

    job_id: JobIdMember
    version: VersionMember
    status: StatusMember
    progress: Annotated[int, Meta(description="0 to 100.", extra_json_schema=rules.PERCENT)]
    phase: PhaseMember
    message: MessageMember
    progress_detail: ProgressDetailMember

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the document of what a job last reported."""
        return cls.like(job, progress_detail=ProgressDocument.of(job.progress_detail))


class ResetDocument(Document, frozen=True, kw_only=True):
    """The log no longer holds what comes after the id that the reader brought."""

    oldest_seq: Annotated[int, Meta(description="Where the log begins now; 0 when it is empty.")]
