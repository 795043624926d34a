"""Projects in memory."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project, RunGuard
from cidx_jobs.store.memory.database import MemoryDatabase


class MemoryProjects(ProjectStore):
    """What is known of projects, by user and project."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Take where they are kept: the submits of jobs write there, too."""
        self.database = database

    @override
    async def save_project(self, project: Project, guard: RunGuard | None = None) -> None:
        self.database.check_writable()
        if guard is not None:
            self.database.table.check_run(guard)
        known = self.database.projects.get((project.user_id, project.project_id))
        every = None if known is None else known.sync_every_seconds
        self.database.projects[project.user_id, project.project_id] = replace(
            project, sync_every_seconds=every
        )

    @override
    async def set_sync_interval(
        self, user_id: UserId, project_id: ProjectId, every: int | str | None
    ) -> None:
        self.database.check_writable()
        known = self.database.projects.get((user_id, project_id))
        if known is not None:
            kept: Any = every
            self.database.projects[user_id, project_id] = replace(known, sync_every_seconds=kept)

    @override
    async def list_followed_projects(self) -> Sequence[Project]:
        everything = await self.list_projects(None)
        return tuple(each for each in everything if each.sync_every_seconds is not None)

    @override
    async def load_project(self, user_id: UserId, project_id: ProjectId) -> Project | None:
        return self.database.projects.get((user_id, project_id))

    @override
    async def list_projects(self, user_id: UserId | None) -> Sequence[Project]:
        return tuple(
            project
            for (owner, _), project in sorted(self.database.projects.items())
            if user_id is None or owner == user_id
        )

    @override
    async def delete_project(
        self, user_id: UserId, project_id: ProjectId, on_commit: Callable[[], None] | None = None
    ) -> None:
        self.database.check_writable()
        if not self.database.table.has_line(user_id, project_id):
            was_there = self.database.projects.pop((user_id, project_id), None) is not None
            self.database.push_hooks.pop((user_id, project_id), None)
            if was_there:
                self._delete_schedules(user_id, project_id)
            if was_there and on_commit is not None:
                on_commit()

    def _delete_schedules(self, user_id: UserId, project_id: ProjectId) -> None:
        schedules = self.database.schedules
        for state in tuple(schedules.values()):
            if state.project == (user_id, project_id) and not state.is_declared:
                del schedules[state.key]

    @override
    async def forget_copy(self, user_id: UserId, project_id: ProjectId) -> None:
        self.database.check_writable()
        projects, key = self.database.projects, (user_id, project_id)
        if key in projects and not self.database.table.has_line(*key):
            projects[key] = projects[key].without_copy()


def save_request(database: MemoryDatabase, project: Project) -> None:
    """Store the url and branch of a submit; after the first sync its own end does that."""
    known = database.projects.get((project.user_id, project.project_id))
    if known is not None and known.last_synced_at is not None:
        return
    if known is not None:
        project = replace(known, repository_url=project.repository_url, branch=project.branch)
    database.projects[project.user_id, project.project_id] = project
