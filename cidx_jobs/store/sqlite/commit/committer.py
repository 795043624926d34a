"""Group commit: runs a batch on the writing connection, and survives errors of the disk."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiosqlite
import attrs

from cidx_jobs.model.errors import (
    OwnerLostError,
    StorageFullError,
    StorageUnavailableError,
    UnavailableError,
)
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.meters import Meters
from cidx_jobs.store.sqlite.commit.connection import run_on
from cidx_jobs.store.sqlite.commit.high_water_mark import HighWaterMark, Position
from cidx_jobs.store.sqlite.commit.known_rows import KnownRows
from cidx_jobs.store.sqlite.commit.transaction import (
    CommitUnknownError,
    Ledger,
    Operation,
    run_batch,
)

ALL_CLEAR_SECONDS = 1.0
"""How long writes have to succeed before an alarm is over and the next failure is a new one."""
SLOW_SECONDS = 1.0
"""A commit that takes longer is a warning: a disk that is slow, or busy for somebody else."""
SETTLE_SECONDS = 0.25
"""How long to wait before an unknown commit is looked for again."""

_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
_READ_BATCH = "SELECT batch FROM owner WHERE id = 1"
# With less than this free an error of the disk is taken for a full disk: SQLite reports some of
# those as I/O errors.
_FULL_BELOW_BYTES = 1_048_576

_Batch = tuple[list[Any], Ledger]


@attrs.define
class Committer:
    """Owns the writing connection; one batch at a time."""

    _connect: Callable[[], Awaitable[aiosqlite.Connection]]
    _directory: Path
    _mark: HighWaterMark | None
    """None where the mark is not written with each batch."""
    _clock_seconds: Callable[[], float]
    ledger: Ledger
    _meters: Meters = attrs.field(factory=Meters)
    failure: UnavailableError | None = attrs.field(default=None, init=False)
    """Why the last write failed; None once one succeeds."""
    lost: OwnerLostError | None = attrs.field(default=None, init=False)
    """Set for good when another server has taken the database."""
    is_giving_up: bool = attrs.field(default=False, init=False)
    """True once nobody waits for the disk to come back any more."""
    is_alarmed: bool = attrs.field(default=False, init=False)
    """True from an alarm until all is clear: a small write may still fit on a full disk, and
    does not end what the alarm was about."""
    _well_since: float | None = attrs.field(default=None, init=False)
    _db: aiosqlite.Connection | None = attrs.field(default=None, init=False)
    _known: KnownRows = attrs.field(factory=KnownRows, init=False)
    _log: Any = attrs.field(factory=lambda: get_logger("store"), init=False)

    @property
    def can_write(self) -> bool:
        """False from a write that failed until one succeeds."""
        return self.failure is None and self.lost is None

    async def open(self) -> None:
        """Connect."""
        self._db = await self._connect()

    async def put_log_away(self) -> None:
        """Move the write-ahead log into the database; commits wait for it, reads do not.

        The writing connection does it and no other: with two that write or checkpoint, SQLite
        before 3.51.3 may damage the database (guarantees.md, fact 7).
        """
        # Where it fails, on a full disk say, it is tried anew after the commits to come.
        if self._db is not None:
            with suppress(sqlite3.Error):
                await self._db.execute_fetchall(_CHECKPOINT)

    async def close(self) -> None:
        """Let go of the connection, if there is one; closing twice is fine."""
        db, self._db = self._db, None
        if db is not None:
            # What is committed is committed, whether or not the connection closes well.
            with suppress(sqlite3.Error):
                await db.close()

    async def commit(self, operations: Sequence[Operation]) -> list[Any]:
        """Run the operations in one transaction and return their values, in order.

        A `Failure` stands in the place of the value of an operation that failed alone.

        Raises:
            StorageFullError: the disk is full; nothing of the batch was stored.
            StorageUnavailableError: it gave another error; nothing was stored.
            OwnerLostError: another server owns the database.
        """
        if self.lost is not None:
            raise self.lost
        try:
            values, self.ledger = await self._attempt(operations)
        except OwnerLostError as error:
            self.lost = error
            raise
        except sqlite3.Error as error:
            raise await self._note_failure(error) from error
        self._note_success()
        return values

    async def _attempt(self, operations: Sequence[Operation]) -> _Batch:
        if self._db is None:
            self._db = await self._connect()
        seconds = self._clock_seconds()
        begun = time.perf_counter()
        try:
            batch = await run_on(
                self._db, lambda connection: self._write(connection, operations, seconds)
            )
        except CommitUnknownError as error:
            if await self._is_in(error.ledger):
                return error.values, error.ledger
            raise error.cause from error
        self._note_time(time.perf_counter() - begun, len(operations))
        return batch

    def _note_time(self, seconds: float, operations: int) -> None:
        self._meters.count_commit(seconds, operations)
        if seconds > SLOW_SECONDS:
            self._log.warning("slow_commit", seconds=round(seconds, 3), changes=operations)

    def _write(
        self, connection: sqlite3.Connection, operations: Sequence[Operation], seconds: float
    ) -> _Batch:
        values, ledger = run_batch(connection, operations, self.ledger, seconds, self._known)
        if self._mark is not None:
            self._mark.record(Position(ledger.sequence, ledger.batch))
        return values, ledger

    async def _is_in(self, ledger: Ledger) -> bool:
        """Return whether the batch that led to *ledger* is committed, as soon as that can be read.

        Until it can, nobody is answered: both answers might be wrong.
        """
        while True:
            await self.close()
            try:
                self._db = await self._connect()
                rows = await self._db.execute_fetchall(_READ_BATCH)
            except sqlite3.Error as error:
                if self.is_giving_up:
                    raise
                await self._note_failure(error)
                await asyncio.sleep(SETTLE_SECONDS)
            else:
                return [tuple(row) for row in rows] == [(ledger.batch,)]

    async def _note_failure(self, error: sqlite3.Error) -> UnavailableError:
        is_full = await in_own_thread(_is_full, self._directory, error)
        failure = StorageFullError() if is_full else StorageUnavailableError()
        if not self.is_alarmed:
            self._log.error("storage_failed", code=failure.code, reason=str(error))
        self.is_alarmed, self._well_since = True, None
        self.failure = failure
        # A connection that met an error of the disk is not used again.
        await self.close()
        return failure

    def _note_success(self) -> None:
        self.failure = None
        if self.is_alarmed:
            self._look_back(self._clock_seconds())

    def _look_back(self, now: float) -> None:
        if self._well_since is None:
            self._well_since = now
        if now - self._well_since >= ALL_CLEAR_SECONDS:
            self.is_alarmed = False
            self._log.info("storage_recovered")


def _is_full(directory: Path, error: sqlite3.Error) -> bool:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return True
    with suppress(OSError):
        space = os.statvfs(directory)
        return space.f_bavail * space.f_frsize < _FULL_BELOW_BYTES
    return False
