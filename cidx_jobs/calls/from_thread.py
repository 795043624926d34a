"""The calls that other threads may make of a job system."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from cidx_jobs.calls.job_calls import JobCalls
from cidx_jobs.interfaces.door import Until
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.model.schedules.view import ScheduleView

T = TypeVar("T")


class FromThread:
    """The calls that other threads may make; each waits for its answer.

    Every method raises RuntimeError when the system is not open, or on its own thread.
    """

    def __init__(self, jobs: JobCalls, find_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        """Call *jobs* on the loop that *find_loop* gives."""
        self._jobs = jobs
        self._find_loop = find_loop

    @property
    def schedules(self) -> "SchedulesFromThread":
        """What submits jobs by itself, as `JobSystem.schedules`."""
        return SchedulesFromThread(self._jobs, self._run)

    def submit(self, user_id: str, project_id: str, **request: Any) -> Job:
        """Store a job, as `JobSystem.submit`."""
        return self._run(lambda: self._jobs.submit(user_id, project_id, **request))

    def submit_many(self, user_id: str, jobs: Iterable[Mapping[str, Any]]) -> Sequence[Job]:
        """Store jobs in one transaction, as `JobSystem.submit_many`."""
        return self._run(lambda: self._jobs.submit_many(user_id, jobs))

    def sync(self, user_id: str, project_id: str, **request: Any) -> Job:
        """Submit the sync of a repository, as `JobSystem.sync`."""
        return self._run(lambda: self._jobs.sync(user_id, project_id, **request))

    def get(self, job_id: str) -> Job:
        """Return the job, as `JobSystem.get`."""
        return self._run(lambda: self._jobs.get(job_id))

    def list(self, user_id: str | None = None, **filters: Any) -> Sequence[Job]:
        """Return the jobs that fit, as `JobSystem.list`."""
        return self._run(lambda: self._jobs.list(user_id, **filters))

    def cancel(self, job_id: str, reason: str | None = None) -> Job:
        """Cancel the job, as `JobSystem.cancel`."""
        return self._run(lambda: self._jobs.cancel(job_id, reason))

    def retry(self, job_id: str, *, from_start: bool = False) -> Job:
        """Queue a failed or cancelled job again, as `JobSystem.retry`."""
        return self._run(lambda: self._jobs.retry(job_id, from_start=from_start))

    def release(self, job_id: str) -> Job:
        """Let a job start now, as `JobSystem.release`."""
        return self._run(lambda: self._jobs.release(job_id))

    def revise(
        self,
        job_id: str,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        if_version: int | None = None,
    ) -> Job:
        """Change a job that waits, as `JobSystem.revise`."""
        return self._run(
            lambda: self._jobs.revise(
                job_id, priority=priority, labels=labels, if_version=if_version
            )
        )

    def wait(
        self,
        job_id: str,
        until: Until = "done",
        since: int | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Wait for the job, as `JobSystem.wait`."""
        return self._run(lambda: self._jobs.wait(job_id, until, since, timeout))

    def _run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        loop = self._find_loop()
        return asyncio.run_coroutine_threadsafe(call(), loop).result()


class SchedulesFromThread:
    """The calls on schedules that other threads may make; each waits for its answer."""

    def __init__(
        self, jobs: JobCalls, run: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]
    ) -> None:
        """Call those of *jobs* by *run*."""
        self._jobs = jobs
        self._run = run

    def add(self, schedule: Schedule) -> ScheduleView:
        """Store a new schedule, as `ScheduleCalls.add`."""
        view: ScheduleView = self._run(lambda: self._jobs.schedules.add(schedule))
        return view

    def get(self, user_id: str, name: str) -> ScheduleView:
        """Return the user's schedule, as `ScheduleCalls.get`."""
        view: ScheduleView = self._run(lambda: self._jobs.schedules.get(user_id, name))
        return view

    def list(self, user_id: str | None = None, **filters: Any) -> Sequence[ScheduleView]:
        """Return schedules, as `ScheduleCalls.list`."""
        views: Sequence[ScheduleView] = self._run(
            lambda: self._jobs.schedules.list(user_id, **filters)
        )
        return views

    def change(self, user_id: str, name: str, **members: Any) -> ScheduleView:
        """Change what a schedule says, as `ScheduleCalls.change`."""
        view: ScheduleView = self._run(
            lambda: self._jobs.schedules.change(user_id, name, **members)
        )
        return view

    def remove(self, user_id: str, name: str) -> None:
        """Remove a schedule, as `ScheduleCalls.remove`."""
        self._run(lambda: self._jobs.schedules.remove(user_id, name))

    def run(self, user_id: str, name: str, *, actor: str | None = None) -> Job:
        """Submit the job of a schedule now, as `ScheduleCalls.run`."""
        job: Job = self._run(lambda: self._jobs.schedules.run(user_id, name, actor=actor))
        return job
