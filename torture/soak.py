"""Let very many jobs of many users pass through one system, and see that nothing grows."""

import asyncio
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import attrs

from cidx_jobs import Job, JobContext, JobStatus, JobSystem, JobType, Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence

JOBS_A_ROUND = 1_000
USERS = 10_000
MOST_BYTES_A_JOB = 200
"""Two megabytes for ten thousand jobs (guarantees.md, G15)."""
MOST_GROWTH = 1.05
"""Of the objects: what is kept of users and kinds changes a little from look to look."""

_HELD = 0.02
_EXCLUSIVE = 0.2
_WAIT_SECONDS = 60.0
_STATM = Path("/proc/self/statm")


@attrs.frozen
class Size:
    """What the process holds at one moment at which no job is there."""

    objects: int
    tasks: int
    descriptors: int
    memory_bytes: int


async def torture(
    folder: Path, *, rounds: int, seed: int, handlers: str = ""
) -> tuple[list[str], dict[str, Any]]:
    """Run *rounds* thousand jobs; give what grew, and what there was after a third and at the end.

    *handlers* is not used: what a job itself keeps is not the question.
    """
    del handlers
    random = Random(seed)
    types = [JobType("plain", _work), JobType("single", _work, exclusive=True)]
    settings = Settings(data_dir=folder, max_queued_per_user=100_000)
    system = JobSystem(settings, types, persistence=MemoryPersistence())
    warm = max(1, rounds // 3)
    async with system as jobs:
        for _ in range(warm):
            await _round(jobs, random)
        before = _look()
        for _ in range(rounds - warm):
            await _round(jobs, random)
        after = _look()
    passed = (rounds - warm) * JOBS_A_ROUND
    faults = list(_grown(before, after, passed))
    return faults, {"before": attrs.asdict(before), "after": attrs.asdict(after), "jobs": passed}


async def _work(_: JobContext) -> None:
    return None


async def _round(jobs: JobSystem, random: Random) -> None:
    """Submit, look at, cancel, run and delete a thousand jobs."""
    submitted = [await _submit(jobs, random) for _ in range(JOBS_A_ROUND)]
    for job in submitted:
        if job.hold:
            await jobs.cancel(job.job_id)
        await jobs.wait(job.job_id, timeout=_WAIT_SECONDS)
    await jobs.manager.clean_up_jobs(0, frozenset(JobStatus))


async def _submit(jobs: JobSystem, random: Random) -> Job:
    is_single = random.random() < _EXCLUSIVE
    job = await jobs.submit(
        f"user{random.randrange(USERS)}",
        f"p{random.randrange(3)}",
        job_type="single" if is_single else "plain",
        # Who is joined is released: it may be over when its turn comes to be cancelled.
        hold=not is_single and random.random() < _HELD,
    )
    # As every answer over HTTP does.
    jobs.manager.tag(job)
    jobs.manager.queue_status(job)
    return job


def _look() -> Size:
    gc.collect()
    pages = int(_STATM.read_text("utf-8").split()[1])
    return Size(
        objects=len(gc.get_objects()),
        tasks=len(asyncio.all_tasks()),
        descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        memory_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
    )


def _grown(before: Size, after: Size, jobs: int) -> Iterator[str]:
    if after.objects > before.objects * MOST_GROWTH:
        yield f"{before.objects} objects became {after.objects}"
    if after.tasks > before.tasks or after.descriptors > before.descriptors:
        yield f"tasks or descriptors grew: {before}, {after}"
    if after.memory_bytes - before.memory_bytes > MOST_BYTES_A_JOB * jobs:
        yield f"{after.memory_bytes - before.memory_bytes} bytes more after {jobs} jobs"
