"""A job makes a job of each part, and goes on with their results."""

from cidx_jobs import JobContext, JobSystem, Settings, job_type


@job_type("count")
async def count(context: JobContext) -> dict[str, int]:
    """Count the letters of one word."""
    return {"letters": len(context.options["word"])}


@job_type("measure")
async def measure(context: JobContext) -> dict[str, int]:
    """Add up the letters of all words."""
    counts = await context.map(count, {word: {"word": word} for word in context.options["words"]})
    return {"letters": sum(one["letters"] for one in counts)}


with JobSystem(Settings(data_dir="data"), [count, measure]).in_thread() as jobs:
    print(jobs.run("me", "texts", job_type=measure, options={"words": ["one", "three", "seven"]}))
