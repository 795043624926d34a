"""The door to the jobs where they run: what is asked, done by the parts of this process."""

from collections.abc import Callable, Coroutine
from operator import attrgetter
from typing import Any, Literal, TypeVar

import attrs

from cidx_jobs.engine.engine import Engine
from cidx_jobs.engine.event_log import find_status_at
from cidx_jobs.engine.operator_rules import apply_limits, apply_pauses
from cidx_jobs.interfaces import door as commands
from cidx_jobs.interfaces.door import Command, JobDoor
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.settings import Settings

R = TypeVar("R")

_is_done = attrgetter("done")


@attrs.frozen(eq=False)
class EngineDoor(JobDoor):
    """Hands each command on to the part of an engine that carries it out."""

    _engine: Engine
    _settings: Settings
    _is_stopping: Callable[[], bool]

    def ask(self, command: Command[R]) -> Coroutine[Any, Any, R]:
        """Return the coroutine that does what is asked: one frame less for what is often asked."""
        answer: Coroutine[Any, Any, R] = self._begin(command)
        return answer

    def _begin(self, command: Command[Any]) -> Coroutine[Any, Any, Any]:
        manager = self._engine.manager
        match command:
            case commands.CreateJob():
                return manager.create_job(command.request)
            case commands.GetJob():
                return manager.get_job(command.job_id)
            case commands.CreateJobs():
                return manager.create_jobs(command.requests)
            case commands.QueryJobs():
                return manager.query_jobs(command.query)
            case commands.QueryEvents():
                return manager.query_events(command.query)
            case commands.WaitForJob():
                return self._wait(command)
            case commands.CancelJob():
                return manager.cancel_job(command.job_id, command.reason)
            case commands.RetryJob():
                return manager.retry_job(command.job_id, from_start=command.from_start)
            case commands.StartJob():
                return manager.start_job(command.job_id)
            case commands.ReviseJob():
                return manager.revise_job(
                    command.job_id,
                    priority=command.priority,
                    labels=command.labels,
                    if_version=command.if_version,
                )
            case _:
                return self._begin_steering(command)

    def _begin_steering(self, command: Command[Any]) -> Coroutine[Any, Any, Any]:
        schedules = self._engine.schedules
        match command:
            case commands.ChangeLimits():
                return self._change_limits(command)
            case commands.SetPause():
                return self._set_pause(command)
            case commands.RemoveProject():
                return self._engine.projects.remove(command.user_id, command.project_id)
            case commands.AddSchedule():
                return schedules.add(command.schedule)
            case commands.GetSchedule():
                return schedules.get(command.user_id, command.name)
            case commands.ListSchedules():
                return schedules.list(command.user_id, after=command.after, limit=command.limit)
            case commands.ChangeSchedule():
                return schedules.change(command.user_id, command.name, **command.members)
            case commands.RemoveSchedule():
                return schedules.remove(command.user_id, command.name)
            case commands.RunSchedule():
                return schedules.run(command.user_id, command.name, actor=command.actor)
            case _:
                raise TypeError(command)

    async def _wait(self, asked: commands.WaitForJob) -> tuple[Job, bool]:
        manager = self._engine.manager
        if asked.until == "done":
            job = await manager.wait(asked.job_id, _is_done, asked.seconds)
            return job, job.done or self._is_stopping()
        now = await manager.get_job(asked.job_id)
        condition = await self._condition(now, asked.until, asked.since)
        job = await manager.wait(asked.job_id, condition, asked.seconds)
        return job, job.done or condition(job) or self._is_stopping()

    async def _condition(
        self, now: Job, until: Literal["status", "change"], since: int | None
    ) -> Callable[[Job], bool]:
        match until:
            case "status":
                manager = self._engine.manager
                before: JobStatus | None = now.status
                if since is not None:
                    before = await find_status_at(manager, now, since)
                return lambda job: job.status is not before
            case "change":
                version = now.version if since is None else since
                return lambda job: job.version != version

    async def _change_limits(self, asked: commands.ChangeLimits) -> Limits:
        manager, settings = self._engine.manager, self._settings
        if changes := asked.changes:
            await manager.set_controls(limits=lambda now: apply_limits(now, changes, settings))
        return manager.limits

    async def _set_pause(self, asked: commands.SetPause) -> Pauses:
        manager = self._engine.manager

        def change(now: Pauses) -> Pauses:
            return apply_pauses(
                now,
                user_id=asked.user_id,
                job_type=asked.job_type,
                is_paused=asked.is_paused,
            )

        await manager.set_controls(pauses=change)
        return manager.pauses
