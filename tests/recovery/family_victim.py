"""A program that dies in the middle: chains of jobs, each of which makes the next by a key."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from cidx_jobs import JobContext, JobSystem, JobType, Settings

CHAINS = 6
WIDTH = 4


async def link(context: JobContext) -> dict[str, Any]:
    """Make the next links, join them, and tell how many there are below.

    The last ones, of which there are several, are made together.
    """
    left = context.options["left"]
    if left > 1:
        await context.submit("link", "p", key="next", options={"left": left - 1})
        children = [child.result or {} for child in await context.join()]
    else:
        below = {str(number): {"left": 0} for number in range(WIDTH if left else 0)}
        children = [*await context.map("link", below)]
    return {"below": sum(child["below"] + 1 for child in children)}


def tell(text: str) -> None:
    """Say something to whoever started this."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(data_dir: str) -> None:
    """Submit what is not there, and say when all of it is done."""
    settings = Settings(
        data_dir=Path(data_dir), shutdown_grace_seconds=0, repository_sync=False, poison_after=0
    )
    async with JobSystem.open(settings, [JobType("link", link)]) as jobs:
        tell("open")
        chains = [
            await jobs.submit(
                "u", "p", job_type="link", options={"left": 3}, idempotency_key=f"chain-{number}"
            )
            for number in range(CHAINS)
        ]
        ended = [await jobs.wait(job.job_id) for job in chains]
        below = [0 if job.result is None else job.result["below"] for job in ended]
        total = len(await jobs.list(limit=1_000))
        tell(f"done {below} {total} {await jobs.examine(deep=True)}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
