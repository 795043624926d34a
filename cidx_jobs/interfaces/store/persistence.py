"""Persistence as a whole: possession, start and end, and a store for each kind of thing kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from cidx_jobs.interfaces.store.accounts import AccountStore
from cidx_jobs.interfaces.store.admin_log import AdminLogStore
from cidx_jobs.interfaces.store.backups import BackupStore
from cidx_jobs.interfaces.store.controls import ControlStore
from cidx_jobs.interfaces.store.end_notices import EndNoticeStore
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.interfaces.store.push_hooks import PushHookStore
from cidx_jobs.interfaces.store.schedules import ScheduleStore
from cidx_jobs.interfaces.store.tokens import TokenStore
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.listing import Change, Checkpoint, JobPage, JobQuery, StoreIdentity


class Persistence(Protocol):
    """Everything that is kept, in one place with one owner; its parts share one writer.

    A write of any part returns after it is durable, and either all of it is stored or nothing.
    Cancelling the caller never undoes a write that has begun.

    Every write raises `StorageFullError` or `StorageUnavailableError` when nothing was stored,
    and `OwnerLostError` once another server owns the database.
    """

    jobs: JobStore
    projects: ProjectStore
    tokens: TokenStore
    accounts: AccountStore
    end_notices: EndNoticeStore
    push_hooks: PushHookStore
    schedules: ScheduleStore
    controls: ControlStore
    admin_log: AdminLogStore
    backups: BackupStore

    @property
    def can_write(self) -> bool:
        """False while it is closed, and from a write that failed until one succeeds.

        A store that failed tries again by itself, so that this becomes true without a caller.
        """

    async def open(self) -> StoreIdentity:
        """Take what is kept into possession and begin a new epoch.

        Raises:
            AlreadyOwnedError: another server owns it.
            SchemaTooNewError: a newer version wrote it.
            DatabaseDamagedError: it is cut, damaged, rolled back, or lost its log.
            StartRefusedError: it cannot be written; in all four cases nothing was touched.
        """

    async def accept_stop(self) -> None:
        """Keep that this start was told to stop; durable when this returns, if it can be written.

        What is still running when its process is killed then was interrupted, and is not blamed
        for the end: the next `open` names this epoch as `StoreIdentity.stopped_epoch`.
        """

    async def close(self) -> None:
        """Finish the writes under way and let go; closing twice is fine."""

    async def sweep(self) -> int:
        """Remove files that a run or a write that was cut off has left; return how many.

        Only after `open` and before any run starts, once no child of an older server lives.
        """

    async def examine(self, *, deep: bool = False) -> Sequence[Finding]:
        """Compare what is stored with itself; return what does not fit together, if anything.

        Args:
            deep: also what takes long; while it is read, everything goes on.
        """

    async def count_anew(self) -> None:
        """Put the counts right that are kept beside the rows; other writes wait meanwhile."""

    # The names of the design (api.md 2); whoever implements this inherits them.

    async def save_job(self, job: Job, transition: Transition | None = None) -> None:
        """Store a job that is one version further, with its transition.

        Raises:
            StaleVersionError: the row is not at the version before.
        """
        transitions = () if transition is None else (transition,)
        await self.jobs.save_changes(
            [Change(job=job, base_version=job.version - 1, transitions=transitions)]
        )

    async def load_job(self, job_id: JobId) -> Job | None:
        """Return the job as it was last committed."""
        return await self.jobs.load_job(job_id)

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Return one page of the jobs that fit."""
        return await self.jobs.query_jobs(query)

    async def delete_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus], limit: int
    ) -> Sequence[JobId]:
        """Delete at most *limit* final jobs with all that belongs to them; return their ids."""
        return await self.jobs.delete_expired_jobs(finished_before, statuses, limit)

    async def save_checkpoint(self, change: Change, data: Any) -> None:
        """Store what a run needs to go on, with the job's new version; see `JobStore`."""
        await self.jobs.save_checkpoint(change, data)

    async def load_checkpoint(self, job_id: JobId) -> Checkpoint | None:
        """Return the job's last checkpoint."""
        return await self.jobs.load_checkpoint(job_id)
