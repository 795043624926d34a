"""Steps of a test: run what is due, let time pass, run one job to its end."""

from typing import Any

from cidx_jobs.model.job.job import Job
from cidx_jobs.model.job.submit import JobTypeLike
from cidx_jobs.system import JobSystem
from cidx_jobs.testing.clock import ManualClock

WAIT_SECONDS = 5.0
_ROUNDING = 1e-6


async def run_until_idle(jobs: JobSystem, *, timeout: float = WAIT_SECONDS) -> None:  # noqa: ASYNC109 - real seconds, said in the docstring
    """Run everything that is due now, and what comes of it, to its end.

    What is held, or has its start time or the end of its back-off yet to come, stays as it is.

    Raises:
        AssertionError: something still ran after *timeout* real seconds; it is named.
    """
    try:
        await jobs.wait_until_idle(timeout)
    except TimeoutError:
        holders = [await jobs.get(job_id) for job_id in jobs.concurrency.holders()]
        running = ", ".join(f"{job.job_type} {job.job_id}" for job in holders) or "none"
        message = f"not idle after {timeout:g} seconds; running: {running}"
        raise AssertionError(message) from None


async def advance(jobs: JobSystem, seconds: float, *, timeout: float = WAIT_SECONDS) -> None:  # noqa: ASYNC109 - real seconds, said in the docstring
    """Let *seconds* pass on the system's `ManualClock`, running each job when it comes due.

    Raises:
        AssertionError: the jobs of one moment took longer than *timeout* real seconds.
        TypeError: the system was not opened with a `ManualClock`.
    """
    clock = jobs.clock
    if not isinstance(clock, ManualClock):
        message = f"only a ManualClock can be advanced, not {type(clock).__name__}"
        raise TypeError(message)
    end = clock.monotonic() + seconds
    await run_until_idle(jobs, timeout=timeout)
    while (due := jobs.find_next_due()) is not None:
        step = (due - clock.now()).total_seconds()
        if step > end - clock.monotonic() + _ROUNDING:
            break
        clock.advance(max(0.0, step))
        await run_until_idle(jobs, timeout=timeout)
    clock.advance(max(0.0, end - clock.monotonic()))
    await run_until_idle(jobs, timeout=timeout)


async def run_job(
    jobs: JobSystem,
    job_type: str | JobTypeLike[Any],
    options: dict[str, Any] | None = None,
    *,
    user_id: str = "tester",
    project_id: str = "project",
    **request: Any,
) -> Job:
    """Submit a job, run until nothing is due, and return the job as it is then.

    Back-offs are not waited for: a job that failed and will be tried again is given as queued.

    Raises:
        AssertionError: something still ran after five real seconds.
    """
    job = await jobs.submit(user_id, project_id, job_type=job_type, options=options, **request)
    await run_until_idle(jobs)
    return await jobs.get(job.job_id)
