"""Job types for the tests of the command line, loaded by a real server (CIDX_JOBS_HANDLERS)."""

import asyncio
import os

from cidx_jobs import Fatal, JobContext, JobType


async def steps(context: JobContext) -> dict[str, object]:
    """Report one step after another: ``count`` of them, ``pause`` seconds apart.

    The end comes when the file ``until`` exists, if that is named.
    """
    count = context.options.get("count", 3)
    async with context.phase("walking", weight=1.0) as phase:
        for step in range(count):
            item = context.options.get("item", f"src/a/long/way/to/the/file_{step:04}.py")
            await phase.report(done=step, total=count, unit="steps", current_item=item)
            await asyncio.sleep(context.options.get("pause", 0.05))
        if "until" in context.options:
            await appeared(context.options["until"])
    return {"steps": count}


async def appeared(path: str) -> None:
    """Wait until there is such a file; another process makes it."""
    while not await asyncio.to_thread(os.path.exists, path):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.02)


async def fails(context: JobContext) -> None:
    """Fail with the code that the options name."""
    message = "it was asked to"
    raise Fatal(message, code=context.options.get("code", "NOPE"))


JOB_TYPES = [JobType("steps", steps), JobType("fails", fails)]
