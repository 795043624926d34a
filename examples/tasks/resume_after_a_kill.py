"""A job whose process is killed in the middle goes on there, and does nothing again."""

import asyncio
import os
import signal
import subprocess
import sys

from cidx_jobs import JobContext, JobSystem, Settings, job_type

IS_FIRST = "first" in sys.argv
LAST_OF_THE_FIRST = 2


@job_type("pages")
async def pages(context: JobContext) -> None:
    """Print five pages; the first process dies after the third."""
    for page in range(context.checkpoint or 0, 5):
        if IS_FIRST and page > LAST_OF_THE_FIRST:
            os.kill(os.getpid(), signal.SIGKILL)
        print(page, flush=True)
        await context.save_checkpoint(page + 1)


async def main() -> None:
    """Submit the job in a process that dies, and let another finish it."""
    async with JobSystem.open(Settings(data_dir="data"), [pages]) as jobs:
        if IS_FIRST:
            await jobs.submit("me", "books", job_type=pages)
        await jobs.wait_until_idle()


if not IS_FIRST:
    subprocess.run([sys.executable, __file__, "first"], check=False)
asyncio.run(main())
