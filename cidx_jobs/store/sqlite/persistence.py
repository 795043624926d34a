"""`JobPersistence`: jobs in one SQLite file, every write durable when it returns."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.model.errors import StorageUnavailableError
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import (
    KEY_LIFETIME,
    Change,
    Checkpoint,
    EventQuery,
    IdempotencyRecord,
    JobPage,
    JobQuery,
    Project,
    RunGuard,
    StoreIdentity,
    StoreStats,
    Token,
)
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store import sweep as leftovers
from cidx_jobs.store.sqlite import job_lists as queries
from cidx_jobs.store.sqlite import job_writes as operations
from cidx_jobs.store.sqlite import other_reads as lookups
from cidx_jobs.store.sqlite import other_writes as upkeep
from cidx_jobs.store.sqlite.commit.transaction import Operation
from cidx_jobs.store.sqlite.doctor import examine
from cidx_jobs.store.sqlite.job_columns import to_microseconds
from cidx_jobs.store.sqlite.open.session import Session, open_session
from cidx_jobs.store.sqlite.other_columns import (
    encode_checkpoint,
    encode_controls,
    encode_idempotency,
    encode_project,
    encode_token,
)

T = TypeVar("T")


class JobPersistence:
    """The `JobStore` on aiosqlite; owns its data directory from `open` to `close`.

    What its methods promise stands in `JobStore`.
    """

    def __init__(
        self, directory: DataDirectory, *, synchronous: str = "FULL", clock: Clock
    ) -> None:
        """Take what it shall serve; nothing is opened yet.

        Args:
            directory: where the database lies.
            synchronous: FULL, or NORMAL, which may lose acknowledged jobs in a power cut.
            clock: measures the engine's time, which is stored with each write.
        """
        self._directory = directory
        self._synchronous = synchronous
        self._clock = clock
        self._session: Session | None = None

    @property
    def can_write(self) -> bool:
        """False while it is closed, and from a write that failed until one succeeds."""
        return self._session is not None and self._session.committer.can_write

    async def open(self) -> StoreIdentity:
        """Take the data directory into possession and begin a new epoch.

        Raises:
            AlreadyOwnedError: another server owns it.
            SchemaTooNewError: a newer version wrote the database.
            DatabaseDamagedError: it is cut, damaged, rolled back, or lost its log.
            StartRefusedError: it cannot be written.
        """
        if self._session is not None:
            message = "the store is open already"
            raise RuntimeError(message)
        opening = asyncio.create_task(
            open_session(self._directory, self._synchronous, self._clock), name="store-open"
        )
        try:
            session = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # Half-open it would keep its lock, and its threads would hang the interpreter's exit.
            await asyncio.wait({opening})
            if opening.exception() is None:
                await opening.result().close()
            raise
        self._session = session
        return session.identity

    async def close(self) -> None:
        """Finish the writes under way and let go of the directory; closing twice is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def save_job(self, job: Job, transition: Transition | None = None) -> None:
        """Store a job that is one version further, with its transition; see `save_changes`."""
        transitions = () if transition is None else (transition,)
        await self.save_changes(
            [Change(job=job, base_version=job.version - 1, transitions=transitions)]
        )

    async def save_changes(
        self,
        changes: Sequence[Change],
        *,
        idempotency: IdempotencyRecord | None = None,
        project: Project | None = None,
        on_commit: Callable[[Sequence[Transition]], None] | None = None,
    ) -> Sequence[Transition]:
        """Store the changes of one or more jobs, all or nothing; give the numbered log rows."""
        operation = partial(
            operations.save_changes,
            changes=[operations.encode_change(change) for change in changes],
            key=None if idempotency is None else encode_idempotency(idempotency),
            project=None if project is None else encode_project(project),
        )
        logged: Sequence[Transition] = await self._write(operation, on_commit)
        return logged

    async def save_progress(
        self, jobs: Sequence[Job], on_commit: Callable[[Sequence[Job]], None] | None = None
    ) -> Sequence[JobId]:
        """Store progress reports, each for itself; give the ids that were refused as stale."""
        reports = [operations.encode_report(job) for job in jobs]

        def tell(refused: Sequence[JobId]) -> None:
            stored = tuple(job for job in jobs if job.job_id not in refused)
            if on_commit is not None and stored:
                on_commit(stored)

        refused: Sequence[JobId] = await self._write(
            partial(operations.save_progress, reports=reports), tell
        )
        return refused

    async def load_job(self, job_id: JobId) -> Job | None:
        """Give the job as it was last committed."""
        return await self._look_up(lambda db: queries.load_job(db, job_id))

    async def load_unfinished_jobs(self) -> Sequence[Job]:
        """Give every job that is not final, in the order of their submits."""
        return await self._search(queries.load_unfinished_jobs)

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Give one page of the jobs that fit."""
        return await self._search(lambda db: queries.query_jobs(db, query))

    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        """Give rows of the transition log, oldest first."""
        return await self._look_up(lambda db: queries.query_events(db, query))

    async def load_oldest_sequence(self) -> int:
        """Give the number from which on the log is whole; 0 when it never held anything."""
        return await self._look_up(lookups.load_oldest_sequence)

    async def find_idempotency_record(
        self, user_id: UserId, key: str, not_before: datetime
    ) -> IdempotencyRecord | None:
        """Give what the user's key was used for, unless that was before *not_before*."""
        return await self._look_up(
            lambda db: lookups.find_idempotency_record(db, user_id, key, not_before)
        )

    async def save_checkpoint(
        self, change: Change, data: Any, on_commit: Callable[[], None] | None = None
    ) -> None:
        """Store what a run needs to go on, with the job's new version, in one transaction."""
        job, info = change.job, change.job.checkpoint
        checkpoint = Checkpoint(
            job_id=job.job_id,
            run=job.run,
            data=data,
            phase=None if info is None else info.phase,
            saved_at=job.updated_at if info is None else info.saved_at,
        )
        operation = partial(
            operations.save_checkpoint,
            encoded=operations.encode_change(change),
            checkpoint=encode_checkpoint(checkpoint),
        )
        await self._write(operation, None if on_commit is None else lambda _: on_commit())

    async def load_checkpoint(self, job_id: JobId) -> Checkpoint | None:
        """Give the job's last checkpoint."""
        return await self._look_up(lambda db: lookups.load_checkpoint(db, job_id))

    async def delete_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus], limit: int
    ) -> Sequence[JobId]:
        """Delete at most *limit* final jobs with their log and checkpoints; give their ids.

        Idempotency keys that are no longer kept are deleted with them.
        """
        operation = partial(
            upkeep.delete_expired,
            finished_before=to_microseconds(finished_before),
            statuses=sorted(statuses),
            limit=limit,
            keys_before=to_microseconds(self._clock.now() - KEY_LIFETIME),
        )
        deleted: Sequence[JobId] = await self._write(operation)
        return deleted

    async def count_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus]
    ) -> int:
        """Count the final jobs that `delete_expired_jobs` would delete without a limit."""
        before = to_microseconds(finished_before)
        return await self._look_up(lambda db: lookups.count_expired(db, before, statuses))

    async def save_project(self, project: Project, guard: RunGuard | None = None) -> None:
        """Store what is known of a project; a run leaves its url and branch as they are."""
        row = encode_project(project)
        await self._write(partial(operations.save_project, project=row, guard=guard))

    async def load_project(self, user_id: UserId, project_id: ProjectId) -> Project | None:
        """Give what is known of a project."""
        return await self._look_up(lambda db: lookups.load_project(db, user_id, project_id))

    async def list_projects(self, user_id: UserId | None) -> Sequence[Project]:
        """Give the projects of a user, or of all, by user and project id."""
        return await self._search(lambda db: lookups.list_projects(db, user_id))

    async def delete_project(self, user_id: UserId, project_id: ProjectId) -> None:
        """Forget a project without a job in its line; no error when there is none."""
        await self._write(partial(upkeep.delete_project, user_id=user_id, project_id=project_id))

    async def forget_copy(self, user_id: UserId, project_id: ProjectId) -> None:
        """Forget the sizes of a project without a job in its line."""
        await self._write(partial(upkeep.forget_copy, user_id=user_id, project_id=project_id))

    async def save_token(self, token: Token) -> None:
        """Store a token, new or changed."""
        await self._write(partial(upkeep.save_token, token=encode_token(token)))

    async def find_token(self, digest: str) -> Token | None:
        """Give the token with the SHA-256 *digest* (hex); None also once it is revoked."""
        return await self._look_up(lambda db: lookups.find_token(db, digest))

    async def list_tokens(self) -> Sequence[Token]:
        """Give all tokens, oldest first."""
        return await self._look_up(lookups.list_tokens)

    async def delete_token(self, token_id: str) -> bool:
        """Revoke a token at once; False when there is none."""
        deleted: bool = await self._write(partial(upkeep.delete_token, token_id=token_id))
        return deleted

    async def save_controls(self, limits: Limits | None, pauses: Pauses) -> None:
        """Keep the limits (None: those of the settings) and pauses that an operator set."""
        controls = encode_controls(limits, pauses)
        await self._write(partial(upkeep.save_controls, controls=controls))

    async def load_controls(self) -> tuple[Limits | None, Pauses]:
        """Give the limits and pauses that are kept."""
        return await self._look_up(lookups.load_controls)

    async def collect_stats(self) -> StoreStats:
        """Count what is stored."""
        database = self._directory.database
        return await self._search(lambda db: lookups.collect_stats(db, database))

    async def sweep(self) -> int:
        """Remove files that a run or a write that was cut off has left; give how many."""
        return await leftovers.sweep(self._directory, self._is_unfinished)

    async def examine(self, *, deep: bool = False) -> Sequence[Finding]:
        """Compare what is stored with itself; give what does not fit together, if anything."""
        self._opened()
        try:
            return await in_own_thread(examine, self._directory, deep=deep)
        except sqlite3.Error as error:
            raise StorageUnavailableError from error

    async def _is_unfinished(self, job_id: JobId) -> bool:
        job = await self.load_job(job_id)
        return job is not None and not job.done

    async def _write(
        self, operation: Operation, on_commit: Callable[[Any], object] | None = None
    ) -> Any:
        return await self._opened().writer.write(operation, on_commit)

    async def _look_up(self, function: Callable[[sqlite3.Connection], T]) -> T:
        return await self._opened().point_reader.read(function)

    async def _search(self, function: Callable[[sqlite3.Connection], T]) -> T:
        return await self._opened().list_reader.read(function)

    def _opened(self) -> Session:
        if self._session is None:
            raise StorageUnavailableError
        return self._session
