"""How finished jobs go for good: counted first if somebody asks, deleted in batches."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus

BATCH = 300
"""Deleted in one transaction, so that no submit waits long for it (performance.md, P13)."""


class Cleanup(msgspec.Struct, frozen=True, kw_only=True):
    """What a cleanup on request found and did."""

    matched: int
    """How many finished jobs were old enough."""
    deleted: int


class Retention:
    """Deletes finished jobs that are old enough, with their log and checkpoints."""

    def __init__(self, store: JobStore, board: Board) -> None:
        """Take where the jobs are kept, and the memory that must forget them, too."""
        self._store = store
        self._board = board

    async def clean_up(
        self,
        older_than_seconds: float,
        statuses: frozenset[JobStatus],
        *,
        dry_run: bool,
        is_stopping: Callable[[], bool],
    ) -> Cleanup:
        """Count and, unless it is a dry run, delete the jobs that finished so long ago.

        Once *is_stopping* holds no further batch begins.
        """
        before = self._board.clock.now() - timedelta(seconds=older_than_seconds)
        matched = await self._store.count_expired_jobs(before, statuses)
        deleted = 0 if dry_run else await self.delete(before, statuses, is_stopping)
        return Cleanup(matched=matched, deleted=deleted)

    async def delete(
        self,
        before: datetime,
        statuses: frozenset[JobStatus],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> int:
        """Delete the jobs that finished *before*, a batch a transaction; return how many."""
        forget = self._board.live.forget
        return await delete_expired(self._store, before, statuses, is_stopping, forget)


async def delete_expired(
    store: JobStore,
    before: datetime,
    statuses: frozenset[JobStatus],
    is_stopping: Callable[[], bool] = lambda: False,
    forget: Callable[[JobId], None] = lambda _: None,
) -> int:
    """Delete the jobs that finished *before* from a store; return how many.

    *forget* is called with each, and once *is_stopping* holds no further batch begins.
    """
    deleted = 0
    while not is_stopping():
        gone = await store.delete_expired_jobs(before, statuses, BATCH)
        for job_id in gone:
            forget(job_id)
        deleted += len(gone)
        if len(gone) < BATCH:
            break
    return deleted
