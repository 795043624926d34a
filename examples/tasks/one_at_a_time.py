"""One sync of a project at a time; what is asked for meanwhile becomes one more, not many."""

import asyncio

from cidx_jobs import JobContext, JobSystem, Settings, job_type


@job_type("sync", exclusive=True)
async def sync(_: JobContext) -> None:
    """Take a moment."""
    await asyncio.sleep(0.2)


async def main() -> None:
    """Ask ten times for one project, and count what comes of it."""
    async with JobSystem.open(Settings(data_dir="data"), [sync]) as jobs:
        for _ in range(10):
            await jobs.submit("me", "site", job_type=sync)
        await jobs.wait_until_idle()
        print(len(await jobs.list("me")))


asyncio.run(main())
