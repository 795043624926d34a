"""How finished jobs go for good: how long each is kept, and its deletion in batches."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Self

import msgspec

from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.store.jobs import NO_TYPES, JobStore
from cidx_jobs.interfaces.store.tokens import TokenStore
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.errors import SettingsError
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.settings import Settings

BATCH = 300
"""Deleted in one transaction, so that no submit waits long for it (performance.md, P13)."""
PAUSE_SECONDS = 0.002
"""Between two batches, so that what waits for the writer goes before the next and not with it."""

TOKEN_SECONDS = 30 * 86_400.0
"""An expired token is listed for so long: somebody may wonder why it opens nothing any more."""


class Cleanup(msgspec.Struct, frozen=True, kw_only=True):
    """What a cleanup on request found and did."""

    matched: int
    """How many finished jobs were old enough."""
    deleted: int


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the jobs whose time was over."""

    deleted: int
    emptied: int
    """How many lost options and result, and stay themselves."""
    tokens: int
    """How many tokens were deleted, which had expired long before."""


class RetentionTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long finished jobs are kept, in seconds.

    A job's type decides where it has a time of its own, else its status where that has one.
    """

    by_status: Mapping[JobStatus, float]
    """Each final status is in it."""
    by_type: Mapping[str, float]
    payload_seconds: float
    """How long options and result are kept; 0: as long as the job."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the times that settings name."""
        own = settings.retention_seconds_by_status
        return cls(
            by_status={
                status: own.get(status, settings.retention_seconds)
                for status in JobStatus
                if status.is_final
            },
            by_type=settings.retention_by_type,
            payload_seconds=settings.payload_retention_seconds,
        )


def find_mistyped(
    by_type: Collection[str], job_types: Collection[str], stored_types: Collection[str]
) -> Iterator[SettingsError]:
    """Yield a refusal of each type with a time of its own that there is not.

    A type that is no longer there may have left jobs, which are to be kept for that time.
    """
    for name in sorted(by_type):
        if name not in job_types and name not in stored_types:
            close = get_close_matches(name, job_types, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            message = f"retention_by_type: there is no job type {name}, and no job of one{hint}"
            yield SettingsError(message)


class Retention:
    """Deletes finished jobs that are old enough, with their log and checkpoints."""

    def __init__(
        self, store: JobStore, tokens: TokenStore, board: Board, times: RetentionTimes
    ) -> None:
        """Take where jobs and tokens are kept, the memory that must forget, too, and the times."""
        self._store = store
        self._tokens = tokens
        self._board = board
        self._times = times

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
        before = self._ago(older_than_seconds)
        matched = await self._store.count_expired_jobs(before, statuses)
        if dry_run:
            return Cleanup(matched=matched, deleted=0)
        forget = self._board.live.forget
        deleted = await delete_expired(self._store, before, statuses, is_stopping, forget=forget)
        return Cleanup(matched=matched, deleted=deleted)

    async def expire(self) -> Expired:
        """Delete jobs whose time is over, payloads of those whose payload's is, and old tokens."""
        by_type = {name: self._ago(seconds) for name, seconds in self._times.by_type.items()}
        deleted = 0
        for status, seconds in self._times.by_status.items():
            deleted += await delete_expired(
                self._store,
                self._ago(seconds),
                frozenset({status}),
                before_by_type=by_type,
                forget=self._board.live.forget,
            )
        emptied = await self._remove_payloads() if self._times.payload_seconds else 0
        tokens = await self._tokens.delete_expired_tokens(self._ago(TOKEN_SECONDS))
        return Expired(deleted=deleted, emptied=emptied, tokens=tokens)

    def list_notes(self, job_types: JobTypes) -> Sequence[Finding]:
        """List the types with a time of their own that there are not: perhaps mistyped."""
        return [
            Finding(
                kind="retention",
                message=f"retention_by_type names {name}, and this server has no such job type",
            )
            for name in sorted(self._times.by_type)
            if name not in job_types
        ]

    async def check_types(self, job_types: JobTypes) -> None:
        """Check that there is each type, or a job of it, that has a time of its own.

        Raises:
            SettingsError: it is probably mistyped, and jobs would go too early.
        """
        if all(name in job_types for name in self._times.by_type):
            return
        stats = await self._store.collect_stats()
        for refusal in find_mistyped(self._times.by_type, job_types, stats.by_type):
            raise refusal

    async def _remove_payloads(self) -> int:
        before, removed = self._ago(self._times.payload_seconds), 0
        while True:
            gone = await self._store.remove_payloads(
                before, BATCH, now=self._board.clock.now(), on_commit=self._forget
            )
            removed += len(gone)
            if len(gone) < BATCH:
                return removed
            await asyncio.sleep(PAUSE_SECONDS)

    def _forget(self, job_ids: Sequence[JobId]) -> None:
        # They are another version in the store: whoever asks reads it there.
        for job_id in job_ids:
            self._board.live.forget(job_id)

    def _ago(self, seconds: float) -> datetime:
        return self._board.clock.now() - timedelta(seconds=seconds)


async def delete_expired(
    store: JobStore,
    before: datetime,
    statuses: frozenset[JobStatus],
    is_stopping: Callable[[], bool] = lambda: False,
    *,
    before_by_type: Mapping[str, datetime] = NO_TYPES,
    forget: Callable[[JobId], None] = lambda _: None,
) -> int:
    """Delete the jobs that finished *before* from a store; return how many.

    *before_by_type* holds the same for types that have a time of their own, *forget* is called
    with each job, and once *is_stopping* holds no further batch begins.
    """
    deleted = 0
    while not is_stopping():
        gone = await store.delete_expired_jobs(
            before, statuses, BATCH, before_by_type=before_by_type
        )
        for job_id in gone:
            forget(job_id)
        deleted += len(gone)
        if len(gone) < BATCH:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return deleted
