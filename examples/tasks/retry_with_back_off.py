"""A job that fails is tried again, after a pause that grows and differs from job to job."""

from cidx_jobs import JobContext, JobSystem, RetryPolicy, Settings, job_type


@job_type("fetch", max_attempts=5, retry=RetryPolicy(base_seconds=0.1, cap_seconds=60))
async def fetch(context: JobContext) -> dict[str, int]:
    """Come through at the third time."""
    if context.job.attempt in {1, 2}:
        raise ConnectionError
    return {"attempt": context.job.attempt}


with JobSystem(Settings(data_dir="data"), [fetch]).in_thread() as jobs:
    print(jobs.run("me", "pages", job_type=fetch))
