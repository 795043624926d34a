"""`SqliteJobs`: jobs in the database, each write one function that the writer runs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from typing_extensions import override

from cidx_jobs.interfaces.store.jobs import NO_TYPES, JobStore
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.listing import (
    Change,
    Checkpoint,
    ChildRecord,
    EventQuery,
    IdempotencyRecord,
    JobFigures,
    JobPage,
    JobQuery,
    Project,
    StoreStats,
    UnreadJob,
)
from cidx_jobs.model.schedules.schedule import ScheduleState
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.jobs import lists, log, writes
from cidx_jobs.store.sqlite.jobs.checkpoints import encode_checkpoint, load_checkpoint
from cidx_jobs.store.sqlite.jobs.expiry import count_expired, delete_expired, remove_payloads
from cidx_jobs.store.sqlite.jobs.keys import encode_key, find_key
from cidx_jobs.store.sqlite.jobs.stats import collect_stats, count_jobs
from cidx_jobs.store.sqlite.jobs.stored_bytes import load_bytes
from cidx_jobs.store.sqlite.projects import encode_project
from cidx_jobs.store.sqlite.schedules import encode_schedule


class SqliteJobs(JobStore):
    """The jobs in the database, with their log, checkpoints and keys."""

    def __init__(self, database: Database) -> None:
        """Take the database that holds them."""
        self._database = database

    # A plain function, as all down to the writer: what comes back is the writer's own future.

    @override
    def save_changes(
        self,
        changes: Sequence[Change],
        *,
        idempotency: IdempotencyRecord | None = None,
        projects: Sequence[Project] = (),
        schedule: ScheduleState | None = None,
        on_commit: Callable[[Sequence[Transition]], None] | None = None,
        on_refuse: Callable[[], None] | None = None,
    ) -> Awaitable[Sequence[Transition]]:
        try:
            operation = partial(
                writes.save_changes,
                changes=tuple(map(writes.encode_change, changes)),
                key=None if idempotency is None else encode_key(idempotency),
                projects=tuple(map(encode_project, projects)),
                schedule=None if schedule is None else encode_schedule(schedule),
            )
            return self._database.write(operation, on_commit, on_refuse)
        except Exception:
            # The writer, which tells of all else, has not heard of it.
            if on_refuse is not None:
                on_refuse()
            raise

    @override
    async def save_progress(
        self, jobs: Sequence[Job], on_commit: Callable[[Sequence[Job]], None] | None = None
    ) -> Sequence[JobId]:
        reports = [writes.encode_report(job) for job in jobs]

        def tell(refused: Sequence[JobId]) -> None:
            stored = tuple(job for job in jobs if job.job_id not in refused)
            if on_commit is not None and stored:
                on_commit(stored)

        refused: Sequence[JobId] = await self._database.write(
            partial(writes.save_progress, reports=reports), tell
        )
        return refused

    @override
    async def load_job(self, job_id: JobId) -> Job | None:
        return await self._database.look_up(lambda db: lists.load_job(db, job_id))

    @override
    async def load_unfinished_jobs(self) -> Sequence[Job]:
        return await self._database.search(lists.load_unfinished_jobs)

    @override
    async def load_for_recovery(self) -> Sequence[Job | UnreadJob]:
        return await self._database.search(lists.load_for_recovery)

    @override
    async def load_children(self, parent_ids: Sequence[JobId]) -> Sequence[ChildRecord]:
        return await self._database.search(lambda db: lists.load_children(db, parent_ids))

    @override
    async def query_jobs(self, query: JobQuery) -> JobPage:
        return await self._database.search(lambda db: lists.query_jobs(db, query))

    @override
    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        return await self._database.look_up(lambda db: log.query_events(db, query))

    @override
    async def load_oldest_sequence(self) -> int:
        return await self._database.look_up(log.load_oldest_sequence)

    @override
    async def find_idempotency_record(
        self, user_id: UserId, key: str, not_before: datetime
    ) -> IdempotencyRecord | None:
        return await self._database.look_up(lambda db: find_key(db, user_id, key, not_before))

    @override
    async def save_checkpoint(
        self, change: Change, data: Any, on_commit: Callable[[], None] | None = None
    ) -> None:
        operation = partial(
            writes.save_checkpoint,
            encoded=writes.encode_change(change),
            checkpoint=encode_checkpoint(change.job, data),
        )
        await self._database.write(operation, None if on_commit is None else lambda _: on_commit())

    @override
    async def load_checkpoint(self, job_id: JobId) -> Checkpoint | None:
        return await self._database.look_up(lambda db: load_checkpoint(db, job_id))

    @override
    async def delete_expired_jobs(
        self,
        finished_before: datetime,
        statuses: frozenset[JobStatus],
        limit: int,
        *,
        before_by_type: Mapping[str, datetime] = NO_TYPES,
    ) -> Sequence[JobId]:
        operation = partial(
            delete_expired,
            finished_before=finished_before,
            statuses=statuses,
            limit=limit,
            now=self._database.clock.now(),
            before_by_type=before_by_type,
        )
        deleted: Sequence[JobId] = await self._database.write(operation)
        return deleted

    @override
    async def remove_payloads(
        self,
        finished_before: datetime,
        limit: int,
        *,
        now: datetime,
        on_commit: Callable[[Sequence[JobId]], None] | None = None,
    ) -> Sequence[JobId]:
        operation = partial(remove_payloads, finished_before=finished_before, limit=limit, now=now)
        removed: Sequence[JobId] = await self._database.write(operation, on_commit)
        return removed

    @override
    async def count_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus]
    ) -> int:
        return await self._database.look_up(
            lambda db: count_expired(db, finished_before, statuses)
        )

    @override
    async def count_jobs(
        self, created_from: datetime | None, created_before: datetime | None
    ) -> JobFigures:
        return await self._database.search(lambda db: count_jobs(db, created_from, created_before))

    @override
    async def count_bytes(self, user_id: UserId) -> int:
        return await self._database.look_up(lambda db: load_bytes(db, user_id))

    @override
    async def collect_stats(self) -> StoreStats:
        path = self._database.directory.database
        return await self._database.search(lambda db: collect_stats(db, path))
