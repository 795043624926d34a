"""A plain asyncio program with durable jobs: no HTTP, no other process.

Run ``python plain_asyncio.py``, stop it with Ctrl-C in the middle, and run it again: it goes on
with what it had not finished, and begins nothing a second time.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from cidx_jobs import Job, JobContext, JobSystem, JobType, Settings, Transition

NUMBERS = range(10, 20)


async def factorize(context: JobContext) -> dict[str, Any]:
    """Find the prime factors of a number."""
    rest, factors = context.options["number"], []
    for candidate in range(2, rest + 1):
        while rest % candidate == 0:
            factors.append(candidate)
            rest //= candidate
    return {"factors": factors}


async def say(job: Job, transition: Transition) -> None:
    """Print each job that ended: a hook is told after the change is stored."""
    if transition.to_status.is_final:
        print(f"{job.options['number']}: {job.status} {dict(job.result or {})}")


async def main(data_dir: Path) -> None:
    """Submit what was not submitted before, and end when all of it is done."""
    jobs = JobSystem(
        Settings(data_dir=data_dir, max_running_per_user=2), [JobType("factorize", factorize)]
    )
    jobs.on_transition(say)
    async with jobs:
        known = {job.project_id for job in await jobs.list("me", limit=200)}
        for number in NUMBERS:
            if f"number-{number}" not in known:
                options = {"number": number}
                await jobs.submit("me", f"number-{number}", job_type="factorize", options=options)
        await jobs.wait_until_idle()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "data")))
