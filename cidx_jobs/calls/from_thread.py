"""The calls that other threads may make of a job system."""

import asyncio
import threading
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, Protocol, TypeVar, overload

from cidx_jobs.calls.job_calls import JobCalls
from cidx_jobs.interfaces.door import Until
from cidx_jobs.model.errors import OtherLoopError
from cidx_jobs.model.job.job import Job, JsonObject, Transition
from cidx_jobs.model.job.submit import JobTypeLike
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.model.schedules.view import ScheduleView
from cidx_jobs.runtime.loops import find_running_loop
from cidx_jobs.wire.request_bodies import REPOSITORY_SYNC

T = TypeVar("T")
ResultT = TypeVar("ResultT")


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

    @overload
    def run(
        self, user_id: str, project_id: str, *, job_type: JobTypeLike[ResultT], **request: Any
    ) -> ResultT: ...

    @overload
    def run(
        self, user_id: str, project_id: str, *, job_type: str = REPOSITORY_SYNC, **request: Any
    ) -> JsonObject: ...

    def run(self, user_id: str, project_id: str, **request: Any) -> Any:
        """Submit a job, wait for its end, and return its result, as `JobSystem.run`."""
        return self._run(lambda: self._jobs.run(user_id, project_id, **request))

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

    def revise(self, job_id: str, **changes: Any) -> Job:
        """Change a job that waits, as `JobSystem.revise`."""
        return self._run(lambda: self._jobs.revise(job_id, **changes))

    def wait(
        self,
        job_id: str,
        until: Until = "done",
        since: int | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Wait for the job, as `JobSystem.wait`."""
        return self._run(lambda: self._jobs.wait(job_id, until, since, timeout))

    @overload
    def wait_result(
        self, job_id: str, *, job_type: JobTypeLike[ResultT], timeout: float | None = None
    ) -> ResultT: ...

    @overload
    def wait_result(
        self, job_id: str, *, job_type: None = None, timeout: float | None = None
    ) -> JsonObject: ...

    def wait_result(
        self,
        job_id: str,
        *,
        job_type: JobTypeLike[Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Wait for the job's end, and return its result, as `JobSystem.wait_result`."""
        if job_type is None:
            return self._run(lambda: self._jobs.wait_result(job_id, timeout=timeout))
        return self._run(
            lambda: self._jobs.wait_result(job_id, job_type=job_type, timeout=timeout)
        )

    def events(self, job_id: str) -> Iterator[Transition]:
        """Go through the job's transitions, as `JobSystem.events`."""
        rows = self._jobs.events(job_id)
        while (row := self._run(lambda: _next_of(rows))) is not None:
            yield row

    def limits(self, **changes: Any) -> Limits:
        """Return the limits in force, as `JobSystem.limits`."""
        return self._run(lambda: self._jobs.limits(**changes))

    def pause(
        self, *, user_id: str | None = None, job_type: str | JobTypeLike[Any] | None = None
    ) -> Pauses:
        """Keep jobs from starting, as `JobSystem.pause`."""
        return self._run(lambda: self._jobs.pause(user_id=user_id, job_type=job_type))

    def resume(
        self, *, user_id: str | None = None, job_type: str | JobTypeLike[Any] | None = None
    ) -> Pauses:
        """Let them start again, as `JobSystem.resume`."""
        return self._run(lambda: self._jobs.resume(user_id=user_id, job_type=job_type))

    def remove_project(self, user_id: str, project_id: str) -> None:
        """Remove a project, as `JobSystem.remove_project`."""
        self._run(lambda: self._jobs.remove_project(user_id, project_id))

    def _run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        loop = self._find_loop()
        return asyncio.run_coroutine_threadsafe(call(), loop).result()


def loop_for_other_threads(
    loop: asyncio.AbstractEventLoop, thread: int | None
) -> asyncio.AbstractEventLoop:
    """Return the loop, which runs on *thread*, unless that is where this is called.

    Raises:
        RuntimeError: it is: nobody would be left to answer.
    """
    if threading.get_ident() == thread:
        message = "from_thread is for other threads; await the system's own methods here"
        raise RuntimeError(message)
    return loop


def check_own_loop(loop: asyncio.AbstractEventLoop | None, thread: int | None) -> None:
    """Raise where a call would hang: its answer would come on *loop*, which runs on *thread*.

    Raises:
        RuntimeError: this is another thread.
        OtherLoopError: it is another loop.
    """
    if threading.get_ident() != thread:
        message = "a job system belongs to its loop's thread; use jobs.from_thread"
        raise RuntimeError(message)
    # There is none between two turns of the loop, as with `run_until_complete`.
    running = find_running_loop()
    if running is not None and running is not loop:
        raise OtherLoopError


async def _next_of(rows: AsyncIterator[T]) -> T | None:
    return await anext(rows, None)


class _Run(Protocol):
    """Runs a call on the system's loop, and waits for its answer."""

    def __call__(self, call: Callable[[], Coroutine[Any, Any, T]], /) -> T: ...


class SchedulesFromThread:
    """The calls on schedules that other threads may make; each waits for its answer."""

    def __init__(self, jobs: JobCalls, run: _Run) -> None:
        """Call those of *jobs* by *run*."""
        self._jobs = jobs
        self._run = run

    def add(self, schedule: Schedule) -> ScheduleView:
        """Store a new schedule, as `ScheduleCalls.add`."""
        return self._run(lambda: self._jobs.schedules.add(schedule))

    def get(self, user_id: str, name: str) -> ScheduleView:
        """Return the user's schedule, as `ScheduleCalls.get`."""
        return self._run(lambda: self._jobs.schedules.get(user_id, name))

    def list(self, user_id: str | None = None, **filters: Any) -> Sequence[ScheduleView]:
        """Return schedules, as `ScheduleCalls.list`."""
        return self._run(lambda: self._jobs.schedules.list(user_id, **filters))

    def change(self, user_id: str, name: str, **members: Any) -> ScheduleView:
        """Change what a schedule says, as `ScheduleCalls.change`."""
        return self._run(lambda: self._jobs.schedules.change(user_id, name, **members))

    def remove(self, user_id: str, name: str) -> None:
        """Remove a schedule, as `ScheduleCalls.remove`."""
        self._run(lambda: self._jobs.schedules.remove(user_id, name))

    def run(self, user_id: str, name: str, *, actor: str | None = None) -> Job:
        """Submit the job of a schedule now, as `ScheduleCalls.run`."""
        return self._run(lambda: self._jobs.schedules.run(user_id, name, actor=actor))
