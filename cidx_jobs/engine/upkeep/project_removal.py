"""How projects go: at once when somebody asks, and their files when nobody syncs them any more."""

import asyncio
from datetime import timedelta
from typing import ClassVar

from cidx_jobs.engine.background import Background
from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.store.files import ProjectFiles
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.model.errors import (
    ProjectBusyError,
    ProjectNotFoundError,
    StoreError,
    UnavailableError,
)
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.listing import Project
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.log import get_logger

_PAUSE_SECONDS = 3_600.0

_log = get_logger("engine")


class Projects(Background):
    """Removes projects that no job works on.

    The files go by a rename, begun in the same turn of the loop as the look at the jobs: a run
    that starts meanwhile waits for it, finds an empty place and makes everything anew. A kill
    between the rename and the rest leaves a project that can be synced, or removed again.
    """

    task_name: ClassVar[str] = "unused-projects"

    def __init__(
        self, store: ProjectStore, board: Board, files: ProjectFiles, keep_seconds: float
    ) -> None:
        """Take the parts, and how long the files of a project stay that nobody syncs.

        For ever if *keep_seconds* is 0.
        """
        self._store = store
        self._board = board
        self._files = files
        self._keep_seconds = keep_seconds

    async def remove(self, user_id: UserId, project_id: ProjectId) -> None:
        """Remove a project: its copy, its index, and what is known of it.

        Raises:
            ProjectNotFoundError: there is none.
            ProjectBusyError: a job of the project is not done; nothing was removed.
        """
        if await self._store.load_project(user_id, project_id) is None:
            raise ProjectNotFoundError(project_id)
        if (job := self._find_job(user_id, project_id)) is not None:
            raise ProjectBusyError(project_id, job.job_id)
        await self._files.take_away(user_id, project_id)
        try:
            await self._store.delete_project(
                user_id,
                project_id,
                lambda: self._board.schedules.drop_project(user_id, project_id),
            )
        finally:
            await in_own_thread(self._files.clear)
        _log.info("project_removed", user_id=user_id, project_id=project_id)

    async def remove_unused(self) -> int:
        """Remove the files of projects that nobody synced for so long; return how many.

        Where such a project is fetched from stays known: its next sync makes everything anew.
        """
        before = self._board.clock.now() - timedelta(seconds=self._keep_seconds)
        known = await self._store.list_projects(None)
        unused = await in_own_thread(self._files.find_unused, known, before)
        try:
            return sum([await self._remove_files(project) for project in unused])
        finally:
            if unused:
                await in_own_thread(self._files.clear)

    async def start(self) -> None:
        """Begin to remove what is unused, if that is wanted."""
        if self._keep_seconds:
            await super().start()

    async def _remove_files(self, project: Project) -> bool:
        user_id, project_id = project.user_id, project.project_id
        # Forgotten first: files that are there after a kill are found again.
        await self._store.forget_copy(user_id, project_id)
        if self._find_job(user_id, project_id) is not None:
            return False
        if not await self._files.take_away(user_id, project_id):
            return False
        _log.info("unused_project_removed", user_id=user_id, project_id=project_id)
        return True

    def _find_job(self, user_id: UserId, project_id: ProjectId) -> Job | None:
        mine = (
            job
            for job in self._board.live
            if job.project_id == project_id and job.user_id == user_id
        )
        return next(mine, None)

    async def _go_on(self) -> None:
        while True:
            try:
                await self.remove_unused()
            except (StoreError, UnavailableError, OSError) as error:
                _log.warning("unused_projects_not_removed", error=type(error).__name__)
            await asyncio.sleep(_PAUSE_SECONDS)
