"""A job stored before its submit is acknowledged; its result outlives the program."""

import asyncio

from cidx_jobs import JobContext, JobSystem, Settings, job_type


@job_type("add")
async def add(context: JobContext) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": context.options["a"] + context.options["b"]}


async def main() -> None:
    """Run the job in one life of the program, and read its result in the next."""
    async with JobSystem.open(Settings(data_dir="data"), [add]) as jobs:
        job = await jobs.submit("me", "sums", job_type="add", options={"a": 1, "b": 2})
        await jobs.wait(job.job_id)
    async with JobSystem.open(Settings(data_dir="data"), [add]) as jobs:
        print((await jobs.get(job.job_id)).result)


asyncio.run(main())
