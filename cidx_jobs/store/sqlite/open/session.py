"""Session: what is open while a directory is served, its lock, one writer and two readers."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
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


@attrs.frozen
class ReaderPool:
    """A few readers; each read takes one that is free, or waits for the next in line."""

    _readers: Sequence[Reader]
    _free: asyncio.Queue[Reader] = attrs.field(init=False, factory=asyncio.LifoQueue)

    def __attrs_post_init__(self) -> None:
        """Begin with all of them free."""
        for reader in self._readers:
            self._free.put_nowait(reader)

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what *function* reads.

        Raises:
            StorageUnavailableError: the database cannot be read now.
        """
        reader = await self._free.get()
        try:
            return await reader.read(function)
        finally:
            self._free.put_nowait(reader)


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
            list_readers=ReaderPool(list_readers),
            accept_stop=possession.accept_stop,
            parts=undo.pop_all(),
        )
