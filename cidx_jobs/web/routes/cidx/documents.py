"""What the client of CIDX reads besides the documents of everybody (api.md 1.9)."""

from datetime import datetime
from typing import Annotated, Self

import msgspec

from cidx_jobs.model.job.job import Job
from cidx_jobs.model.listing import JobFigures, Project
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.jobs import AdminJobDocument
from cidx_jobs.wire.member_rules import about

_PERCENT = 100.0


class CidxProgressDocument(Document, frozen=True, kw_only=True):
    """How far a sync is that was just submitted."""

    percentage: Annotated[int, about("0 to 100.", rules.PERCENT)]
    files_processed: Annotated[int, about("Always 0: it has only been submitted.")]
    files_total: Annotated[int, about("Always 0, which is: not known yet.")]
    current_file: Annotated[str | None, about("Always null.")]


class CidxOptionsDocument(Document, frozen=True, kw_only=True):
    """What a sync was told, as it was understood."""

    force: Annotated[bool, about("It replaces an active one.")]
    full_reindex: Annotated[bool, about("Everything is indexed anew.")]
    incremental: Annotated[bool, about("The opposite.")]


class CidxSyncDocument(Document, frozen=True, kw_only=True):
    """A sync that was accepted."""

    job_id: Annotated[str, about("The job.", rules.JOB_ID)]
    status: Annotated[str, about("Always `queued`.")]
    repository_id: Annotated[str, about("The project.")]
    created_at: Annotated[datetime, about("When the job was submitted.")]
    message: Annotated[str, about("One line for people; never empty.")]
    job_url: Annotated[str, about("Where to ask for the job.")]
    progress: Annotated[CidxProgressDocument, about("How far it is.")]
    options: Annotated[CidxOptionsDocument, about("What it was told.")]

    @classmethod
    def of(cls, job: Job, options: CidxOptionsDocument, *, message: str, prefix: str) -> Self:
        """Return the document of a job that was submitted or joined."""
        return cls(
            job_id=job.job_id,
            status="queued",
            repository_id=job.project_id,
            created_at=job.created_at,
            message=message,
            job_url=f"{prefix}/jobs/{job.job_id}",
            progress=CidxProgressDocument(
                percentage=job.progress, files_processed=0, files_total=0, current_file=None
            ),
            options=options,
        )


class CidxRepositoryDocument(Document, frozen=True, kw_only=True):
    """A project, in the words of CIDX; there is no golden repository behind it."""

    activation_id: Annotated[str, about("The project.")]
    golden_alias: Annotated[str, about("The project.")]
    user_alias: Annotated[str, about("The project.")]
    branch: Annotated[str, about("Empty before the first sync of a default branch.")]
    current_branch: Annotated[str, about("The same.")]
    status: Annotated[str, about("`active`, or `pending` before the first sync.")]
    activated_at: Annotated[str, about("The last good sync; empty before the first.")]
    last_accessed: Annotated[str, about("The same.")]
    access_permissions: Annotated[tuple[str, ...], about("Always empty.")]
    query_endpoint: Annotated[str, about("Where its index is searched.")]
    expires_at: Annotated[str, about("Always empty: it does not expire.")]
    usage_limits: Annotated[dict[str, int], about("Always empty.")]

    @classmethod
    def of(cls, project: Project, prefix: str) -> Self:
        """Return the document of a project."""
        branch, synced = branch_of(project), _text(project.last_synced_at)
        return cls(
            activation_id=project.project_id,
            golden_alias=project.project_id,
            user_alias=project.project_id,
            branch=branch,
            current_branch=branch,
            status="active" if synced else "pending",
            activated_at=synced,
            last_accessed=synced,
            access_permissions=(),
            query_endpoint=f"{prefix}/projects/{project.project_id}/search",
            expires_at="",
            usage_limits={},
        )


class CidxRepositoryListDocument(Document, frozen=True, kw_only=True):
    """The caller's projects."""

    repositories: Annotated[tuple[CidxRepositoryDocument, ...], about("By id.")]
    total: Annotated[int, about("How many.", rules.NOT_NEGATIVE)]


class CidxMatchDocument(Document, frozen=True, kw_only=True):
    """A project that is a copy of the repository that was asked for."""

    alias: Annotated[str, about("The project.")]
    repository_type: Annotated[str, about("Always `activated`.")]
    git_url: Annotated[str, about("The repository.")]
    available_branches: Annotated[tuple[str, ...], about("The one that is synced.")]
    default_branch: Annotated[str, about("The remote's default, where it is known.")]
    last_indexed: Annotated[datetime | None, about("The last good sync.")]
    display_name: Annotated[str, about("The project.")]
    description: Annotated[str, about("Always empty.")]

    @classmethod
    def of(cls, project: Project) -> Self:
        """Return the document of a project."""
        branch = branch_of(project)
        return cls(
            alias=project.project_id,
            repository_type="activated",
            git_url=project.repository_url or "",
            available_branches=(branch,) if branch else (),
            default_branch=project.default_branch or branch,
            last_indexed=project.last_synced_at,
            display_name=project.project_id,
            description="",
        )


class CidxDiscoveryDocument(Document, frozen=True, kw_only=True):
    """Which of the caller's projects are copies of a repository."""

    query_url: Annotated[str, about("As it was asked for.")]
    normalized_url: Annotated[str, about("What it was compared by.")]
    golden_repositories: Annotated[tuple[str, ...], about("Always empty.")]
    activated_repositories: Annotated[tuple[CidxMatchDocument, ...], about("The projects.")]
    total_matches: Annotated[int, about("How many.", rules.NOT_NEGATIVE)]


class CidxSyncStatusDocument(Document, frozen=True, kw_only=True):
    """Whether a project was synced."""

    sync_status: Annotated[str, about("`synced` or `needs_sync`.")]
    current_branch: Annotated[str, about("Empty where it is not known yet.")]
    last_sync_time: Annotated[datetime | None, about("The last good sync.")]
    has_conflicts: Annotated[bool, about("Always false: nothing is edited here.")]

    @classmethod
    def of(cls, project: Project) -> Self:
        """Return the document of a project."""
        return cls(
            sync_status="needs_sync" if project.last_synced_at is None else "synced",
            current_branch=branch_of(project),
            last_sync_time=project.last_synced_at,
            has_conflicts=False,
        )


class AdminJobListDocument(Document, frozen=True, kw_only=True):
    """One page of everybody's jobs, newest first."""

    jobs: Annotated[tuple[AdminJobDocument, ...], about("The jobs.")]
    total: Annotated[int, about("How many in all.", rules.NOT_NEGATIVE)]
    limit: Annotated[int, about("How many on a page.")]
    offset: Annotated[int, about("How many were passed over.")]


class AdminJobStatsDocument(Document, frozen=True, kw_only=True):
    """Figures of the jobs that were submitted in a span of days; numbers always."""

    total_jobs: Annotated[int, about("How many.", rules.NOT_NEGATIVE)]
    by_status: Annotated[dict[str, int], about("How many of each status.")]
    by_type: Annotated[dict[str, int], about("How many of each type.")]
    success_rate: Annotated[float, about("Per cent of those that ended well; 0.0 of none.")]
    average_duration: Annotated[float, about("Seconds of their last runs; 0.0 of none.")]

    @classmethod
    def of(cls, figures: JobFigures) -> Self:
        """Return the document of figures."""
        good, bad = (figures.by_status.get(name, 0) for name in ("completed", "failed"))
        return cls(
            total_jobs=sum(figures.by_status.values()),
            by_status=figures.by_status,
            by_type=figures.by_type,
            success_rate=_PERCENT * good / (good + bad) if good + bad else 0.0,
            average_duration=figures.average_run_seconds or 0.0,
        )


class AdminCleanupDocument(Document, frozen=True, kw_only=True):
    """What a clean-up did, or would do."""

    cleaned_count: Annotated[int, about("How many jobs.", rules.NOT_NEGATIVE)]
    message: Annotated[str, about("The same as a sentence.")]
    dry_run: Annotated[bool, about("They were only counted.")]


class MaintenanceDocument(Document, frozen=True, kw_only=True):
    """Whether the server takes new jobs, and what it still has."""

    maintenance_mode: Annotated[bool, about("New jobs are refused.")]
    drained: Annotated[bool, about("They are, and nothing runs any more.")]
    running_jobs: Annotated[int, about("How many run.")]
    queued_jobs: Annotated[int, about("How many wait.")]


class DrainDocument(MaintenanceDocument, frozen=True, kw_only=True):
    """The same, with the jobs that still run."""

    jobs: Annotated[tuple[AdminJobDocument, ...], about("Those that run, at most 200.")]


class DrainTimeoutDocument(Document, frozen=True, kw_only=True):
    """How long it may take until nothing runs any more."""

    recommended_drain_timeout_seconds: Annotated[
        int, about("The longest time-out of what runs now; 0 when nothing does.")
    ]


def branch_of(project: Project) -> str:
    """Return the branch that is synced; empty while nobody knows it."""
    return project.branch or project.default_branch or ""


def _text(at: datetime | None) -> str:
    return "" if at is None else str(msgspec.to_builtins(at))
