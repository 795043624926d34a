"""A restore: a backup is checked, and becomes the database of a directory that nobody serves.

Everything here blocks. The database that it replaces is kept beside it.
"""

import hashlib
import os
import sqlite3
import struct
from contextlib import ExitStack, closing, suppress
from datetime import datetime
from pathlib import Path

import msgspec

from cidx_jobs.model.errors import DatabaseDamagedError, StartRefusedError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.backups.copy import check_whole, flush, read_backup
from cidx_jobs.store.sqlite.backups.files import digest_file, read_name, read_parts
from cidx_jobs.store.sqlite.jobs.hold import hold_unfinished_jobs
from cidx_jobs.store.sqlite.open.damage_check import check_copy, wal_of
from cidx_jobs.store.sqlite.open.migrations import Migration, apply_migrations, load_migrations
from cidx_jobs.store.sqlite.open.owner_lock import FILE_MODE, take_ownership
from cidx_jobs.store.sqlite.values import to_microseconds
from cidx_jobs.store.tokens import digest_token

_HAS_LOCATION = "SELECT 1 FROM pragma_table_info('owner') WHERE name = 'location'"
_FORGET_LOCATION = "UPDATE owner SET location = NULL WHERE id = 1"
_HELD = "restored as held"
_OF_DIGEST = "SELECT 1 FROM tokens WHERE digest = ?"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did."""

    database_id: str
    """The id of the database that the backup is of; the restored one takes its own."""
    sequence: int
    """The number of the last row of its log."""
    bytes: int
    replaced: Path | None
    """Where the database that was there before is kept; None where there was none."""
    held: int
    """How many unfinished jobs wait as held; 0 where they go on."""


def restore(
    file: Path, directory: DataDirectory, *, replace: bool, now: datetime, hold: bool = False
) -> Restored:
    """Make a backup the database of a directory.

    It is another database from then on: at its first start it takes an id of its own.

    Args:
        file: the backup; it is only read.
        directory: empty, or not there yet.
        replace: it may hold a database, which no server owns; that one is kept.
        now: names what is kept.
        hold: its unfinished jobs do not go on at its first start: they wait as held.

    Raises:
        DatabaseDamagedError: the file is cut, damaged, or no backup.
        SchemaTooNewError: a newer version wrote it.
        AlreadyOwnedError: a server owns the directory.
        StartRefusedError: the directory is in use, or cannot be written; it is as it was.
    """
    migrations = load_migrations()
    _check_backup(file, migrations)
    if not replace:
        _check_empty(directory)
    ownership = take_ownership(directory)
    draft = directory.root / f"{directory.database.name}.restoring"
    try:
        with ExitStack() as undo:
            undo.callback(draft.unlink, missing_ok=True)
            database_id, sequence = _copy(file, draft)
            held = _hold(draft, migrations, now) if hold else 0
            replaced = _set_aside(directory, now)
            _drop_strange_token(directory, draft)
            draft.rename(directory.database)
            flush(directory.root)
        size = directory.database.stat().st_size
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"the data directory {directory.root} cannot be written: {reason}"
        raise StartRefusedError(message) from error
    except sqlite3.Error as error:
        message = f"the data directory {directory.root} cannot be written: {error}"
        raise StartRefusedError(message) from error
    finally:
        ownership.release()
    return Restored(
        database_id=database_id, sequence=sequence, bytes=size, replaced=replaced, held=held
    )


def _check_backup(file: Path, migrations: tuple[Migration, ...]) -> None:
    """Check that a file is a whole backup.

    One that still has its name is compared with the digest in that; of any other SQLite sees what
    is cut and most of what is damaged, but not each byte of a row.
    """
    try:
        if wal_of(file).exists() and wal_of(file).stat().st_size:
            message = f"{file} is a database in use, and not a backup: it has a write-ahead log"
            raise StartRefusedError(message)
        said = read_name(file.name)
        if said is not None and digest_file(file) != said[2]:
            message = f"{file} is damaged: it is not what its name says"
            raise DatabaseDamagedError(message)
        check_copy(file, migrations)
        fault = check_whole(file)
    except OSError as error:
        message = f"{file} cannot be read: {(error.strerror or str(error)).lower()}"
        raise StartRefusedError(message) from error
    except (sqlite3.Error, struct.error) as error:
        message = f"{file} is no backup that can be read: {error}"
        raise DatabaseDamagedError(message) from error
    if fault is not None:
        message = f"{file} is damaged: {fault}"
        raise DatabaseDamagedError(message)


def _check_empty(directory: DataDirectory) -> None:
    try:
        found = [path for path in directory.root.iterdir() if path != directory.owner_lock]
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"the data directory {directory.root} cannot be used: {error.strerror}"
        raise StartRefusedError(message) from error
    if found:
        message = (
            f"{directory.root} is not empty: name an empty directory, or add --replace to put the "
            "backup in the place of its database, which is kept"
        )
        raise StartRefusedError(message)


def _copy(file: Path, draft: Path) -> tuple[str, int]:
    """Copy the backup, have it forget where it was, and bring it to the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    written = hashlib.sha256()
    with file.open("rb") as source, os.fdopen(os.open(draft, flags, FILE_MODE), "wb") as copy:
        for part in read_parts(source):
            written.update(part)
            copy.write(part)
    said = read_name(file.name)
    if said is not None and written.hexdigest() != said[2]:
        message = f"{file} has changed while it was read"
        raise DatabaseDamagedError(message)
    known = read_backup(draft)
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        # Without a log of its own it is one file, which a rename puts in place.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        if connection.execute(_HAS_LOCATION).fetchone():
            connection.execute(_FORGET_LOCATION)
    flush(draft)
    return known


def _hold(draft: Path, migrations: tuple[Migration, ...], now: datetime) -> int:
    """Hold the unfinished jobs of the copy, which is brought up to date for it."""
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        apply_migrations(connection, migrations, to_microseconds(now))
        held = hold_unfinished_jobs(connection, _HELD, now)
    flush(draft)
    return held


def _drop_strange_token(directory: DataDirectory, database: Path) -> None:
    """Remove the token of local commands where the database is one that does not know it.

    A server makes a token only where there is no file: with this one it would let no command in.
    """
    try:
        text = directory.admin_token.read_text("utf-8", errors="replace").strip()
    except FileNotFoundError:
        return
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        is_known = connection.execute(_OF_DIGEST, (digest_token(text),)).fetchone() is not None
    if not is_known:
        directory.admin_token.unlink()


def _set_aside(directory: DataDirectory, now: datetime) -> Path | None:
    """Rename the database that is there, and its mark; return where it is kept."""
    stamp = f"{now:%Y%m%dT%H%M%SZ}"
    kept = Path(f"{directory.database}.replaced-{stamp}")
    was_there = directory.database.exists()
    # The mark last: until then a start is refused, since something is missing.
    for path in directory.database_files:
        aside = f"{kept}{path.name.removeprefix(directory.database.name)}"
        with suppress(FileNotFoundError):
            path.rename(aside)
    with suppress(FileNotFoundError):
        directory.high_water_mark.rename(f"{directory.high_water_mark}.replaced-{stamp}")
    return kept if was_there else None
