"""The door to the jobs where they run: what is asked, done by the manager of this process."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal

import attrs

from cidx_jobs.engine.engine import Engine
from cidx_jobs.engine.event_log import follow_transitions
from cidx_jobs.engine.operator_rules import apply_limits, apply_pauses
from cidx_jobs.interfaces.door import JobDoor, Until
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.job.submit import Submission, SubmitRequest
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import EventQuery, JobPage, JobQuery
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.model.schedules.view import ScheduleView
from cidx_jobs.settings import Settings

_MOST_ROWS = 10_000
_is_done = attrgetter("done")


@attrs.frozen(eq=False)
class EngineDoor(JobDoor):
    """Hands on to the parts of an engine that is open."""

    _engine: Engine
    _settings: Settings
    _is_stopping: Callable[[], bool]

    # Plain functions that return the coroutine below them: one frame less for what is often asked.

    def create_job(self, request: SubmitRequest) -> Coroutine[Any, Any, Submission]:
        """Store the job that is asked for, or find the one that serves the request already."""
        return self._engine.manager.create_job(request)

    async def create_jobs(self, requests: Sequence[SubmitRequest]) -> Sequence[Submission]:
        """Store the jobs that are asked for in one transaction: all of them, or none."""
        if len(requests) == 1:
            return [await self.create_job(requests[0])]
        return await self._engine.manager.create_jobs(requests)

    def get_job(self, job_id: JobId) -> Coroutine[Any, Any, Job]:
        """Return the job; `JobNotFoundError` when there is none."""
        return self._engine.manager.get_job(job_id)

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Return one page of the jobs that fit."""
        return await self._engine.manager.query_jobs(query)

    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        """Return rows of the transition log, oldest first."""
        return await self._engine.manager.query_events(query)

    async def cancel_job(self, job_id: JobId, reason: str | None = None) -> Job:
        """Cancel a job that waits, at once; tell one that runs to stop."""
        return await self._engine.manager.cancel_job(job_id, reason)

    async def retry_job(self, job_id: JobId, *, from_start: bool = False) -> Job:
        """Queue a failed or cancelled job again."""
        return await self._engine.manager.retry_job(job_id, from_start=from_start)

    async def start_job(self, job_id: JobId) -> Job:
        """Release a held job, one whose time has not come, or one in its back-off."""
        return await self._engine.manager.start_job(job_id)

    async def revise_job(
        self,
        job_id: JobId,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        if_version: int | None = None,
    ) -> Job:
        """Change the priority or the labels of a job that waits."""
        return await self._engine.manager.revise_job(
            job_id, priority=priority, labels=labels, if_version=if_version
        )

    async def wait_for(
        self, job_id: JobId, until: Until, since: int | None, seconds: float
    ) -> tuple[Job, bool]:
        """Return the job once it is as it is waited for, or as it is when the time is up."""
        manager = self._engine.manager
        if until == "done":
            job = await manager.wait(job_id, _is_done, seconds)
            return job, job.done or self._is_stopping()
        now = await manager.get_job(job_id)
        condition = await self._condition(now, until, since)
        job = await manager.wait(job_id, condition, seconds)
        return job, job.done or condition(job) or self._is_stopping()

    async def _condition(
        self, now: Job, until: Literal["status", "change"], since: int | None
    ) -> Callable[[Job], bool]:
        match until:
            case "status":
                before = now.status if since is None else await self._status_at(now, since)
                return lambda job: job.status is not before
            case "change":
                version = now.version if since is None else since
                return lambda job: job.version != version

    async def _status_at(self, job: Job, version: int) -> JobStatus | None:
        """Return what the status was at the version; None where the log no longer tells."""
        query = EventQuery(job_id=job.job_id, limit=_MOST_ROWS)
        rows = await self._engine.manager.query_events(query)
        known = [row.to_status for row in rows if row.version <= version]
        return known[-1] if known else None

    def follow(self, job_id: JobId) -> AsyncIterator[Transition]:
        """Go through the job's transitions, to its end."""
        return follow_transitions(self._engine.manager, job_id)

    async def change_limits(self, changes: Mapping[str, Any]) -> Limits:
        """Put other limits in force, and keep them; return all that are in force then."""
        manager, settings = self._engine.manager, self._settings
        if changes:
            await manager.set_controls(limits=lambda now: apply_limits(now, changes, settings))
        return manager.limits

    async def set_pause(
        self, *, user_id: str | None, job_type: str | None, is_paused: bool
    ) -> Pauses:
        """Keep everything, a user's jobs or those of a type from starting, or let them again."""
        manager = self._engine.manager

        def change(now: Pauses) -> Pauses:
            return apply_pauses(now, user_id=user_id, job_type=job_type, is_paused=is_paused)

        await manager.set_controls(pauses=change)
        return manager.pauses

    async def remove_project(self, user_id: UserId, project_id: ProjectId) -> None:
        """Remove a project: its copy, its index, and what is known of it."""
        await self._engine.projects.remove(user_id, project_id)

    async def add_schedule(self, schedule: Schedule) -> ScheduleView:
        """Store a new schedule; it fires from now on, if it is enabled."""
        return await self._engine.schedules.add(schedule)

    async def get_schedule(self, user_id: str, name: str) -> ScheduleView:
        """Return the user's schedule; `ScheduleNotFoundError` when there is none."""
        return await self._engine.schedules.get(user_id, name)

    async def list_schedules(
        self, user_id: str | None, after: tuple[str, str] | None, limit: int
    ) -> Sequence[ScheduleView]:
        """Return at most *limit* schedules of a user, or of all, by user and name."""
        return await self._engine.schedules.list(user_id, after=after, limit=limit)

    async def change_schedule(
        self, user_id: str, name: str, members: Mapping[str, Any]
    ) -> ScheduleView:
        """Change what a schedule says."""
        return await self._engine.schedules.change(user_id, name, **members)

    async def remove_schedule(self, user_id: str, name: str) -> None:
        """Remove a schedule; the jobs that it submitted stay."""
        await self._engine.schedules.remove(user_id, name)

    async def run_schedule(self, user_id: str, name: str, actor: str | None) -> Job:
        """Submit the job of a schedule now; return the job."""
        return await self._engine.schedules.run(user_id, name, actor=actor)
