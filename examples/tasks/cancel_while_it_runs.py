"""A job that runs is stopped on request, at once, in the middle of what it awaits."""

import asyncio

from cidx_jobs import JobContext, JobSystem, Settings, job_type


@job_type("endless")
async def endless(context: JobContext) -> None:
    """Work without an end."""
    await context.report(message="at work")
    await asyncio.sleep(3600)


async def main() -> None:
    """Cancel the job once it runs."""
    async with JobSystem.open(Settings(data_dir="data"), [endless]) as jobs:
        job = await jobs.submit("me", "loops", job_type=endless)
        await jobs.wait(job.job_id, until="status", since=job.version)
        await jobs.cancel(job.job_id)
        print((await jobs.wait(job.job_id)).status)


asyncio.run(main())
