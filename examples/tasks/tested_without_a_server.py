"""A test of a job and its retry: no server, no file, and no minute of waiting."""

import asyncio

from cidx_jobs import JobContext, Retryable, job_type
from cidx_jobs.testing import advance, open_for_tests, run_job


@job_type("report", max_attempts=2)
async def report(context: JobContext) -> dict[str, int]:
    """Find the printer busy at first."""
    if context.job.attempt == 1:
        raise Retryable("busy", after=60)
    return {"pages": 3}


async def test_a_busy_printer_is_asked_again_after_a_minute() -> None:
    """What a test of pytest would be."""
    async with open_for_tests([report]) as jobs:
        job = await run_job(jobs, report)
        print(job.status)
        await advance(jobs, 60)
        print((await jobs.get(job.job_id)).result)


asyncio.run(test_a_busy_printer_is_asked_again_after_a_minute())
