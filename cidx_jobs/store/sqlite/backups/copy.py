"""A backup is made: copied in one read transaction, flushed, checked, and only then named.

Everything here blocks, and runs on a thread of its own. Writers go on meanwhile: in a database
with a write-ahead log one who reads holds up nobody.
"""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from cidx_jobs.model.admin.backup import Backup, BackupKind
from cidx_jobs.model.errors import BackupFailedError, StorageFullError
from cidx_jobs.settings import BACKUP_DRAFT_SUFFIX, DataDirectory, make_private_directory
from cidx_jobs.store.sqlite.backups.files import digest_file, make_name
from cidx_jobs.store.sqlite.commit.connection import read_only_uri

_FINE = [("ok",)]
_READ_OWNER = "SELECT uuid, sequence FROM owner WHERE id = 1"
_ROOM_BYTES = 8 * 1024 * 1024
"""What is left free besides: who writes jobs goes first."""


def make_backup(directory: DataDirectory, kind: BackupKind, at: datetime) -> Backup:
    """Copy the database into the folder of backups, under its final name once it was checked.

    Raises:
        StorageFullError: there is no room for it.
        BackupFailedError: it could not be made, or what was copied is damaged.
    """
    folder = directory.backups
    # Made by one process at a time, whose owner may have forgotten one that it was told to leave.
    draft = folder / f"{at:%Y%m%dT%H%M%S.%f}-{os.getpid()}{BACKUP_DRAFT_SUFFIX}"
    try:
        make_private_directory(folder)
        _check_room(directory)
        try:
            return _make(directory.database, draft, kind, at)
        finally:
            draft.unlink(missing_ok=True)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or _is_full(folder):
            raise StorageFullError from error
        message = f"the database could not be copied: {error}"
        raise BackupFailedError(message) from error
    except OSError as error:
        if _is_full(folder):
            raise StorageFullError from error
        message = f"the backup could not be written: {(error.strerror or 'I/O error').lower()}"
        raise BackupFailedError(message) from error


def read_backup(path: Path) -> tuple[str, int]:
    """Return the id of the database in a backup, and the last number of its log.

    Raises:
        sqlite3.Error: it is none.
    """
    with closing(_open(path)) as connection:
        database_id, sequence = connection.execute(_READ_OWNER).fetchone()
    return database_id, sequence


def check_whole(path: Path) -> str | None:
    """Read a copy from its first page to its last; return what is wrong with it, if anything.

    Raises:
        sqlite3.Error: it is no database at all.
    """
    with closing(_open(path)) as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchall()
    return None if found == _FINE else str(found[0][0])


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk.

    Raises:
        OSError: that cannot be done.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(database: Path, draft: Path, kind: BackupKind, at: datetime) -> Backup:
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    _copy(database, draft)
    flush(draft)
    fault = check_whole(draft)
    if fault is not None:
        message = f"the copy of the database is damaged, and was thrown away: {fault}"
        raise BackupFailedError(message)
    database_id, sequence = read_backup(draft)
    sha256 = digest_file(draft)
    final = draft.with_name(make_name(at, kind, sha256))
    draft.rename(final)
    flush(final.parent)
    # The first backup makes the folder: a power cut could take that away with all that is in it.
    flush(database.parent)
    return Backup(
        file=str(final),
        kind=kind,
        at=at,
        bytes=final.stat().st_size,
        sha256=sha256,
        sequence=sequence,
        database_id=database_id,
    )


def _copy(database: Path, draft: Path) -> None:
    source = sqlite3.connect(read_only_uri(database), uri=True, isolation_level=None)
    with closing(source), closing(sqlite3.connect(draft, isolation_level=None)) as copy:
        # Who finds half a copy throws it away: nothing of it has to come through a crash.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        # All pages at once: step by step it would begin anew at each write of somebody else.
        source.backup(copy, pages=-1)


def _open(path: Path) -> sqlite3.Connection:
    # Nobody else has it: no lock, and none of the files that readers of a log make beside it.
    return sqlite3.connect(read_only_uri(path, "immutable=1"), uri=True, isolation_level=None)


def _check_room(directory: DataDirectory) -> None:
    needed = _ROOM_BYTES
    for file in directory.database_files:
        with suppress(FileNotFoundError):
            needed += file.stat().st_size
    if shutil.disk_usage(directory.backups).free < needed:
        raise StorageFullError


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _ROOM_BYTES
    except OSError:
        return False
