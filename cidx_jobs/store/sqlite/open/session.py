"""Session: what is open while a directory is served, its lock, one writer and two readers."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TypeVar

import aiosqlite
import attrs

from cidx_jobs.clock import EngineClock
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.model.errors import StorageUnavailableError
from cidx_jobs.model.listing import StoreIdentity
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.meters import Meters
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.commit.committer import Committer
from cidx_jobs.store.sqlite.commit.connection import open_reader, open_writer, run_on
from cidx_jobs.store.sqlite.commit.writer import Writer
from cidx_jobs.store.sqlite.open.migrations import load_migrations
from cidx_jobs.store.sqlite.open.possession import take_possession

T = TypeVar("T")

LIST_READERS = 3
"""One more than a user's share of lists at a time: the last one is for somebody else."""

BUSY_SECONDS = 2.0
"""So long one list may follow the other, without a moment in which the log can begin anew."""


@attrs.define
class Reader:
    """A connection that only reads; each read is one function, run at once."""

    _db: aiosqlite.Connection | None

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what *function* reads.

        Raises:
            StorageUnavailableError: the database cannot be read now.
        """
        if self._db is None:
            raise StorageUnavailableError
        try:
            return await run_on(self._db, function)
        except sqlite3.Error as error:
            raise StorageUnavailableError from error

    async def close(self) -> None:
        """Finish the reads under way and let go of the connection; twice is fine."""
        db, self._db = self._db, None
        if db is not None:
            await db.close()


@attrs.define
class ReaderPool:
    """A few readers; each read takes one that is free, or waits for the next in line.

    The write-ahead log begins anew only in a moment in which nobody reads what is in it. Where
    one read follows the other without such a moment, the pool makes one.
    """

    _readers: Sequence[Reader]
    _put_log_away: Callable[[], Awaitable[None]]
    """Moves the log into the database; called while none of the readers reads."""
    _free: asyncio.Queue[Reader] = attrs.field(init=False, factory=asyncio.LifoQueue)
    _busy_since: float | None = attrs.field(init=False, default=None)
    """The monotonic second since which one of them has read at every moment."""
    _settling: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)

    def __attrs_post_init__(self) -> None:
        """Begin with all of them free."""
        for reader in self._readers:
            self._free.put_nowait(reader)

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what *function* reads.

        Raises:
            StorageUnavailableError: the database cannot be read now.
        """
        if self._is_busy_for_long():
            await self._settle()
        reader = await self._free.get()
        if self._busy_since is None:
            self._busy_since = time.monotonic()
        try:
            return await reader.read(function)
        finally:
            self._give_back([reader])

    def _is_busy_for_long(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > BUSY_SECONDS

    async def _settle(self) -> None:
        async with self._settling:
            if not self._is_busy_for_long():
                return
            taken: list[Reader] = []
            try:
                # Whoever asks meanwhile comes after this.
                while len(taken) < len(self._readers):
                    taken.append(await self._free.get())
                await self._put_log_away()
            finally:
                self._give_back(taken)

    def _give_back(self, readers: Sequence[Reader]) -> None:
        for reader in readers:
            self._free.put_nowait(reader)
        if self._free.qsize() == len(self._readers):
            self._busy_since = None


@attrs.frozen(kw_only=True)
class Session:
    """The open parts; `close` lets go of them in the right order."""

    identity: StoreIdentity
    writer: Writer
    committer: Committer
    point_reader: Reader
    """For reads of a few rows, which must not wait for a list."""
    list_readers: ReaderPool
    accept_stop: Callable[[], None]
    """Keeps that this start was told to stop; blocks."""
    _parts: AsyncExitStack

    async def close(self) -> None:
        """Commit what is queued and let go of everything; the lock goes last."""
        await self._parts.aclose()


async def open_session(
    directory: DataDirectory, synchronous: str, clock: Clock, meters: Meters
) -> Session:
    """Take the directory into possession and open the connections.

    Raises:
        StartRefusedError: it cannot be served; nothing was touched, and nothing stays open.
    """
    async with AsyncExitStack() as undo:
        possession = await in_own_thread(
            lambda: take_possession(directory, synchronous, clock, load_migrations())
        )
        undo.push_async_callback(in_own_thread, possession.release)
        committer = Committer(
            connect=partial(open_writer, directory.database, synchronous),
            directory=directory.root,
            # With NORMAL the log may reach the disk after the mark does, and a power cut would
            # then look like damage.
            mark=possession.mark if synchronous == "FULL" else None,
            clock_seconds=EngineClock(clock, possession.identity.clock_seconds).seconds,
            ledger=possession.ledger,
            meters=meters,
        )
        writer = Writer(committer, has_long_log=possession.has_long_log)
        # Closed after the readers: the last connection to close moves the log into the database,
        # and only the writer may.
        undo.push_async_callback(writer.close)
        await writer.start()
        point_reader = Reader(await open_reader(directory.database))
        undo.push_async_callback(point_reader.close)
        list_readers = []
        for _ in range(LIST_READERS):
            reader = Reader(await open_reader(directory.database))
            undo.push_async_callback(reader.close)
            list_readers.append(reader)
        await in_own_thread(possession.disconnect)
        return Session(
            identity=possession.identity,
            writer=writer,
            committer=committer,
            point_reader=point_reader,
            list_readers=ReaderPool(list_readers, committer.put_log_away),
            accept_stop=possession.accept_stop,
            parts=undo.pop_all(),
        )
