"""How long things are kept, as the API shows it, and what goes soon."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import msgspec

from cidx_jobs.model.listing import Project
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.job_parts import ProjectIdMember, UserIdMember, plain
from cidx_jobs.wire.member_rules import about

MAX_NAMED = 100
"""How many projects are named whose copies go soon."""


class ExpiringProjectDocument(Document, frozen=True, kw_only=True):
    """A project whose copy and index go soon, unless it is synced before."""

    user_id: UserIdMember
    project_id: ProjectIdMember
    bytes: Annotated[int, about("What its copy and index take; others may use them.")]


class RetentionDocument(Document, frozen=True, kw_only=True):
    """How long finished jobs and unused copies are kept, and whose copies go within a day."""

    seconds_by_status: Annotated[dict[str, float], about("How long a finished job is kept.")] = (
        msgspec.field(default_factory=dict)
    )
    seconds_by_type: Annotated[
        dict[str, float], about("The same for job types that have a time of their own.")
    ] = msgspec.field(default_factory=dict)
    payload_seconds: Annotated[
        float,
        about(
            "How long it keeps `options` and `result`; 0: as long as it stays itself.",
            rules.NOT_NEGATIVE,
        ),
    ] = 0
    project_seconds: Annotated[
        float,
        about(
            "How long copy and index stay of what nobody syncs; 0: for ever.", rules.NOT_NEGATIVE
        ),
    ] = 0
    projects_expiring: Annotated[
        int,
        about(
            "Projects whose copy and index go within a day unless they are synced.",
            rules.NOT_NEGATIVE,
        ),
    ] = 0
    expiring: Annotated[
        tuple[ExpiringProjectDocument, ...], about(f"The first {MAX_NAMED} of these.")
    ] = ()

    @classmethod
    def of(
        cls,
        *,
        by_status: Mapping[str, float],
        by_type: Mapping[str, float],
        payload_seconds: float,
        project_seconds: float,
        expiring: Sequence[Project],
    ) -> Self:
        """Return the document of these times; *expiring* are the projects whose copies go soon."""
        return cls(
            seconds_by_status={name: plain(each) for name, each in by_status.items()},
            seconds_by_type={name: plain(each) for name, each in by_type.items()},
            payload_seconds=plain(payload_seconds),
            project_seconds=plain(project_seconds),
            projects_expiring=len(expiring),
            expiring=tuple(
                ExpiringProjectDocument.like(
                    project, bytes=(project.repository_bytes or 0) + (project.index_bytes or 0)
                )
                for project in expiring[:MAX_NAMED]
            ),
        )
