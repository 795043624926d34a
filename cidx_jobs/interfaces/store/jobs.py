"""Where jobs are kept: with their log, progress, checkpoints and idempotency keys."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

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

NO_TYPES: Mapping[str, datetime] = MappingProxyType({})
"""That no type has a time of its own."""


class JobStore(Protocol):
    """Keeps jobs and all that is stored in one transaction with them.

    What every write promises stands in `cidx_jobs.interfaces.store.persistence.Persistence`.
    """

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
        """Store the changes of one or more jobs, all or nothing; return the numbered log rows.

        Args:
            changes: what becomes of each job; in order, where they depend on each other.
            idempotency: the key of the request that made them.
            projects: what the requests say of their projects (url and branch).
            schedule: the schedule that submits, one version further.
            on_commit: called once after the commit, on the loop, in the order of the commits and
                before this returns; also when the caller was cancelled meanwhile.
            on_refuse: called once, on the loop and on the same terms, where nothing was stored:
                exactly one of the two is called, whatever becomes of the caller.

        Raises:
            StaleVersionError: a row is not at its change's base version, or another job holds
                the place in its project's line: somebody else was first.
            IdempotencyKeyReusedError: the key is taken (by any request).
            UserStorageFullError: the `max_user_bytes` of a new job are taken.
            StaleScheduleError: the schedule is at another version, or is gone.
        """
        ...

    async def save_progress(
        self, jobs: Sequence[Job], on_commit: Callable[[Sequence[Job]], None] | None = None
    ) -> Sequence[JobId]:
        """Store progress reports, each for itself; return the ids that were refused as stale.

        A row is written if it is at ``job.version - 1`` and ``job.run``. *on_commit* gets the
        jobs that were stored, on the terms of `save_changes`.
        """

    async def load_job(self, job_id: JobId) -> Job | None:
        """Return the job as it was last committed."""

    async def load_unfinished_jobs(self) -> Sequence[Job]:
        """Return every job that is not final, in the order of their submits."""

    async def load_for_recovery(self) -> Sequence[Job | UnreadJob]:
        """Return every job that is not final, in the order of their submits, to begin with.

        A job that merely waits for its turn may come unread.
        """
        return await self.load_unfinished_jobs()

    async def load_children(self, parent_ids: Sequence[JobId]) -> Sequence[ChildRecord]:
        """Return what is stored of the jobs' children, in the order of their submits."""

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Return one page of the jobs that fit."""

    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        """Return rows of the transition log, oldest first."""

    async def load_oldest_sequence(self) -> int:
        """Return the number from which on the log is whole; 0 when it never held anything."""

    async def find_idempotency_record(
        self, user_id: UserId, key: str, not_before: datetime
    ) -> IdempotencyRecord | None:
        """Return what the user's key was used for, unless that was before *not_before*."""

    async def save_checkpoint(
        self, change: Change, data: Any, on_commit: Callable[[], None] | None = None
    ) -> None:
        """Store what a run needs to go on, with the job's new version, in one transaction.

        Args:
            change: the job with its new `CheckpointInfo`; guarded by version and run.
            data: any JSON value.
            on_commit: on the terms of `save_changes`.

        Raises:
            StaleVersionError: the job changed meanwhile.
            StaleRunError: the run is over.
        """

    async def load_checkpoint(self, job_id: JobId) -> Checkpoint | None:
        """Return the job's last checkpoint."""

    async def delete_expired_jobs(
        self,
        finished_before: datetime,
        statuses: frozenset[JobStatus],
        limit: int,
        *,
        before_by_type: Mapping[str, datetime] = NO_TYPES,
    ) -> Sequence[JobId]:
        """Delete at most *limit* final jobs with their log and checkpoints; return their ids.

        Those that finished first go first. What a parent that is not done made stays, and so does
        a job whose end is still to be noticed. Idempotency keys that are no longer kept may be
        deleted with them.

        Args:
            finished_before: those go that finished earlier than this.
            statuses: those that may go.
            limit: how many go at most.
            before_by_type: the same as *finished_before* for types that have a time of their own.
        """

    async def remove_payloads(
        self,
        finished_before: datetime,
        limit: int,
        *,
        now: datetime,
        on_commit: Callable[[Sequence[JobId]], None] | None = None,
    ) -> Sequence[JobId]:
        """Remove options, result and checkpoint of at most *limit* final jobs; return their ids.

        The jobs are those that `delete_expired_jobs` may delete, of all types and final statuses,
        and have anything of it. They stay, name in `Job.removed` what they lack, and are one
        version further, without a row in the log: it is no edge. *now* is when. It is the last
        version of such a job. *on_commit* gets the ids, on the terms of `save_changes`.
        """

    async def count_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus]
    ) -> int:
        """Count the final jobs that `delete_expired_jobs` would delete without a limit."""

    async def count_jobs(
        self, created_from: datetime | None, created_before: datetime | None
    ) -> JobFigures:
        """Return figures of the jobs that were submitted in the span, the end not included."""

    async def count_bytes(self, user_id: UserId) -> int:
        """Return what is stored of the user's jobs, their log and checkpoints included.

        `cidx_jobs.model.job.stored_bytes` says what counts for how much. The figure is kept with
        every write, in its transaction, so that it costs one look.
        """

    async def collect_stats(self) -> StoreStats:
        """Count the jobs by status, type and user, and the bytes that the store takes."""
