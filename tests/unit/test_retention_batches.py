"""The deletion of expired jobs, batch by batch."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from typing_extensions import override

from cidx_jobs.engine.upkeep.retention import BATCH, delete_expired
from cidx_jobs.interfaces.store.jobs import NO_TYPES
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.jobs import MemoryJobs
from tests.stored import NOON


class _TwoBatches(MemoryJobs):
    """A store with one whole batch to delete, in whose first deletion somebody wants to write."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase())
        self.done: list[str] = []
        self._others: list[asyncio.Task[None]] = []

    @override
    async def delete_expired_jobs(
        self,
        finished_before: datetime,
        statuses: frozenset[JobStatus],
        limit: int,
        *,
        before_by_type: Mapping[str, datetime] = NO_TYPES,
    ) -> Sequence[JobId]:
        self.done.append("batch")
        if self._others:
            return ()
        self._others.append(asyncio.create_task(self._write()))
        return [JobId(str(number)) for number in range(limit)]

    async def _write(self) -> None:
        await asyncio.sleep(0)
        self.done.append("write")


async def test_who_waits_for_the_writer_goes_before_the_next_batch() -> None:
    """A submit that came during one batch is not stored together with the next."""
    store = _TwoBatches()

    deleted = await delete_expired(store, NOON, frozenset(JobStatus))

    assert deleted == BATCH
    assert store.done == ["batch", "write", "batch"]
