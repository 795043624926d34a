"""Where projects are kept: the repository, last sync and sizes of each."""

from collections.abc import Callable, Sequence
from typing import Protocol

from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project, RunGuard


class ProjectStore(Protocol):
    """Keeps what is known of each project of each user."""

    async def save_project(self, project: Project, guard: RunGuard | None = None) -> None:
        """Store what is known of a project, but for how often its remote is asked for news.

        Raises:
            StaleRunError: the run that the guard names is over.
        """

    async def load_project(self, user_id: UserId, project_id: ProjectId) -> Project | None:
        """Return what is known of a project."""

    async def list_projects(self, user_id: UserId | None) -> Sequence[Project]:
        """Return the projects of a user, or of all, by user and project id."""

    async def set_sync_interval(
        self, user_id: UserId, project_id: ProjectId, every: int | str | None
    ) -> None:
        """Store how often a project's remote is asked for news; nothing without the project.

        It is seconds, ``auto``, or None for never. No other write changes it.
        """

    async def list_followed_projects(self) -> Sequence[Project]:
        """Return the projects whose remotes are asked for news, by user and project id."""

    async def delete_project(
        self, user_id: UserId, project_id: ProjectId, on_commit: Callable[[], None] | None = None
    ) -> None:
        """Delete a project with its push hook and its schedules; no error when there is none.

        Schedules that stand in the application's code stay.

        A project with an exclusive job that is not final stays: the job was submitted meanwhile.
        *on_commit* is called once it is deleted, on the loop, in the order of the commits.
        """

    async def forget_copy(self, user_id: UserId, project_id: ProjectId) -> None:
        """Keep of a project what the next sync needs, and not the sizes of what was removed.

        A project with an exclusive job that is not final stays as it is.
        """
