"""How projects go: at once when somebody asks, and files when nobody syncs them any more."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from cidx_jobs.engine.background import Background
from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.store.files import CopyFiles
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.model.errors import (
    ProjectBusyError,
    ProjectNotFoundError,
    StoreError,
    UnavailableError,
)
from cidx_jobs.model.ids import CopyId, ProjectId, UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.listing import Project
from cidx_jobs.runtime.log import get_logger

FORETOLD_SECONDS = 86_400.0
"""So long before it happens it is told that the copy of a project goes."""

_PAUSE_SECONDS = 3_600.0
"""How often it is looked for projects whose time is over."""
# A first sync may run, and be repeated after a crash, for so long before a project names its copy.
_NOBODYS_SECONDS = 2 * 86_400.0

_log = get_logger("engine")


class Projects(Background):
    """Removes projects that no job works on, and copies that no project uses.

    The copy goes first, which makes room where there is none, unless another project uses it or a
    run works on it. A kill in between leaves a project that can be synced, or removed again. A
    copy that nobody names any more goes once it has lain untouched for days.
    """

    task_name: ClassVar[str] = "unused-projects"

    def __init__(
        self, store: ProjectStore, board: Board, files: CopyFiles, keep_seconds: float
    ) -> None:
        """Take the parts, and how long the files of a project stay that nobody syncs.

        For ever if *keep_seconds* is 0.
        """
        self._store = store
        self._board = board
        self._files = files
        self._keep_seconds = keep_seconds

    async def remove(self, user_id: UserId, project_id: ProjectId) -> None:
        """Remove a project: what is known of it, and its copy and index if nobody shares them.

        Raises:
            ProjectNotFoundError: there is none.
            ProjectBusyError: a job of the project is not done; nothing was removed.
        """
        project = await self._store.load_project(user_id, project_id)
        if project is None:
            raise ProjectNotFoundError(project_id)
        if (job := self._find_job(user_id, project_id)) is not None:
            raise ProjectBusyError(project_id, job.job_id)
        if project.copy_id is not None:
            await self._files.release(project.copy_id, but=[(user_id, project_id)])
        await self._store.delete_project(
            user_id,
            project_id,
            lambda: self._board.schedules.drop_project(user_id, project_id),
        )
        _log.info("project_removed", user_id=user_id, project_id=project_id)

    async def remove_unused(self) -> int:
        """Remove the copies that nobody synced for so long, or no project names; return how many.

        Where a project is fetched from stays known: its next sync makes everything anew.
        """
        now = self._board.clock.now()
        projects = await self._store.list_projects(None)
        named = {project.copy_id for project in projects}
        removed = 0
        for copy_id in await self._find_unused(now, _NOBODYS_SECONDS):
            if copy_id not in named:
                removed += await self._files.release(copy_id)
        if self._keep_seconds:
            for copy_id in await self._find_unused(now, self._keep_seconds):
                users = [project for project in projects if project.copy_id == copy_id]
                if users:
                    removed += await self._remove_from(copy_id, users)
        return removed

    async def find_expiring(self) -> Sequence[Project]:
        """Return the projects whose copies go within a day, unless they are synced before."""
        if not self._keep_seconds:
            return ()
        soon = self._board.clock.now() + timedelta(seconds=FORETOLD_SECONDS)
        going = set(await self._find_unused(soon, self._keep_seconds))
        return [one for one in await self._store.list_projects(None) if one.copy_id in going]

    async def _find_unused(self, now: datetime, seconds: float) -> Sequence[CopyId]:
        return await self._files.find_unused(now - timedelta(seconds=seconds))

    async def _remove_from(self, copy_id: CopyId, users: Sequence[Project]) -> bool:
        if self._files.is_held(copy_id) or any(map(self._has_job, users)):
            return False
        for project in users:
            # Forgotten first: files that are there after a kill are found again.
            await self._store.forget_copy(project.user_id, project.project_id)
            _log.info(
                "unused_project_removed", user_id=project.user_id, project_id=project.project_id
            )
        keys = [(project.user_id, project.project_id) for project in users]
        return await self._files.release(copy_id, but=keys)

    def _has_job(self, project: Project) -> bool:
        return self._find_job(project.user_id, project.project_id) is not None

    def _find_job(self, user_id: UserId, project_id: ProjectId) -> Job | None:
        mine = (
            job
            for job in self._board.live
            if job.project_id == project_id and job.user_id == user_id
        )
        return next(mine, None)

    async def _go_on(self) -> None:
        if not self._keep_seconds:
            # Copies that are nobody's are rare and in nobody's way: a start has better to do.
            await asyncio.sleep(_PAUSE_SECONDS)
        while True:
            try:
                await self.remove_unused()
            except (StoreError, UnavailableError, OSError) as error:
                _log.warning("unused_projects_not_removed", error=type(error).__name__)
            await asyncio.sleep(_PAUSE_SECONDS)
