"""A job makes a job of each part, and goes on with their results."""

import asyncio

from cidx_jobs import JobContext, JobSystem, Settings, job_type


@job_type("count")
async def count(context: JobContext) -> dict[str, int]:
    """Count the letters of one word."""
    return {"letters": len(context.options["word"])}


@job_type("measure")
async def measure(context: JobContext) -> dict[str, int]:
    """Add up the letters of all words."""
    for word in context.options["words"]:
        await context.submit("count", "texts", key=word, options={"word": word})
    children = await context.join()
    return {"letters": sum(child.result["letters"] for child in children if child.result)}


async def main() -> None:
    """Measure three words."""
    async with JobSystem.open(Settings(data_dir="data"), [count, measure]) as jobs:
        words = ["one", "three", "seven"]
        job = await jobs.submit("me", "texts", job_type="measure", options={"words": words})
        print((await jobs.wait(job.job_id)).result)


asyncio.run(main())
