"""A job stored before its submit is acknowledged; its result outlives the program."""

from cidx_jobs import JobContext, JobSystem, Settings, job_type


@job_type("add")
async def add(context: JobContext) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": context.options["a"] + context.options["b"]}


# Run the job in one life of the system, and read its result in the next.
with JobSystem(Settings(data_dir="data"), [add]).in_thread() as jobs:
    job = jobs.submit("me", "sums", job_type=add, options={"a": 1, "b": 2})
    jobs.wait(job.job_id)
with JobSystem(Settings(data_dir="data"), [add]).in_thread() as jobs:
    print(jobs.wait_result(job.job_id))
