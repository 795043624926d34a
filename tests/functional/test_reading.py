"""What is read of a job never goes back, by whatever it is read."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cidx_jobs import JobSystem, Settings
from cidx_jobs.model.job.job import Transition
from cidx_jobs.model.listing import (
    Change,
    EventQuery,
    IdempotencyRecord,
    JobQuery,
    Project,
)
from cidx_jobs.model.schedules.schedule import ScheduleState
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.jobs import MemoryJobs
from cidx_jobs.store.memory.persistence import MemoryPersistence
from tests.fakes import WAIT_SECONDS, Gate


class LateTeller(MemoryJobs):
    """A store that tells of what it has committed only once it may."""

    def __init__(self) -> None:
        """Begin to tell at once."""
        super().__init__(MemoryDatabase())
        self.may_tell = asyncio.Event()
        self.may_tell.set()
        self.has_committed = asyncio.Event()

    async def save_changes(
        self,
        changes: Sequence[Change],
        *,
        idempotency: IdempotencyRecord | None = None,
        projects: Sequence[Project] = (),
        schedule: ScheduleState | None = None,
        on_commit: Callable[[Sequence[Transition]], None] | None = None,
        on_refuse: Callable[[], None] | None = None,
    ) -> Sequence[Transition]:
        """Store, wait, and tell."""
        rows = await super().save_changes(
            changes,
            idempotency=idempotency,
            projects=projects,
            schedule=schedule,
            on_refuse=on_refuse,
        )
        self.has_committed.set()
        await self.may_tell.wait()
        if on_commit is not None:
            on_commit(rows)
        return rows


@pytest.mark.parametrize("by_log", [False, True])
async def test_a_read_after_a_list_sees_at_least_what_it_showed(
    tmp_path: Path, by_log: bool
) -> None:
    """A list reads the store, a read the memory, which hears of a commit a moment later."""
    store = LateTeller()
    persistence = MemoryPersistence(store.database, jobs=store)
    async with JobSystem(
        Settings(data_dir=tmp_path),
        [Gate().job_type],
        persistence=persistence,
    ) as jobs:
        job = await jobs.submit("alice", "p", job_type="gated", hold=True)
        store.may_tell.clear()
        store.has_committed.clear()
        cancel = asyncio.create_task(jobs.cancel(job.job_id))
        async with asyncio.timeout(WAIT_SECONDS):
            await store.has_committed.wait()

        async def look() -> tuple[int, int]:
            if by_log:
                shown = (await jobs.manager.query_events(EventQuery()))[-1].version
            else:
                shown = (await jobs.manager.query_jobs(JobQuery())).jobs[0].version
            return shown, (await jobs.get(job.job_id)).version

        looking = asyncio.create_task(look())
        await asyncio.sleep(0.01)
        store.may_tell.set()
        async with asyncio.timeout(WAIT_SECONDS):
            shown, read = await looking
            await cancel

    assert shown > job.version
    assert read >= shown
