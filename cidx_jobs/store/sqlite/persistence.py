"""`JobPersistence`: everything that is kept, in one SQLite file with one owner."""

import sqlite3
from collections.abc import Sequence

from typing_extensions import override

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import StorageUnavailableError
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.listing import StoreIdentity
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.meters import Meters
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store import sweep as leftovers
from cidx_jobs.store.sqlite.accounts import SqliteAccounts
from cidx_jobs.store.sqlite.admin_log import SqliteAdminLog
from cidx_jobs.store.sqlite.backups.store import SqliteBackups
from cidx_jobs.store.sqlite.controls import SqliteControls
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.doctor import count_anew, examine
from cidx_jobs.store.sqlite.jobs.store import SqliteJobs
from cidx_jobs.store.sqlite.projects import SqliteProjects
from cidx_jobs.store.sqlite.schedules import SqliteSchedules
from cidx_jobs.store.sqlite.tokens import SqliteTokens
from cidx_jobs.store.sqlite.webhooks.end_notices import SqliteEndNotices
from cidx_jobs.store.sqlite.webhooks.push_hooks import SqlitePushHooks


class JobPersistence(Persistence):
    """The `Persistence` on aiosqlite; owns its data directory from `open` to `close`."""

    def __init__(
        self,
        directory: DataDirectory,
        *,
        synchronous: str = "FULL",
        clock: Clock,
        meters: Meters | None = None,
    ) -> None:
        """Take what it shall serve; nothing is opened yet.

        Args:
            directory: where the database lies.
            synchronous: FULL, or NORMAL, which may lose acknowledged jobs in a power cut.
            clock: measures the engine's time, which is stored with each write.
            meters: where commits are counted; nobody reads it if None.
        """
        self._directory = directory
        self._database = database = Database(directory, synchronous, clock, meters or Meters())
        self.jobs = SqliteJobs(database)
        self.projects = SqliteProjects(database)
        self.tokens = SqliteTokens(database)
        self.accounts = SqliteAccounts(database)
        self.end_notices = SqliteEndNotices(database)
        self.push_hooks = SqlitePushHooks(database)
        self.schedules = SqliteSchedules(database)
        self.controls = SqliteControls(database)
        self.admin_log = SqliteAdminLog(database)
        self.backups = SqliteBackups(directory, clock)

    @property
    @override
    def can_write(self) -> bool:
        return self._database.can_write

    @override
    async def open(self) -> StoreIdentity:
        return await self._database.open()

    @override
    async def accept_stop(self) -> None:
        await self._database.accept_stop()

    @override
    async def close(self) -> None:
        await self._database.close()

    @override
    async def sweep(self) -> int:
        return await leftovers.sweep(self._directory, self._is_unfinished)

    @override
    async def examine(self, *, deep: bool = False) -> Sequence[Finding]:
        self._database.opened()
        try:
            return await in_own_thread(examine, self._directory, deep=deep)
        except sqlite3.Error as error:
            raise StorageUnavailableError from error

    @override
    async def count_anew(self) -> None:
        await self._database.write(count_anew)

    async def _is_unfinished(self, job_id: JobId) -> bool:
        job = await self.jobs.load_job(job_id)
        return job is not None and not job.done
