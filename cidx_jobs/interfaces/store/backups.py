"""Where backups of the store are made and kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cidx_jobs.model.admin.backup import Backup, BackupKind


class BackupStore(Protocol):
    """Makes copies of everything that is stored, while it goes on."""

    async def make_backup(self, kind: BackupKind) -> Backup:
        """Make a backup: all that was committed when it began, and nothing else.

        It is on the disk and was read from its first page to its last when this returns.

        Raises:
            StorageFullError: there is no room for it.
            BackupFailedError: it could not be made, or what was copied is damaged.
        """

    async def list_backups(self) -> Sequence[Backup]:
        """Return the backups that there are, newest first."""

    async def drop_backups(self, *, keep_automatic: int, others_before: datetime) -> int:
        """Delete old backups, never the newest of all; return how many.

        Args:
            keep_automatic: how many of the automatic ones stay.
            others_before: all others that were made earlier go.
        """

    async def find_birth(self) -> datetime | None:
        """Return when the store was made: before that there was nothing to back up."""
