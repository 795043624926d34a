"""Job types whose jobs have every part that the document of the API describes."""

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import Fatal
from tests.functional.slow_jobs import linger


async def thorough(context: JobContext) -> dict[str, object]:
    """Go through phases, report, warn, keep a checkpoint, and end."""
    async with context.phase("reading", weight=0.4) as phase:
        await phase.report(done=3, total=10, unit="files", current_item="a.py", message="reading")
    await context.save_checkpoint({"names": ["a.py"]})
    context.warn("SLOW", "this took long")
    async with context.phase("writing", weight=0.6):
        return {"files": 10}


async def broken(context: JobContext) -> dict[str, object]:
    """Fail in a phase, for good."""
    async with context.phase("breaking", weight=1):
        message = "it broke"
        raise Fatal(message)


TYPES = [JobType("thorough", thorough), JobType("broken", broken), JobType("linger", linger)]
