"""Compaction: the database is written anew without its free pages, and gives those to come back.

A database that was made by an older version keeps the pages that deleted jobs leave. Everything
here blocks, and nobody else may have the database open.
"""

import shutil
import sqlite3
from contextlib import closing

import msgspec

from cidx_jobs.model.errors import StartRefusedError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.commit.connection import connect_for_start
from cidx_jobs.store.sqlite.open.damage_check import inspecting
from cidx_jobs.store.sqlite.open.migrations import load_migrations
from cidx_jobs.store.sqlite.open.owner_lock import owning_database, protect

_LARGEST_ON_THE_WAY = 1024**3
"""A larger one would have a start wait for too long."""
_ROOM = 3
"""So many times its size it takes meanwhile: itself, what is written anew, and the log of that."""


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a database before and after, in bytes."""

    bytes_before: int
    bytes_after: int


def compact(directory: DataDirectory) -> Compacted:
    """Compact the database of a directory that no server owns.

    Raises:
        AlreadyOwnedError: a server owns it.
        StartRefusedError: there is none, it is damaged, or the disk has no room.
    """
    with owning_database(directory):
        try:
            with inspecting(directory, load_migrations()):
                connection = connect_for_start(directory.database, "FULL")
            with closing(connection):
                before = _size(connection)
                _write_anew(connection)
                after = _size(connection)
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            protect(directory)
        except sqlite3.Error as error:
            message = f"the database in {directory.root} cannot be compacted: {error}"
            raise StartRefusedError(message) from error
    return Compacted(bytes_before=before, bytes_after=after)


def begin_to_give_back(connection: sqlite3.Connection, directory: DataDirectory) -> None:
    """Write an older database anew while it is brought up to date, where that is soon done."""
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    size = _size(connection)
    if mode or size > _LARGEST_ON_THE_WAY:
        return
    if shutil.disk_usage(directory.root).free > _ROOM * size:
        _write_anew(connection)


def _write_anew(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("VACUUM")


def _size(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    size: int = pages * page_bytes
    return size
