"""A job that fails is tried again, after a pause that grows and differs from job to job."""

import asyncio

from cidx_jobs import JobContext, JobSystem, RetryPolicy, Settings, job_type


@job_type("fetch", max_attempts=5, retry=RetryPolicy(base_seconds=0.1, cap_seconds=60))
async def fetch(context: JobContext) -> dict[str, int]:
    """Come through at the third time."""
    if context.job.attempt in {1, 2}:
        raise ConnectionError
    return {"attempt": context.job.attempt}


async def main() -> None:
    """Run the job to its end."""
    async with JobSystem.open(Settings(data_dir="data"), [fetch]) as jobs:
        job = await jobs.submit("me", "pages", job_type="fetch")
        print((await jobs.wait(job.job_id)).result)


asyncio.run(main())
