"""A system over a store whose commits a test may refuse, hold back, or tell of late."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cidx_jobs import Job, JobSystem, JobType
from cidx_jobs.model.job.job import Transition
from cidx_jobs.model.listing import Change
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.jobs import MemoryJobs
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.testing import open_for_tests
from tests.fakes import WAIT_SECONDS

Step = Callable[[Sequence[Change]], None]


class Scripted(MemoryJobs):
    """A store whose commits a test may refuse, or let nobody hear of for a while."""

    def __init__(self) -> None:
        """Do as any store at first."""
        super().__init__(MemoryDatabase())
        self.before: Step = lambda _: None
        """Called with the changes before they are stored; what it raises refuses them."""
        self.until: Callable[[Sequence[Change]], Awaitable[object]] | None = None
        """Awaited with the changes before they are stored."""
        self.commits: list[list[str]] = []
        """The events of each commit of a job's changes."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        """While it is not set, a start is stored and its caller does not learn of it."""
        self.has_stored = asyncio.Event()
        """Set once a start is stored."""
        self.may_tell = asyncio.Event()
        self.may_tell.set()
        """While it is not set, what is stored does not come into memory."""

    async def save_changes(
        self,
        changes: Sequence[Change],
        *,
        on_commit: Callable[[Sequence[Transition]], None] | None = None,
        on_refuse: Callable[[], None] | None = None,
        **more: Any,
    ) -> Sequence[Transition]:
        """Store the changes, as the test wants it."""
        try:
            if self.until is not None:
                await self.until(changes)
            self.before(changes)
        except Exception:
            if on_refuse is not None:
                on_refuse()
            raise
        rows = await super().save_changes(changes, on_refuse=on_refuse, **more)
        self.commits.append([row.event for row in rows])
        await self.may_tell.wait()
        if on_commit is not None:
            on_commit(rows)
        if rows[-1].event == "start":
            self.has_stored.set()
            await self.may_answer.wait()
        return rows


@asynccontextmanager
async def opened(
    *job_types: JobType, **settings: Any
) -> AsyncIterator[tuple[JobSystem, Scripted]]:
    """Open a system over such a store."""
    store = Scripted()
    persistence = MemoryPersistence(store.database, jobs=store)
    async with open_for_tests(job_types, persistence=persistence, **settings) as jobs:
        yield jobs, store


async def submit(jobs: JobSystem, project: str = "p", **request: Any) -> Job:
    """Submit a gated job."""
    return await jobs.submit("u", project, **({"job_type": "gated"} | request))


async def ended(jobs: JobSystem, job: Job) -> Job:
    """Wait for the job's end."""
    return await jobs.wait(job.job_id, timeout=WAIT_SECONDS)


async def turns(count: int = 20) -> None:
    """Let everything go on that waits for nothing."""
    for _ in range(count):
        await asyncio.sleep(0)
