"""A process of several on one directory: it submits jobs, waits for them, and says what it did."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from cidx_jobs import JobContext, JobSystem, JobType, Settings


def append(file: str, line: str) -> None:
    """Append a line to a file."""
    with Path(file).open("a", encoding="utf-8") as open_file:
        open_file.write(f"{line}\n")


async def note(context: JobContext) -> dict[str, Any]:
    """Append a line to the file of all runs."""
    await context.in_thread(append, context.options["file"], context.job.job_id)
    return {"pid": os.getpid()}


def tell(text: str) -> None:
    """Say something to whoever started this."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(data_dir: str, count: int, name: str) -> None:
    """Submit so many jobs and wait for each, then stay until the input ends."""
    settings = Settings(
        data_dir=Path(data_dir), shutdown_grace_seconds=0, repository_sync=False, poison_after=0
    )
    file = str(Path(data_dir).parent / "runs")
    async with JobSystem.open(settings, [JobType("note", note)], shared=True) as jobs:
        tell(f"open {'owner' if jobs.is_open else 'member'}")
        for number in range(count):
            job = await jobs.submit(
                "u", f"{name}-{number}", job_type="note", options={"file": file}
            )
            tell(f"submitted {job.job_id}")
            ended = await jobs.wait(job.job_id, timeout=30)
            tell(f"{ended.status} {job.job_id}")
        tell("done")
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
