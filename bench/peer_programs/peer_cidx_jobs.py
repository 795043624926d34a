"""cidx_jobs itself, as an application embeds it; durable before it answers."""

import asyncio
import os
import sys
import time
from pathlib import Path

from cidx_jobs import JobContext, JobSystem, JobType, Settings

MODE, FOLDER = sys.argv[1], Path(sys.argv[2])
CALLERS = 100


async def noop(_: JobContext) -> None:
    """End at once."""


async def hang(_: JobContext) -> None:
    """Say that it began, and work for long."""
    with (FOLDER / "began").open("a") as file:
        file.write("began\n")
    await asyncio.sleep(3600)


async def main() -> None:
    """Measure one thing and print it."""
    settings = Settings(data_dir=FOLDER / "data", max_running_total=CALLERS)
    types = [JobType("noop", noop), JobType("hang", hang)]
    async with JobSystem.open(settings, types) as jobs:

        async def run(number: int) -> float:
            at = time.perf_counter()
            job = await jobs.submit(f"u{number % CALLERS}", "p", job_type="noop")
            await jobs.wait(job.job_id)
            return time.perf_counter() - at

        if MODE == "hold":
            await jobs.submit("u", "p", job_type="hang")
        if MODE in {"hold", "again"}:
            await asyncio.sleep(3600)
        count = int(sys.argv[3])
        began = time.perf_counter()
        if MODE == "rate":
            for first in range(0, count, CALLERS):
                await asyncio.gather(*map(run, range(first, min(first + CALLERS, count))))
            print(count / (time.perf_counter() - began), flush=True)
        else:
            taken = sorted([await run(number) for number in range(count)])
            print(taken[count // 2] * 1e3, flush=True)
    os._exit(0)


asyncio.run(main())
