"""Jobs in memory: each write happens at once, wholly or not at all."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from cidx_jobs.interfaces.store.jobs import NO_TYPES, JobStore
from cidx_jobs.model.errors import (
    IdempotencyKeyReusedError,
    StaleVersionError,
    UserStorageFullError,
)
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import PAYLOAD, Job, JobStatus, Transition
from cidx_jobs.model.job.stored_bytes import bytes_of_job, bytes_of_log
from cidx_jobs.model.listing import (
    KEY_LIFETIME,
    Change,
    Checkpoint,
    ChildRecord,
    EventQuery,
    IdempotencyRecord,
    JobFigures,
    JobPage,
    JobQuery,
    Project,
    RunGuard,
    StoreStats,
)
from cidx_jobs.model.schedules.schedule import ScheduleState
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.lists import (
    compare_with_log,
    count_jobs,
    count_stats,
    is_wanted_event,
    page_of,
)
from cidx_jobs.store.memory.projects import save_request
from cidx_jobs.store.memory.schedules import check_schedule


class MemoryJobs(JobStore):
    """Jobs with their log, checkpoints and keys, in dictionaries."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Begin empty."""
        self.database = database
        self._table = database.table
        self._events: list[Transition] = []
        self._sequence = 0
        self._pruned_sequence = 0
        self._checkpoints: dict[JobId, tuple[Checkpoint, bytes]] = {}
        self._keys: dict[tuple[UserId, str], IdempotencyRecord] = {}
        self._bytes: Counter[UserId] = Counter()
        """What is stored of each user."""

    @override
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
        try:
            self.database.check_writable()
            self._check_room(changes)
            if idempotency is not None:
                self._check_key(idempotency)
            if schedule is not None:
                check_schedule(self.database, schedule)
            self._apply(changes)
        except Exception:
            if on_refuse is not None:
                on_refuse()
            raise
        for change in changes:
            if change.drops_checkpoint:
                self._drop_checkpoint(change.job)
        if idempotency is not None:
            self._keys[idempotency.user_id, idempotency.key] = idempotency
        for project in projects:
            save_request(self.database, project)
        if schedule is not None:
            self.database.schedules[schedule.key] = schedule
        logged = self._append(changes)
        if on_commit is not None:
            on_commit(logged)
        return logged

    @override
    async def save_progress(
        self, jobs: Sequence[Job], on_commit: Callable[[Sequence[Job]], None] | None = None
    ) -> Sequence[JobId]:
        self.database.check_writable()
        stored, refused = [], []
        for job in jobs:
            try:
                self._report(job)
            except StaleVersionError:
                refused.append(job.job_id)
            else:
                stored.append(job)
        if on_commit is not None and stored:
            on_commit(tuple(stored))
        return tuple(refused)

    @override
    async def load_job(self, job_id: JobId) -> Job | None:
        return self._table.jobs.get(job_id)

    @override
    async def load_unfinished_jobs(self) -> Sequence[Job]:
        return tuple(job for job in self._table.jobs.values() if not job.done)

    @override
    async def load_children(self, parent_ids: Sequence[JobId]) -> Sequence[ChildRecord]:
        wanted = frozenset(parent_ids)
        return tuple(
            ChildRecord(
                parent_id=job.parent_id, key=job.child_key, job_id=job.job_id, status=job.status
            )
            for job in self._table.jobs.values()
            if job.parent_id in wanted and job.parent_id and job.child_key
        )

    @override
    async def query_jobs(self, query: JobQuery) -> JobPage:
        return page_of(self._table.jobs.values(), self._table.rows, query)

    @override
    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        found = (event for event in self._events if is_wanted_event(event, query))
        return tuple(event for event, _ in zip(found, range(query.limit), strict=False))

    @override
    async def load_oldest_sequence(self) -> int:
        return self._pruned_sequence + 1 if self._sequence else 0

    @override
    async def find_idempotency_record(
        self, user_id: UserId, key: str, not_before: datetime
    ) -> IdempotencyRecord | None:
        record = self._keys.get((user_id, key))
        return None if record is None or record.created_at < not_before else record

    @override
    async def save_checkpoint(
        self, change: Change, data: Any, on_commit: Callable[[], None] | None = None
    ) -> None:
        self.database.check_writable()
        job = change.job
        # Encoded at once, so that what the handler does to its own copy later changes nothing.
        content = msgspec.json.encode(data)
        self._table.check_run(RunGuard(job_id=job.job_id, run=job.run))
        self._apply([change])
        info = job.checkpoint
        checkpoint = Checkpoint(
            job_id=job.job_id,
            run=job.run,
            data=None,
            phase=info.phase if info else None,
            saved_at=info.saved_at if info else job.updated_at,
        )
        self._drop_checkpoint(job)
        self._checkpoints[job.job_id] = (checkpoint, content)
        self._bytes[job.user_id] += len(content)
        self._append([change])
        if on_commit is not None:
            on_commit()

    @override
    async def load_checkpoint(self, job_id: JobId) -> Checkpoint | None:
        stored = self._checkpoints.get(job_id)
        if stored is None:
            return None
        checkpoint, content = stored
        return replace(checkpoint, data=msgspec.json.decode(content))

    @override
    async def delete_expired_jobs(
        self,
        finished_before: datetime,
        statuses: frozenset[JobStatus],
        limit: int,
        *,
        before_by_type: Mapping[str, datetime] = NO_TYPES,
    ) -> Sequence[JobId]:
        self.database.check_writable()
        expired = self._find_expired(finished_before, statuses, before_by_type)
        deleted = tuple(job.job_id for job in expired[:limit])
        for job_id in deleted:
            job = self._table.jobs[job_id]
            self._bytes[job.user_id] -= bytes_of_job(job)
            self._drop_checkpoint(job)
            self._table.delete(job_id)
            self._forget_told(job_id)
        self._forget_events(frozenset(deleted))
        return deleted

    @override
    async def count_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus]
    ) -> int:
        return len(self._find_expired(finished_before, statuses, NO_TYPES))

    @override
    async def remove_payloads(
        self,
        finished_before: datetime,
        limit: int,
        *,
        now: datetime,
        on_commit: Callable[[Sequence[JobId]], None] | None = None,
    ) -> Sequence[JobId]:
        self.database.check_writable()
        expired = [
            job
            for job in self._find_expired(finished_before, frozenset(JobStatus), NO_TYPES)
            if job.options or job.result
        ]
        for job in expired[:limit]:
            self._drop_checkpoint(job)
            self._apply([Change(job=_without_payload(job, now), base_version=job.version)])
        removed = tuple(job.job_id for job in expired[:limit])
        if on_commit is not None:
            on_commit(removed)
        return removed

    @override
    async def count_jobs(
        self, created_from: datetime | None, created_before: datetime | None
    ) -> JobFigures:
        return count_jobs(self._table.jobs.values(), created_from, created_before)

    @override
    async def count_bytes(self, user_id: UserId) -> int:
        return self._bytes[user_id]

    @override
    async def collect_stats(self) -> StoreStats:
        return count_stats(
            self._table.jobs.values(), self._bytes, self.database.database_id, self._sequence
        )

    def compare_with_log(self) -> Sequence[Finding]:
        """Return the jobs that are not what their last row of the log says."""
        return compare_with_log(self._table.jobs, self._events)

    def _check_room(self, changes: Sequence[Change]) -> None:
        asked: Counter[UserId] = Counter()
        for change in changes:
            limit, user_id = change.max_user_bytes, change.job.user_id
            if limit is None or change.base_version:
                continue
            asked[user_id] += bytes_of_job(change.job)
            asked[user_id] += bytes_of_log(change.transitions)
            used = self._bytes[user_id]
            if used + asked[user_id] > limit:
                raise UserStorageFullError(limit, used)

    def _apply(self, changes: Sequence[Change]) -> None:
        before = {change.job.job_id: self._table.jobs.get(change.job.job_id) for change in changes}
        self._table.apply(changes)
        for job_id, old in before.items():
            new = self._table.jobs[job_id]
            self._bytes[new.user_id] += bytes_of_job(new) - (bytes_of_job(old) if old else 0)

    def _find_expired(
        self,
        finished_before: datetime,
        statuses: frozenset[JobStatus],
        before_by_type: Mapping[str, datetime],
    ) -> list[Job]:
        """Return the final jobs that are old enough and may go, in the order of their ends."""
        found = sorted(
            (job.finished_at, self._table.rows[job.job_id])
            for job in self._table.jobs.values()
            if job.finished_at
            and job.status in statuses
            and job.finished_at < before_by_type.get(job.job_type, finished_before)
            and not self._is_awaited(job)
            and self._is_told(job)
        )
        by_row = {row: job_id for job_id, row in self._table.rows.items()}
        return [self._table.jobs[by_row[row]] for _, row in found]

    def _is_told(self, job: Job) -> bool:
        end = (job.job_id, job.end_version)
        notices = self.database.end_notices.values()
        return not job.notify or any(end == (one.job_id, one.version) for one in notices)

    def _is_awaited(self, job: Job) -> bool:
        parent = None if job.parent_id is None else self._table.jobs.get(job.parent_id)
        return parent is not None and not parent.done

    def _drop_checkpoint(self, job: Job) -> None:
        dropped = self._checkpoints.pop(job.job_id, None)
        if dropped is not None:
            self._bytes[job.user_id] -= len(dropped[1])

    def _check_key(self, record: IdempotencyRecord) -> None:
        known = self._keys.get((record.user_id, record.key))
        if known is not None and known.created_at >= record.created_at - KEY_LIFETIME:
            raise IdempotencyKeyReusedError

    def _report(self, job: Job) -> None:
        base = job.version - 1
        if not self._table.holds_run(job.job_id, job.run):
            raise StaleVersionError(job.job_id, base)
        self._table.apply([Change(job=job, base_version=base)])

    def _append(self, changes: Sequence[Change]) -> Sequence[Transition]:
        rows = [row for change in changes for row in change.transitions]
        logged = [replace(row, sequence=self._sequence + n) for n, row in enumerate(rows, start=1)]
        self._sequence += len(logged)
        self._events += logged
        for row in logged:
            self._bytes[row.user_id] += bytes_of_log([row])
        return tuple(logged)

    def _forget_told(self, job_id: JobId) -> None:
        notices = self.database.end_notices
        told = [one for one in notices.values() if one.job_id == job_id and one.next_at is None]
        for notice in told:
            del notices[notice.webhook_id]

    def _forget_events(self, job_ids: frozenset[JobId]) -> None:
        gone = [event for event in self._events if event.job_id in job_ids]
        for event in gone:
            self._bytes[event.user_id] -= bytes_of_log([event])
        self._pruned_sequence = max([self._pruned_sequence, *(event.sequence for event in gone)])
        self._events = [event for event in self._events if event.job_id not in job_ids]


def _without_payload(job: Job, now: datetime) -> Job:
    return replace(
        job,
        options={},
        result=None if job.result is None else {},
        checkpoint=None,
        removed=tuple(name for name in PAYLOAD if getattr(job, name)),
        version=job.version + 1,
        updated_at=max(job.updated_at, now),
    )
