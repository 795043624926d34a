"""The calls that other threads may make of a job system."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from cidx_jobs.model.job.job import Job


class Calls(Protocol):
    """What of a job system can be called from other threads."""

    @property
    def submit(self) -> Callable[..., Coroutine[Any, Any, Job]]:
        """Store a job."""

    async def get(self, job_id: str) -> Job:
        """Return the job."""

    async def cancel(self, job_id: str, reason: str | None = None) -> Job:
        """Cancel the job."""

    async def wait(
        self,
        job_id: str,
        until: str = "done",
        timeout: float | None = None,  # noqa: ASYNC109 - the contract's name
    ) -> Job:
        """Wait for the job."""


class FromThread:
    """The calls that other threads may make; each waits for its answer.

    Every method raises RuntimeError when the system is not open, or on its own thread.
    """

    def __init__(self, jobs: Calls, find_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        """Call *jobs* on the loop that *find_loop* gives."""
        self._jobs = jobs
        self._find_loop = find_loop

    def submit(self, user_id: str, project_id: str, **request: Any) -> Job:
        """Store a job, as `JobSystem.submit`."""
        return self._run(lambda: self._jobs.submit(user_id, project_id, **request))

    def get(self, job_id: str) -> Job:
        """Return the job, as `JobSystem.get`."""
        return self._run(lambda: self._jobs.get(job_id))

    def cancel(self, job_id: str, reason: str | None = None) -> Job:
        """Cancel the job, as `JobSystem.cancel`."""
        return self._run(lambda: self._jobs.cancel(job_id, reason))

    def wait(self, job_id: str, until: str = "done", timeout: float | None = None) -> Job:
        """Wait for the job, as `JobSystem.wait`."""
        return self._run(lambda: self._jobs.wait(job_id, until, timeout))

    def _run(self, call: Callable[[], Coroutine[Any, Any, Job]]) -> Job:
        loop = self._find_loop()
        return asyncio.run_coroutine_threadsafe(call(), loop).result()
