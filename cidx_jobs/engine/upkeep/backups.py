"""Backups: made when they are due, and on request; the oldest go once the newest is checked."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from cidx_jobs.engine.background import Background
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.backups import BackupStore
from cidx_jobs.model.admin.backup import Backup, BackupKind
from cidx_jobs.model.errors import BackupFailedError, StorageFullError
from cidx_jobs.model.findings import ServerWarning
from cidx_jobs.runtime.log import get_logger

OVERDUE = "backup_overdue"

_OTHERS_KEPT = timedelta(days=30)
_LONGEST_SLEEP_SECONDS = 60.0
"""The wall clock may be set: what is due is looked at so often."""
_FIRST_PAUSE_SECONDS = 10.0
_AGAIN_SECONDS = 300.0
"""When a backup is tried again that has failed."""
_GRACE_SECONDS = 3_600.0
"""So long after it was due a backup is overdue: one that is being made takes its time."""

_log = get_logger("engine")


class Backups(Background):
    """Makes backups one at a time.

    One is due by the age of the newest, not by how long the server runs: a server that is
    started every hour makes them, too.
    """

    task_name: ClassVar[str] = "backups"

    def __init__(
        self, store: BackupStore, clock: Clock, *, interval_seconds: float, keep: int
    ) -> None:
        """Take where they are kept, how often they are due (0: never) and how many stay."""
        self._store = store
        self._clock = clock
        self._interval = interval_seconds
        self._keep = keep
        self._making = asyncio.Lock()
        self._newest: datetime | None = None
        self._birth: datetime | None = None
        self._not_before: datetime | None = None
        self.failures: int = 0
        """How many failed since the start."""

    @property
    def newest(self) -> datetime | None:
        """When the newest was made; None without one."""
        return self._newest

    async def look(self) -> None:
        """Find out when the newest was made, as the task does first."""
        found = await self._store.list_backups()
        self._newest = found[0].at if found else None
        self._birth = await self._store.find_birth()

    async def make(self, kind: BackupKind = BackupKind.MANUAL) -> Backup:
        """Make a backup now, and drop those that are too old.

        Raises:
            StorageFullError: there is no room for it.
            BackupFailedError: it could not be made, or what was copied is damaged.
        """
        async with self._making:
            begun = self._clock.monotonic()
            try:
                made = await self._store.make_backup(kind)
            except (StorageFullError, BackupFailedError) as error:
                self.failures += 1
                _log.warning(
                    "backup_failed", kind=kind.value, code=error.code, message=error.message
                )
                raise
            self._newest = made.at
            seconds = self._clock.monotonic() - begun
            before = self._clock.now() - _OTHERS_KEPT
            dropped = await self._store.drop_backups(
                keep_automatic=self._keep, others_before=before
            )
        _log.info(
            "backup_made",
            kind=kind.value,
            bytes=made.bytes,
            seq=made.sequence,
            seconds=round(seconds, 3),
            dropped=dropped,
        )
        return made

    async def find_newest(self) -> datetime | None:
        """Return when the newest was made; None without one. It looks, where nothing did yet."""
        if self._newest is None:
            await self.look()
        return self._newest

    async def list(self) -> Sequence[Backup]:
        """Return the backups that there are, newest first."""
        return await self._store.list_backups()

    def find_warning(self) -> ServerWarning | None:
        """Return that a backup should have been made for long; None where all is well."""
        due = self._find_due()
        if due is None:
            return None
        grace = timedelta(seconds=min(self._interval, _GRACE_SECONDS))
        if self._clock.now() <= due + grace:
            return None
        message = "no backup was made when it was due: the log says why (backup_failed)"
        return ServerWarning(code=OVERDUE, message=message)

    def _find_due(self) -> datetime | None:
        """Return when the next is due; None where none ever is."""
        last = self._newest or self._birth
        if not self._interval or last is None:
            return None
        # A clock that was set back puts off nothing.
        return min(last, self._clock.now()) + timedelta(seconds=self._interval)

    async def _go_on(self) -> None:
        await self.look()
        if not self._interval:
            return
        # A start has enough to do, and so have those who waited for it.
        await asyncio.sleep(min(self._interval, _FIRST_PAUSE_SECONDS))
        while (due := self._find_due()) is not None:
            due = max(due, self._not_before or due)
            seconds = (due - self._clock.now()).total_seconds()
            if seconds > 0:
                await asyncio.sleep(min(seconds, _LONGEST_SLEEP_SECONDS))
                continue
            try:
                await self.make(BackupKind.AUTOMATIC)
            except (StorageFullError, BackupFailedError):
                pause = timedelta(seconds=min(self._interval, _AGAIN_SECONDS))
                self._not_before = self._clock.now() + pause
