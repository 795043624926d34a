"""One transaction of the writer: many operations, one commit, each operation for itself.

This module runs on the writing connection's thread; it knows no asyncio.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import attrs
import msgspec
from msgspec.structs import replace

from cidx_jobs.model.errors import OwnerLostError
from cidx_jobs.model.foreign import Raised, attempt, call_foreign
from cidx_jobs.model.job.job import Transition
from cidx_jobs.store.sqlite.commit.known_rows import BLOCK_BITS, KnownRows, UserBlock
from cidx_jobs.store.sqlite.commit.log_columns import encode_transitions, insert_events
from cidx_jobs.store.sqlite.values import Row

_OWN_THE_BATCH = """
UPDATE owner SET batch = batch + 1, sequence = ?, clock_seconds = ? WHERE id = 1 AND epoch = ?
"""
_COUNT_IN = """
INSERT INTO finals (user_id, job_type, status, jobs) VALUES (?, ?, ?, ?)
ON CONFLICT (user_id, job_type, status) DO UPDATE SET jobs = jobs + excluded.jobs
"""
_COUNT_OUT = """
UPDATE finals SET jobs = jobs + ?4 WHERE user_id = ?1 AND job_type = ?2 AND status = ?3
"""
# Never below nothing: a figure that is off must not refuse what else is to be stored.
_CHARGE = """
INSERT INTO stored_bytes (user_id, bytes) VALUES (?1, max(0, ?2))
ON CONFLICT (user_id) DO UPDATE SET bytes = max(0, bytes + ?2)
"""
# A user of whom nothing is left has no row: they come and go over the years.
_DROP_COUNT = """
DELETE FROM finals WHERE user_id = ? AND job_type = ? AND status = ? AND jobs = 0
"""
_DROP_BYTES = "DELETE FROM stored_bytes WHERE user_id = ? AND bytes = 0"
_ROW_OF_JOB = "SELECT row FROM jobs WHERE job_id = ?"
_ADD_BLOCK = "INSERT OR IGNORE INTO log_users (user_id, block) VALUES (?, ?)"
_BYTES_OF_USER = "SELECT bytes FROM stored_bytes WHERE user_id = ?"

# Errors that concern one statement; every other error of SQLite concerns the whole store.
_OF_ONE_STATEMENT = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
_PRIMARY_CODE = 0xFF
"""The low byte of an extended result code is the primary one (sqlite.org/rescode.html)."""


class Failure(msgspec.Struct, frozen=True):
    """What stands in the place of the value of an operation that failed."""

    error: Exception


@attrs.define
class Ledger:
    """How far this owner's writes have come: what the next batch begins from."""

    epoch: int
    batch: int
    sequence: int


class CommitUnknownError(Exception):
    """COMMIT gave an error: whether the transaction is in has to be read anew."""

    def __init__(self, cause: sqlite3.Error, values: list[Any], ledger: Ledger) -> None:
        """Keep SQLite's error, and what holds if the transaction is in after all."""
        super().__init__(str(cause))
        self.cause = cause
        self.values = values
        self.ledger = ledger


FinalsKey = tuple[str, str, str]
"""User, job type and status, as in the table `finals`."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How much a transaction had gathered at a moment."""

    sequence: int
    counted: int
    charged: int


class _IsolationNeededError(Exception):
    """An operation failed after it had written: its neighbours must be run again."""


class Transaction:
    """What an operation writes through; it lives as long as its batch.

    What every operation adds to (the log, the counts) is gathered and written once a batch.
    """

    def __init__(self, connection: sqlite3.Connection, sequence: int, known: KnownRows) -> None:
        """Go on numbering the log after *sequence*."""
        self.sequence = sequence
        self.known = known
        """Which rows are known from earlier batches, and from this one."""
        self.blocks: set[UserBlock] = set()
        """Whose rows were logged, and in which blocks of the log."""
        # One cursor for all statements: making one for each costs as much as some statements.
        self.cursor = connection.cursor()
        self.execute = self.cursor.execute
        self._log: list[Row] = []
        self._counted: list[tuple[FinalsKey, int]] = []
        self._charged: list[tuple[str, int]] = []
        self._bytes: dict[str, int] = {}
        """The sums of what was charged."""
        self.flushed_bytes: Counter[str] = Counter()
        """The sums of what was charged and is written."""

    def log(
        self, user_id: str, job: int, transitions: Sequence[Transition]
    ) -> Sequence[Transition]:
        """Return a job's transitions with their numbers; their rows are written with the batch's.

        *job* is the number of the job's row, and *user_id* whose it is.
        """
        if not transitions:
            return ()
        number = self.sequence
        self.blocks.add((user_id, (number + 1) >> BLOCK_BITS))
        self._log += encode_transitions(transitions, number, job)
        numbered = []
        for transition in transitions:
            number += 1
            numbered.append(replace(transition, sequence=number))
        self.blocks.add((user_id, number >> BLOCK_BITS))
        self.sequence = number
        return numbered

    def find_row(self, job_id: str) -> int:
        """Return the number of a job's row; 0, which none has, where there is no such job."""
        row = self.known.find_job(job_id)
        if row is None:
            found = self.execute(_ROW_OF_JOB, (job_id,)).fetchone()
            row = 0 if found is None else int(found[0])
            if row:
                self.known.note_job(job_id, row)
        return row

    def count_final(self, key: FinalsKey, change: int) -> None:
        """Count a job in (1) or out (-1) of the final jobs of its user, type and status."""
        self._counted.append((key, change))

    def charge(self, user_id: str, size: int) -> None:
        """Count bytes in (or, below nothing, out) of what is stored of the user."""
        if size:
            self._charged.append((user_id, size))
            self._bytes[user_id] = self._bytes.get(user_id, 0) + size

    def count_bytes(self, user_id: str) -> int:
        """Return how many bytes are stored of the user, those of this transaction included."""
        written = self.flushed_bytes.get(user_id, 0)
        before = self.known.find_bytes(user_id)
        if before is None:
            row = self.execute(_BYTES_OF_USER, (user_id,)).fetchone()
            before = (0 if row is None else int(row[0])) - written
            self.known.note_bytes(user_id, before)
        return before + written + self._bytes.get(user_id, 0)

    def forget_known(self) -> None:
        """Look for all of it anew: rows were changed, or taken back, besides what was gathered."""
        self.known.forget()
        self.flushed_bytes.clear()

    def flush(self) -> None:
        """Write what was gathered and is still to be written."""
        if self._log:
            insert_events(self.cursor, self._log)
            self._log.clear()
            self.cursor.executemany(_ADD_BLOCK, self.known.lacking(self.blocks))
        if self._counted:
            sums: Counter[FinalsKey] = Counter()
            for key, change in self._counted:
                sums[key] += change
            lost = [(*key, n) for key, n in sums.items() if n < 0]
            self.cursor.executemany(_COUNT_OUT, lost)
            self.cursor.executemany(_DROP_COUNT, [row[:3] for row in lost])
            self.cursor.executemany(_COUNT_IN, [(*key, n) for key, n in sums.items() if n > 0])
            self._counted.clear()
        if self._charged:
            self.cursor.executemany(_CHARGE, self._bytes.items())
            lighter = [(user_id,) for user_id, size in self._bytes.items() if size < 0]
            self.cursor.executemany(_DROP_BYTES, lighter)
            self.flushed_bytes.update(self._bytes)
            self._charged.clear()
            self._bytes.clear()

    def mark(self) -> Mark:
        """Return how much is gathered now and not written, for `forget_after`."""
        return Mark(sequence=self.sequence, counted=len(self._counted), charged=len(self._charged))

    def forget_after(self, mark: Mark) -> None:
        """Take back what was gathered after the mark, and is not written."""
        surplus = self.sequence - mark.sequence
        del self._log[max(0, len(self._log) - surplus) :]
        del self._counted[mark.counted :]
        for user_id, size in self._charged[mark.charged :]:
            self._bytes[user_id] -= size
        del self._charged[mark.charged :]
        self.sequence = mark.sequence


Operation = Callable[[Transaction], Any]


def run_batch(
    connection: sqlite3.Connection,
    operations: Sequence[Operation],
    ledger: Ledger,
    clock_seconds: float,
    known: KnownRows,
) -> tuple[list[Any], Ledger]:
    """Run the operations in one transaction and commit it.

    An operation that fails leaves nothing behind and does not touch its neighbours. Either
    everything else is stored, or an error is raised and nothing is.

    Raises:
        OwnerLostError: another owner has begun an epoch of its own.
        CommitUnknownError: COMMIT failed; the batch may be in.
        sqlite3.Error: the store failed; nothing of the batch is in.
    """
    transaction = Transaction(connection, ledger.sequence, known)
    try:
        try:
            values = _attempt(transaction, operations, ledger, clock_seconds, _run_plain)
        except _IsolationNeededError:
            _roll_back(connection)
            known.forget()
            # What comes to nothing in it is known to nobody: the next batch looks for itself.
            transaction = Transaction(connection, ledger.sequence, KnownRows())
            values = _attempt(transaction, operations, ledger, clock_seconds, _run_in_savepoints)
    except BaseException:
        _roll_back(connection)
        known.forget()
        raise
    after = Ledger(ledger.epoch, ledger.batch + 1, transaction.sequence)
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        # It may be in all the same (guarantees.md, fact 4).
        _roll_back(connection)
        known.forget()
        raise CommitUnknownError(error, values, after) from error
    transaction.known.note_blocks(transaction.blocks)
    transaction.known.charge(transaction.flushed_bytes)
    return values, after


def is_of_one_statement(error: Exception) -> bool:
    """Return whether an error concerns what was asked for, and not the store as a whole."""
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    return code & _PRIMARY_CODE in _OF_ONE_STATEMENT


_Step = Callable[[sqlite3.Connection, Transaction, Sequence[Operation]], list[Any]]


def _attempt(
    transaction: Transaction,
    operations: Sequence[Operation],
    ledger: Ledger,
    clock_seconds: float,
    run: _Step,
) -> list[Any]:
    connection = transaction.cursor.connection
    # One that begins as a reader fails where it comes to write (guarantees.md, fact 3).
    connection.execute("BEGIN IMMEDIATE")
    values = run(connection, transaction, operations)
    try:
        transaction.flush()
    except sqlite3.IntegrityError as error:
        # The rows of all were written together: whose it was shows when each runs by itself.
        raise _IsolationNeededError from error
    transaction.execute(_OWN_THE_BATCH, (transaction.sequence, clock_seconds, ledger.epoch))
    if transaction.cursor.rowcount != 1:
        message = "another server has taken the data directory; this one writes no more"
        raise OwnerLostError(message)
    return values


def _run_plain(
    connection: sqlite3.Connection, transaction: Transaction, operations: Sequence[Operation]
) -> list[Any]:
    values: list[Any] = []
    for operation in operations:
        before = connection.total_changes
        mark = transaction.mark()
        value = call_foreign(operation, transaction)
        if isinstance(value, Raised):
            error = value.taken()
            if not is_of_one_statement(error):
                raise error
            # Nothing to undo: most refusals are a guard that met no row.
            if not connection.in_transaction or connection.total_changes != before:
                raise _IsolationNeededError from error
            transaction.forget_after(mark)
            value = Failure(error)
        values.append(value)
    return values


def _run_in_savepoints(
    connection: sqlite3.Connection, transaction: Transaction, operations: Sequence[Operation]
) -> list[Any]:
    return [_run_in_savepoint(connection, transaction, operation) for operation in operations]


def _run_in_savepoint(
    connection: sqlite3.Connection, transaction: Transaction, operation: Operation
) -> Any:
    mark = transaction.mark()
    connection.execute("SAVEPOINT operation")
    value, error = attempt(_run_and_flush, operation, transaction)
    if error is not None:
        if not is_of_one_statement(error):
            raise error
        connection.execute("ROLLBACK TO operation")
        transaction.forget_after(mark)
        transaction.forget_known()
        value = Failure(error)
    connection.execute("RELEASE operation")
    return value


def _run_and_flush(operation: Operation, transaction: Transaction) -> Any:
    value = operation(transaction)
    transaction.flush()
    return value


def _roll_back(connection: sqlite3.Connection) -> None:
    # SQLite has rolled back by itself after some errors; then there is nothing left to do.
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
