"""The backups of a database on SQLite: made, listed, and dropped when they are old."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from typing_extensions import override

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.backups import BackupStore
from cidx_jobs.model.admin.backup import Backup, BackupKind
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.backups.copy import make_backup, read_backup
from cidx_jobs.store.sqlite.backups.files import list_files, read_name
from cidx_jobs.store.sqlite.commit.connection import read_only_uri
from cidx_jobs.store.sqlite.values import from_microseconds

_READ_BIRTH = "SELECT min(applied_at) FROM migrations"


class SqliteBackups(BackupStore):
    """Keeps them in a folder of the data directory."""

    def __init__(self, directory: DataDirectory, clock: Clock) -> None:
        """Take the directory whose database it is."""
        self._directory = directory
        self._clock = clock

    @override
    async def make_backup(self, kind: BackupKind) -> Backup:
        return await in_own_thread(make_backup, self._directory, kind, self._clock.now())

    @override
    async def list_backups(self) -> Sequence[Backup]:
        return await in_own_thread(_list_backups, self._directory.backups)

    @override
    async def drop_backups(self, *, keep_automatic: int, others_before: datetime) -> int:
        folder = self._directory.backups
        return await in_own_thread(_drop_backups, folder, keep_automatic, others_before)

    @override
    async def find_birth(self) -> datetime | None:
        return await in_own_thread(_find_birth, self._directory.database)


def _list_backups(folder: Path) -> list[Backup]:
    return [known for path in list_files(folder) if (known := _describe(path)) is not None]


def _describe(path: Path) -> Backup | None:
    said = read_name(path.name)
    try:
        size = path.stat().st_size
        database_id, sequence = read_backup(path)
    except (OSError, sqlite3.Error, TypeError, ValueError):
        # Deleted meanwhile, or hurt by somebody: it is no backup.
        return None
    if said is None:
        return None
    at, kind, sha256 = said
    return Backup(
        file=str(path),
        kind=kind,
        at=at,
        bytes=size,
        sha256=sha256,
        sequence=sequence,
        database_id=database_id,
    )


def _drop_backups(folder: Path, keep_automatic: int, others_before: datetime) -> int:
    files = list_files(folder)
    kinds = {path: read_name(path.name) for path in files}
    automatic = [path for path in files if _is_of(kinds[path], BackupKind.AUTOMATIC)]
    old = {
        path
        for path, said in kinds.items()
        if not _is_of(said, BackupKind.AUTOMATIC) and said is not None and said[0] < others_before
    }
    # The newest of all was checked a moment ago, and stays whatever it is.
    doomed = [path for path in files[1:] if path in old or path in automatic[keep_automatic:]]
    for path in doomed:
        with suppress(FileNotFoundError):
            path.unlink()
    return len(doomed)


def _is_of(said: tuple[datetime, BackupKind, str] | None, kind: BackupKind) -> bool:
    return said is not None and said[1] is kind


def _find_birth(database: Path) -> datetime | None:
    uri = read_only_uri(database)
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            (at,) = connection.execute(_READ_BIRTH).fetchone()
    except sqlite3.Error:
        return None
    return None if at is None else from_microseconds(at)
