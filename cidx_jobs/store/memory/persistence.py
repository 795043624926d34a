"""A store in memory: the promises of `Persistence` without files, for tests and for trying out.

Closing it keeps what it holds, so that opening it again is a restart of the server.
"""

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from cidx_jobs.interfaces.store.backups import BackupStore
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.model.admin.backup import Backup, BackupKind
from cidx_jobs.model.errors import BackupFailedError
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.listing import StoreIdentity
from cidx_jobs.store.memory.accounts import MemoryAccounts
from cidx_jobs.store.memory.admin_log import MemoryAdminLog
from cidx_jobs.store.memory.controls import MemoryControls
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.jobs import MemoryJobs
from cidx_jobs.store.memory.projects import MemoryProjects
from cidx_jobs.store.memory.schedules import MemorySchedules
from cidx_jobs.store.memory.tokens import MemoryTokens
from cidx_jobs.store.memory.webhooks.end_notices import MemoryEndNotices
from cidx_jobs.store.memory.webhooks.push_hooks import MemoryPushHooks


class MemoryPersistence(Persistence):
    """Keeps everything in dictionaries; each write happens at once, wholly or not at all."""

    def __init__(
        self,
        database: MemoryDatabase | None = None,
        *,
        jobs: MemoryJobs | None = None,
        projects: ProjectStore | None = None,
    ) -> None:
        """Begin empty, with a new identity.

        Args:
            database: what the parts share; a new one if None.
            jobs: a store of jobs on that database, as a test may want it.
            projects: a store of projects on that database, likewise.
        """
        self._database = database = database or MemoryDatabase()
        self.jobs: MemoryJobs = jobs or MemoryJobs(database)
        self.projects = projects or MemoryProjects(database)
        self.tokens = MemoryTokens(database)
        self.accounts = MemoryAccounts(database)
        self.end_notices = MemoryEndNotices(database)
        self.push_hooks = MemoryPushHooks(database)
        self.schedules = MemorySchedules(database)
        self.controls = MemoryControls(database)
        self.admin_log = MemoryAdminLog(database)
        self.backups = MemoryBackups()

    @property
    @override
    def can_write(self) -> bool:
        return self._database.can_write

    @override
    async def open(self) -> StoreIdentity:
        return self._database.open()

    @override
    async def accept_stop(self) -> None:
        self._database.accept_stop()

    @override
    async def close(self) -> None:
        self._database.close()

    @override
    async def sweep(self) -> int:
        # There are no files of ours, and those of others are not ours to remove.
        return 0

    @override
    async def examine(self, *, deep: bool = False) -> Sequence[Finding]:
        return self.jobs.compare_with_log()

    @override
    async def count_anew(self) -> None:
        """Do nothing: what is counted in memory is counted where it is kept."""


class MemoryBackups(BackupStore):
    """None: there is nothing on the disk, and who asks for a backup is told so."""

    @override
    async def make_backup(self, kind: BackupKind) -> Backup:
        message = "this server keeps everything in memory: there is nothing to back up"
        raise BackupFailedError(message)

    @override
    async def list_backups(self) -> Sequence[Backup]:
        return ()

    @override
    async def drop_backups(self, *, keep_automatic: int, others_before: datetime) -> int:
        return 0

    @override
    async def find_birth(self) -> datetime | None:
        return None
