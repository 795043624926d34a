"""Connections to the database: their settings, and running a function on one in one hop."""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from cidx_jobs.runtime.blocking import in_own_thread

T = TypeVar("T")

# aiosqlite has no public call that runs a function on a connection's thread; a statement that
# only our connection understands does it (a test pins what of aiosqlite this rests on).
_RUN = "-- run the function that is the parameter"

_FOR_ALL = (
    "PRAGMA busy_timeout = 5000",
    # Sorting in memory works on a full disk too.
    "PRAGMA temp_store = MEMORY",
)
_FOR_READING = (*_FOR_ALL, "PRAGMA query_only = ON", "PRAGMA cache_size = -16000")
_FOR_WRITING = (
    *_FOR_ALL,
    "PRAGMA journal_mode = WAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -32000",
    # Checkpoints happen in the writer's own thread, right after a commit; 4,000 pages are 16 MB.
    "PRAGMA wal_autocheckpoint = 4000",
    # A checkpoint leaves the log's file as long as it has become, unless it is longer than this
    # (sqlite.org/pragma.html#pragma_journal_size_limit).
    "PRAGMA journal_size_limit = 67108864",
)
_SYNCHRONOUS = {"FULL": "PRAGMA synchronous = FULL", "NORMAL": "PRAGMA synchronous = NORMAL"}


class FunctionRunner(sqlite3.Connection):
    """A connection whose `execute` also runs functions of the connection."""

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Execute a statement; or run the one function that *parameters* holds."""
        if sql is _RUN:
            (function,) = parameters
            return _Answer(function(self))
        return super().execute(sql, parameters)


class _Answer:
    """What a function gave, in the place of a cursor."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def fetchall(self) -> Any:
        return self._value


async def run_on(db: aiosqlite.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    """Run *function* on the connection's own thread and return its value: one hop.

    A caller that is cancelled stops waiting; the function goes on to its end.
    """
    answer: Any = await db.execute_fetchall(_RUN, (function,))
    value: T = answer
    return value


async def open_writer(database: Path, synchronous: str) -> aiosqlite.Connection:
    """Open the connection that writes; *synchronous* is FULL or NORMAL."""
    db = await _connect(
        database,
        isolation_level=None,
        factory=FunctionRunner,
        # One for each set of columns that a change writes; a hundred is not enough for all.
        cached_statements=512,
    )
    return await _set_up(db, (*_FOR_WRITING, _SYNCHRONOUS[synchronous]))


async def open_reader(database: Path) -> aiosqlite.Connection:
    """Open a connection that can only read."""
    db = await _connect(
        read_only_uri(database), uri=True, isolation_level=None, factory=FunctionRunner
    )
    return await _set_up(db, _FOR_READING)


def read_only_uri(database: Path, options: str = "mode=ro") -> str:
    """Return the URI that opens the database without the right to write (sqlite.org/uri.html)."""
    return f"{database.absolute().as_uri()}?{options}"


def connect_for_start(database: Path, synchronous: str) -> sqlite3.Connection:
    """Open a connection that writes, for the start, in the calling thread."""
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    try:
        # First of all: it counts for a database that has not a page yet, and for no other.
        pragmas = ("PRAGMA auto_vacuum = INCREMENTAL", *_FOR_WRITING, _SYNCHRONOUS[synchronous])
        _configure(connection, pragmas)
    except BaseException:
        connection.close()
        raise
    return connection


async def _connect(database: Path | str, **options: Any) -> aiosqlite.Connection:
    """Open a connection whose thread is a daemon: never closed, it holds up no interpreter's exit.

    aiosqlite makes the thread and has no option for it. A thread takes after the one that it is
    made in, and ours for blocking work are daemons (a test pins it).
    """
    return await (await in_own_thread(aiosqlite.connect, database, **options))


async def _set_up(db: aiosqlite.Connection, pragmas: Iterable[str]) -> aiosqlite.Connection:
    try:
        await run_on(db, lambda connection: _configure(connection, pragmas))
    except BaseException:
        await db.close()
        raise
    return db


def _configure(connection: sqlite3.Connection, pragmas: Iterable[str]) -> None:
    for pragma in pragmas:
        connection.execute(pragma)
