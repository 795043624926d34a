"""How a user goes: locked out at once, then their jobs, then their projects, then the account."""

import msgspec
from msgspec.structs import replace

from cidx_jobs.engine.access.accounts import Accounts
from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.engine.schedules.schedules import Schedules
from cidx_jobs.engine.upkeep.project_removal import Projects
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import AlreadyFinishedError, JobNotFoundError, ProjectNotFoundError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.runtime.log import get_logger

STOP_SECONDS = 15.0
"""How long a job that was told to stop is waited for before its project is removed."""

_ACTIVE = frozenset(status for status in JobStatus if not status.is_final)
_PAGE = 200
_REASON = "the user was removed"

_log = get_logger("access")


class UserRemoval(msgspec.Struct, frozen=True, kw_only=True):
    """Removes users, each step before the next can be undone by somebody who comes in.

    The account is the last to go: what fails on the way can be asked for again.
    """

    accounts: Accounts
    store: Persistence
    manager: SyncJobManager
    projects: Projects
    schedules: Schedules

    async def remove(self, user_id: UserId, *, with_projects: bool) -> None:
        """Remove the user; see `JobSystem.remove_user`."""
        await self.accounts.lock(user_id)
        for token in await self.store.tokens.list_tokens():
            if token.user_id == user_id:
                await self.store.tokens.delete_token(token.token_id)
        # Whoever knows the secret of a hook could go on to submit for them.
        await self.store.push_hooks.delete_hooks_of(user_id)
        # Before their jobs: what is cancelled is not submitted anew.
        await self.schedules.remove_of_user(user_id)
        for project in await self.store.projects.list_followed_projects():
            if project.user_id == user_id:
                await self.store.projects.set_sync_interval(user_id, project.project_id, None)
        await self.store.end_notices.forget_user(user_id)
        told = await self._cancel_jobs(user_id)
        if with_projects:
            await self._remove_projects(user_id, told)
        await self.accounts.remove(user_id)
        _log.info("user_removed", user_id=user_id, jobs=len(told), projects=with_projects)

    async def _cancel_jobs(self, user_id: UserId) -> list[Job]:
        """Cancel whatever is not done, and return those that were told."""
        told: list[Job] = []
        query = JobQuery(user_id=user_id, statuses=_ACTIVE, limit=_PAGE)
        while True:
            page = await self.manager.query_jobs(query)
            for job in page.jobs:
                try:
                    told.append(await self.manager.cancel_job(job.job_id, _REASON))
                except (AlreadyFinishedError, JobNotFoundError):
                    continue  # it was faster
            if page.next_row is None:
                return told
            query = replace(query, after_row=page.next_row)

    async def _remove_projects(self, user_id: UserId, told: list[Job]) -> None:
        for job in told:
            if not job.done:
                await self.manager.wait(job.job_id, lambda now: now.done, STOP_SECONDS)
        for project in await self.store.projects.list_projects(user_id):
            try:
                await self.projects.remove(user_id, project.project_id)
            except ProjectNotFoundError:
                continue  # somebody else removed it
