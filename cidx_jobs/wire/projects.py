"""Projects and what is found in them."""

from datetime import datetime
from typing import Self

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.listing import Project
from cidx_jobs.wire.encode import Document


class ProjectDocument(Document, frozen=True, kw_only=True):
    """What is known of one project of the caller; null where nothing is known yet."""

    project_id: ProjectId
    user_id: UserId
    repository_url: str | None
    branch: str | None
    """The branch that was asked for; null follows the default one."""
    default_branch: str | None
    last_commit: str | None
    last_synced_at: datetime | None
    last_job_id: JobId | None
    files_indexed: int | None
    repository_bytes: int | None
    index_bytes: int | None

    @classmethod
    def of(cls, project: Project) -> Self:
        """Give the document of a project."""
        return cls(
            project_id=project.project_id,
            user_id=project.user_id,
            repository_url=project.repository_url,
            branch=project.branch,
            default_branch=project.default_branch,
            last_commit=project.last_commit,
            last_synced_at=project.last_synced_at,
            last_job_id=project.last_job_id,
            files_indexed=project.files_indexed,
            repository_bytes=project.repository_bytes,
            index_bytes=project.index_bytes,
        )


class ProjectListDocument(Document, frozen=True, kw_only=True):
    """The caller's projects, by id."""

    projects: tuple[ProjectDocument, ...]


class SearchHitDocument(Document, frozen=True, kw_only=True):
    """One line that holds the text."""

    path: str
    line_number: int
    """From 1."""
    line: str


class SearchDocument(Document, frozen=True, kw_only=True):
    """What was found, by path, then line."""

    project_id: ProjectId
    query: str
    hits: tuple[SearchHitDocument, ...]
    limit: int
