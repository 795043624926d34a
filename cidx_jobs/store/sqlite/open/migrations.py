"""Schema migrations: the numbered steps, those a database has, and whether its schema fits.

A statement that may take long, because it copies all rows of a table, is written to do a part at a
time, and marked ``-- In steps``: it is run again and again, each time in a transaction of its own,
until it finds nothing to do. A start that is interrupted goes on where it was.
"""

import hashlib
import importlib.resources
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import takewhile

import msgspec

from cidx_jobs.model.errors import DatabaseDamagedError, SchemaTooNewError
from cidx_jobs.runtime.log import get_logger

_IN_STEPS = "-- In steps"
_FILE_NAME = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")
_CREATE_RECORD = """
CREATE TABLE IF NOT EXISTS migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT
"""
_RECORD = "INSERT INTO migrations VALUES (?, ?, ?, ?)"
_READ_RECORDS = "SELECT number, name, checksum FROM migrations ORDER BY number"
_READ_SCHEMA = """
SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'
"""

_log = get_logger("store")


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step: its number, name and SQL."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the SQL, in hex: an applied step never changes."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations() -> tuple[Migration, ...]:
    """Return the steps of this version of the package, in order."""
    folder = importlib.resources.files("cidx_jobs.store.sqlite") / "schema"
    found = [
        Migration(number=int(match[1]), name=match[2], sql=file.read_text("utf-8"))
        for file in folder.iterdir()
        if (match := _FILE_NAME.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.number))


def find_pending(
    connection: sqlite3.Connection, migrations: Sequence[Migration]
) -> Sequence[Migration]:
    """Return the steps that a database has not yet; none for one that has no schema at all."""
    records = _read_records(connection)
    return [step for step in migrations if records and step.number > records[-1][0]]


def apply_migrations(
    connection: sqlite3.Connection, migrations: Sequence[Migration], now_microseconds: int
) -> None:
    """Apply the steps that the database does not have yet, each in a transaction of its own."""
    done = {number for number, *_ in _read_records(connection)}
    # A step may make a table anew, while views of it are there.
    connection.execute("PRAGMA legacy_alter_table = ON")
    for migration in migrations:
        if migration.number not in done:
            _apply(connection, migration, now_microseconds)
    connection.execute("PRAGMA legacy_alter_table = OFF")


def check_migrations(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Compare the database's steps and schema with ours; only reads.

    Raises:
        SchemaTooNewError: it has a step that we do not know.
        DatabaseDamagedError: a step is not the one we know, or the schema is not what the steps
            make.
    """
    records = _read_records(connection)
    newest = migrations[-1].number
    if records and records[-1][0] > newest:
        message = (
            f"the database has schema {records[-1][0]}, newer than {newest}, "
            "the newest this version knows: upgrade cidx_jobs"
        )
        raise SchemaTooNewError(message)
    known = [(step.number, step.name, step.checksum) for step in migrations]
    if records != known[: len(records)]:
        message = "the database was made by steps that this version does not know"
        raise DatabaseDamagedError(message)
    if _read_schema(connection) != _expected_schema(migrations[: len(records)]):
        message = "the database's schema is not the one that was made"
        raise DatabaseDamagedError(message)


def _apply(connection: sqlite3.Connection, migration: Migration, now_microseconds: int) -> None:
    statements = list(split_statements(migration.sql))
    in_steps = list(takewhile(_is_in_steps, statements))
    for statement in in_steps:
        _repeat(connection, migration, statement)
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_CREATE_RECORD)
        for statement in statements[len(in_steps) :]:
            connection.execute(statement)
        record = (migration.number, migration.name, migration.checksum, now_microseconds)
        connection.execute(_RECORD, record)
        connection.execute("COMMIT")
    except BaseException:
        # A full disk makes SQLite roll back by itself; the cause must not be hidden by a second.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_in_steps(statement: str) -> bool:
    return statement.lstrip().startswith(_IN_STEPS)


def _repeat(connection: sqlite3.Connection, migration: Migration, statement: str) -> None:
    done, began = 0, time.monotonic()
    while (rows := connection.execute(statement).rowcount) > 0:
        done += rows
        # A server is not ready meanwhile, and whoever waits for it wants to know why.
        _log.info(
            "migration_went_on",
            migration=migration.name,
            rows=done,
            seconds=round(time.monotonic() - began, 1),
        )


def split_statements(sql: str) -> Iterator[str]:
    """Yield the statements of a script one by one (`executescript` commits in between)."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def has_schema(connection: sqlite3.Connection) -> bool:
    """Return whether there is anything in the database."""
    return bool(_read_schema(connection))


def _read_records(connection: sqlite3.Connection) -> list[tuple[int, str, str]]:
    return connection.execute(_READ_RECORDS).fetchall() if has_schema(connection) else []


def _expected_schema(migrations: Sequence[Migration]) -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        apply_migrations(connection, migrations, 0)
        return _read_schema(connection)


def _read_schema(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    return set(connection.execute(_READ_SCHEMA))
