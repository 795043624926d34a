"""Job types for a server process of the tests (``handlers=tests.functional.slow_jobs:TYPES``)."""

import asyncio

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType


async def linger(context: JobContext) -> dict[str, object]:
    """Say that it has begun, and run until it is ended."""
    await context.report(percent=1, message="begun")
    await asyncio.Event().wait()
    return {}


TYPES = [JobType("linger", linger)]
ONE_TYPE = TYPES[0]
NO_TYPES = ["linger"]
