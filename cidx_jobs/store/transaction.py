"""One transaction of the writer: many operations, one commit, each operation for itself.

This module runs on the writing connection's thread; it knows no asyncio.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import attrs

from cidx_jobs.model.errors import OwnerLostError
from cidx_jobs.model.job import Transition
from cidx_jobs.store.rows import (
    EVENT_COLUMNS,
    Row,
    encode_transition,
    numbered,
    parameter,
)

_OWN_THE_BATCH = """
UPDATE owner SET batch = batch + 1, sequence = ?, clock_seconds = ? WHERE id = 1 AND epoch = ?
"""
_INSERT_EVENT = (
    f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) "  # noqa: S608 - constants of `rows`
    f"VALUES ({', '.join(map(parameter, EVENT_COLUMNS))})"
)
_COUNT_IN = """
INSERT INTO finals (user_id, job_type, status, jobs) VALUES (?, ?, ?, ?)
ON CONFLICT (user_id, job_type, status) DO UPDATE SET jobs = jobs + excluded.jobs
"""
_COUNT_OUT = """
UPDATE finals SET jobs = jobs + ?4 WHERE user_id = ?1 AND job_type = ?2 AND status = ?3
"""

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


class Outcome(NamedTuple):
    """What became of one operation: its value, or its error."""

    value: Any = None
    error: Exception | None = None


@attrs.define
class Ledger:
    """How far this owner's writes have come: what the next batch begins from."""

    epoch: int
    batch: int
    sequence: int


class CommitUnknownError(Exception):
    """COMMIT gave an error: whether the transaction is in has to be read anew."""

    def __init__(self, cause: sqlite3.Error, outcomes: list[Outcome], ledger: Ledger) -> None:
        """Keep SQLite's error, and what holds if the transaction is in after all."""
        super().__init__(str(cause))
        self.cause = cause
        self.outcomes = outcomes
        self.ledger = ledger


FinalsKey = tuple[str, str, str]
"""User, job type and status, as in the table `finals`."""


class Mark(NamedTuple):
    """How far a transaction had come before an operation."""

    sequence: int
    counted: int


class _IsolationNeededError(Exception):
    """An operation failed after it had written: its neighbours must be run again."""


class Transaction:
    """What an operation writes through; it lives as long as its batch.

    What every operation adds to (the log, the counts) is gathered and written once a batch.
    """

    def __init__(self, connection: sqlite3.Connection, sequence: int) -> None:
        """Go on numbering the log after *sequence*."""
        self.sequence = sequence
        # One cursor for all statements: making one for each costs as much as some statements.
        self._cursor = connection.cursor()
        self.execute = self._cursor.execute
        self._log: list[Row] = []
        self._counted: list[tuple[FinalsKey, int]] = []

    @property
    def row_count(self) -> int:
        """How many rows the last statement changed."""
        return self._cursor.rowcount

    def log(self, transition: Transition) -> Transition:
        """Give the transition its number; its row is written with those of the whole batch."""
        self.sequence += 1
        self._log.append(encode_transition(transition, self.sequence))
        return numbered(transition, self.sequence)

    def count_final(self, key: FinalsKey, change: int) -> None:
        """Count a job in (1) or out (-1) of the final jobs of its user, type and status."""
        self._counted.append((key, change))

    def flush(self) -> None:
        """Write what was gathered and is still to be written."""
        if self._log:
            self._cursor.executemany(_INSERT_EVENT, self._log)
            self._log.clear()
        if self._counted:
            sums: Counter[FinalsKey] = Counter()
            for key, change in self._counted:
                sums[key] += change
            self._cursor.executemany(_COUNT_OUT, [(*key, n) for key, n in sums.items() if n < 0])
            self._cursor.executemany(_COUNT_IN, [(*key, n) for key, n in sums.items() if n > 0])
            self._counted.clear()

    def mark(self) -> Mark:
        """Give the point that `forget_after` goes back to."""
        return Mark(self.sequence, len(self._counted))

    def forget_after(self, mark: Mark) -> None:
        """Take back what was gathered after *mark* and is not written."""
        surplus = self.sequence - mark.sequence
        del self._log[max(0, len(self._log) - surplus) :]
        del self._counted[mark.counted :]
        self.sequence = mark.sequence


Operation = Callable[[Transaction], Any]


def run_batch(
    connection: sqlite3.Connection,
    operations: Sequence[Operation],
    ledger: Ledger,
    clock_seconds: float,
) -> tuple[list[Outcome], Ledger]:
    """Run the operations in one transaction and commit it.

    An operation that fails leaves nothing behind and does not touch its neighbours. Either
    everything else is stored, or an error is raised and nothing is.

    Raises:
        OwnerLostError: another owner has begun an epoch of its own.
        CommitUnknownError: COMMIT failed; the batch may be in.
        sqlite3.Error: the store failed; nothing of the batch is in.
    """
    try:
        try:
            outcomes, sequence = _attempt(
                connection, operations, ledger, clock_seconds, _run_plain
            )
        except _IsolationNeededError:
            _roll_back(connection)
            outcomes, sequence = _attempt(
                connection, operations, ledger, clock_seconds, _run_in_savepoint
            )
    except BaseException:
        _roll_back(connection)
        raise
    after = Ledger(ledger.epoch, ledger.batch + 1, sequence)
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        raise CommitUnknownError(error, outcomes, after) from error
    return outcomes, after


def is_of_one_statement(error: Exception) -> bool:
    """Tell whether an error concerns what was asked for, and not the store as a whole."""
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    return code & _PRIMARY_CODE in _OF_ONE_STATEMENT


_Step = Callable[[sqlite3.Connection, Transaction, Operation], Outcome]


def _attempt(
    connection: sqlite3.Connection,
    operations: Sequence[Operation],
    ledger: Ledger,
    clock_seconds: float,
    step: _Step,
) -> tuple[list[Outcome], int]:
    connection.execute("BEGIN IMMEDIATE")
    transaction = Transaction(connection, ledger.sequence)
    outcomes = [step(connection, transaction, operation) for operation in operations]
    try:
        transaction.flush()
    except sqlite3.IntegrityError as error:
        raise _IsolationNeededError from error
    transaction.execute(_OWN_THE_BATCH, (transaction.sequence, clock_seconds, ledger.epoch))
    if transaction.row_count != 1:
        message = "another server has taken the data directory; this one writes no more"
        raise OwnerLostError(message)
    return outcomes, transaction.sequence


def _run_plain(
    connection: sqlite3.Connection, transaction: Transaction, operation: Operation
) -> Outcome:
    before = connection.total_changes
    mark = transaction.mark()
    try:
        return Outcome(value=operation(transaction))
    except Exception as error:
        if not is_of_one_statement(error):
            raise
        # Nothing to undo: most refusals are a guard that met no row.
        if connection.in_transaction and connection.total_changes == before:
            transaction.forget_after(mark)
            return Outcome(error=error)
        raise _IsolationNeededError from error


def _run_in_savepoint(
    connection: sqlite3.Connection, transaction: Transaction, operation: Operation
) -> Outcome:
    mark = transaction.mark()
    connection.execute("SAVEPOINT operation")
    try:
        value = operation(transaction)
        transaction.flush()
    except Exception as error:
        if not is_of_one_statement(error):
            raise
        connection.execute("ROLLBACK TO operation")
        connection.execute("RELEASE operation")
        transaction.forget_after(mark)
        return Outcome(error=error)
    connection.execute("RELEASE operation")
    return Outcome(value=value)


def _roll_back(connection: sqlite3.Connection) -> None:
    # SQLite has rolled back by itself after some errors; then there is nothing left to do.
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
