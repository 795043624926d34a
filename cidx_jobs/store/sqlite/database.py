"""The SQLite database while it is open: one writer, one reader for rows and one for lists."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.model.errors import StorageUnavailableError
from cidx_jobs.model.listing import StoreIdentity
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.meters import Meters
from cidx_jobs.runtime.shielded import finish
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.commit.transaction import Operation, Transaction
from cidx_jobs.store.sqlite.open.session import Session, open_session
from cidx_jobs.store.sqlite.values import Row

T = TypeVar("T")

Parameters = Row | dict[str, Any]
"""The values of a statement, in its order or by their names."""


class Database:
    """What every store on SQLite reads and writes through; opened and closed as one."""

    def __init__(
        self, directory: DataDirectory, synchronous: str, clock: Clock, meters: Meters
    ) -> None:
        """Take what it shall serve; nothing is opened yet."""
        self.directory = directory
        self.clock = clock
        self._synchronous = synchronous
        self._meters = meters
        self._session: Session | None = None

    @property
    def can_write(self) -> bool:
        """False while it is closed, and from a write that failed until one succeeds."""
        return self._session is not None and self._session.committer.can_write

    async def open(self) -> StoreIdentity:
        """Take the data directory into possession; see `Persistence.open`."""
        if self._session is not None:
            message = "the store is open already"
            raise RuntimeError(message)
        opening = asyncio.create_task(
            open_session(self.directory, self._synchronous, self.clock, self._meters),
            name="store-open",
        )
        try:
            self._session = session = await finish(opening)
        except asyncio.CancelledError:
            # Half-open it would keep its lock, and its threads would hang the interpreter's exit.
            if opening.exception() is None:
                await finish(opening.result().close())
            raise
        return session.identity

    async def accept_stop(self) -> None:
        """Keep that this start was told to stop; see `Persistence.accept_stop`."""
        if self._session is not None:
            # A stop goes on also where no thread is to be had for a word about it.
            with contextlib.suppress(RuntimeError):
                await in_own_thread(self._session.accept_stop)

    async def close(self) -> None:
        """Finish the writes under way and let go of the directory; closing twice is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # Plain functions that return what is awaited below them: one frame less for every call.

    def write(
        self,
        operation: Operation,
        on_commit: Callable[[Any], object] | None = None,
        on_refuse: Callable[[], object] | None = None,
    ) -> Awaitable[Any]:
        """Return the operation's value once it is committed; see `Writer.write`."""
        return self.opened().writer.write(operation, on_commit, on_refuse)

    def look_up(self, function: Callable[[sqlite3.Connection], T]) -> Coroutine[Any, Any, T]:
        """Return what *function* reads: a few rows, which wait for no list."""
        return self.opened().point_reader.read(function)

    def search(self, function: Callable[[sqlite3.Connection], T]) -> Coroutine[Any, Any, T]:
        """Return what *function* reads: a list, or whatever may take long."""
        return self.opened().list_readers.read(function)

    async def execute(self, sql: str, values: Parameters) -> int:
        """Run one statement as a write of its own; return how many rows it changed."""
        changed: int = await self.write(partial(_execute, sql, values))
        return changed

    def find_row(
        self, sql: str, values: Parameters, decode: Callable[[Row], T]
    ) -> Coroutine[Any, Any, T | None]:
        """Return the first row that the statement finds, decoded; None when there is none."""
        return self.look_up(partial(_find, sql, values, decode))

    def list_rows(
        self, sql: str, values: Parameters, decode: Callable[[Row], T]
    ) -> Coroutine[Any, Any, tuple[T, ...]]:
        """Return all rows that the statement finds, decoded."""
        return self.search(partial(_list, sql, values, decode))

    def opened(self) -> Session:
        """Return the open session.

        Raises:
            StorageUnavailableError: there is none.
        """
        if self._session is None:
            raise StorageUnavailableError
        return self._session


def _execute(sql: str, values: Parameters, transaction: Transaction) -> int:
    transaction.execute(sql, values)
    return transaction.cursor.rowcount


def _find(
    sql: str, values: Parameters, decode: Callable[[Row], T], connection: sqlite3.Connection
) -> T | None:
    row = connection.execute(sql, values).fetchone()
    return None if row is None else decode(row)


def _list(
    sql: str, values: Parameters, decode: Callable[[Row], T], connection: sqlite3.Connection
) -> tuple[T, ...]:
    return tuple(map(decode, connection.execute(sql, values)))
