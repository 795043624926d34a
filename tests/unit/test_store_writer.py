"""The writer: shared commits, operations apart, callers that go away, and disks that fail."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import attrs
import pytest

from cidx_jobs.model.errors import (
    OwnerLostError,
    StaleVersionError,
    StorageFullError,
    StorageUnavailableError,
    StoreError,
)
from cidx_jobs.model.job.job import Transition
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.commit import committer, writer
from cidx_jobs.store.sqlite.commit.committer import ALL_CLEAR_SECONDS, Committer
from cidx_jobs.store.sqlite.commit.connection import FunctionRunner, open_writer, run_on
from cidx_jobs.store.sqlite.commit.transaction import Ledger, Transaction
from cidx_jobs.store.sqlite.commit.writer import Writer
from cidx_jobs.store.sqlite.open.migrations import load_migrations
from cidx_jobs.store.sqlite.open.possession import take_possession
from tests.fakes import FakeClock, logged
from tests.stored import submitted

BOUND_SECONDS = 5.0


async def answered(answer: Awaitable[Any]) -> Any:
    """Return what the writer answers: the body of a caller in a task of its own."""
    return await answer


@attrs.define
class Disk:
    """A database on a disk that can be told to fail."""

    path: Path
    fault: Callable[[str], sqlite3.Error | None] | None = None
    """Gives the error of a statement before it is run; None lets it through."""
    fault_after: Callable[[str], sqlite3.Error | None] | None = None
    """Gives the error of a statement after it was run."""
    connection_fault: sqlite3.Error | None = None
    statements: list[str] = attrs.field(factory=list)
    has_begun: threading.Event = attrs.field(factory=threading.Event)
    may_go_on: threading.Event = attrs.field(factory=threading.Event)
    connections: int = 0

    async def connect(self) -> aiosqlite.Connection:
        """Open the writing connection as the store does, with this disk below it."""
        if self.connection_fault is not None:
            raise self.connection_fault
        disk = self

        class OnThisDisk(FunctionRunner):
            def execute(self, sql: str, parameters: Any = ()) -> Any:
                if (error := disk.fault and disk.fault(sql)) is not None:
                    raise error
                answer = super().execute(sql, parameters)
                if (error := disk.fault_after and disk.fault_after(sql)) is not None:
                    raise error
                disk.statements.append(sql)
                return answer

        self.connections += 1
        return await aiosqlite.connect(self.path, isolation_level=None, factory=OnThisDisk)

    def commits(self) -> int:
        """Count the commits that succeeded."""
        return self.statements.count("COMMIT")

    def value(self, name: str) -> Any:
        """Read a note with a connection of one's own."""
        with sqlite3.connect(self.path) as connection:
            row = connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        connection.close()
        return None if row is None else row[0]


def an_error(code: int) -> sqlite3.OperationalError:
    """Make an error of SQLite with a code."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


def once(statement: str, code: int = sqlite3.SQLITE_IOERR) -> Callable[[str], Any]:
    """Let one statement of that text fail, the first."""
    left = [an_error(code)]
    return lambda sql: left.pop() if sql == statement and left else None


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Give a disk with an owned database and a table of notes on it."""
    directory = DataDirectory(tmp_path / "data")
    possession = take_possession(directory, "FULL", FakeClock(), load_migrations())
    possession.release()
    with sqlite3.connect(directory.database) as connection:
        connection.execute("CREATE TABLE notes (name TEXT UNIQUE, value INTEGER)")
    connection.close()
    return Disk(directory.database)


@pytest.fixture
async def opened(disk: Disk) -> AsyncIterator[Writer]:
    """Give a writer on that disk, started."""
    writer = Writer(make_committer(disk))
    await writer.start()
    yield writer
    disk.fault = disk.fault_after = disk.connection_fault = None
    await writer.close()


def make_committer(disk: Disk) -> Committer:
    """Make the committer that owns the first epoch."""
    return Committer(
        connect=disk.connect,
        directory=disk.path.parent,
        mark=None,
        clock_seconds=lambda: 1.0,
        ledger=Ledger(epoch=1, batch=1, sequence=0),
    )


def note(name: str, value: int = 1) -> Callable[[Transaction], int]:
    """Give the operation that writes a note; a name that is taken fails."""

    def operation(transaction: Transaction) -> int:
        transaction.execute("INSERT INTO notes VALUES (?, ?)", (name, value))
        return value

    return operation


def refuse(transaction: Transaction) -> None:
    """Fail before anything is written."""
    raise StaleVersionError(submitted().job.job_id, 7)


def write_and_refuse(transaction: Transaction) -> None:
    """Fail after something was written."""
    note("undone")(transaction)
    refuse(transaction)


# --- shared commits --------------------------------------------------------------------------


async def test_callers_at_the_same_time_share_one_commit(opened: Writer, disk: Disk) -> None:
    """Fifty operations that are there together are one transaction."""
    values = await asyncio.gather(
        *(opened.write(note(f"n{number}", number)) for number in range(50))
    )

    assert values == list(range(50))
    assert disk.commits() == 1


async def test_a_caller_alone_waits_for_nobody(opened: Writer, disk: Disk) -> None:
    """Each write of a lone caller is committed at once: no delay gathers more."""
    for number in range(3):
        await opened.write(note(f"n{number}"))

    assert disk.commits() == 3


async def test_what_comes_during_a_commit_goes_into_the_next(opened: Writer, disk: Disk) -> None:
    """While one transaction is written the others gather, and are one after it."""
    first = asyncio.create_task(answered(opened.write(held(disk, "first"))))
    await in_thread(disk.has_begun.wait)
    rest = [
        asyncio.create_task(answered(opened.write(note(f"n{number}")))) for number in range(20)
    ]
    await asyncio.sleep(0)

    disk.may_go_on.set()
    await asyncio.gather(first, *rest)

    assert disk.commits() == 2


async def test_a_batch_is_bounded(
    opened: Writer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long queue is several transactions, so that nobody waits for all of it."""
    monkeypatch.setattr(writer, "MAX_BATCH", 10)

    await asyncio.gather(*(opened.write(note(f"n{number}")) for number in range(25)))

    assert disk.commits() == 3


async def test_a_full_queue_makes_callers_wait_for_room(
    opened: Writer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than the bound are ever queued, and everybody gets through; some go away."""
    monkeypatch.setattr(writer, "MAX_WAITING", 3)
    first = asyncio.create_task(answered(opened.write(held(disk, "first"))))
    await in_thread(disk.has_begun.wait)
    refused: list[int] = []
    rest = [
        asyncio.create_task(
            answered(opened.write(note(f"n{number}"), on_refuse=partial(refused.append, number)))
        )
        for number in range(10)
    ]
    for _ in range(3):
        await asyncio.sleep(0)

    queued = len(opened._queue)
    rest[5].cancel()
    disk.may_go_on.set()
    answers = await asyncio.wait_for(
        asyncio.gather(first, *rest, return_exceptions=True), BOUND_SECONDS
    )

    assert queued == 3
    assert refused == [5]
    assert sum(answer == 1 for answer in answers) == 10
    assert disk.value("n5") is None


async def test_callers_go_on_in_the_order_of_the_queue(opened: Writer) -> None:
    """Who was queued first is told first, and answered first."""
    told: list[int] = []
    answered: list[int] = []

    async def call(number: int) -> None:
        answered.append(await opened.write(note(f"n{number}", number), told.append))

    await asyncio.gather(*(call(number) for number in range(10)))

    assert told == answered == list(range(10))


# --- operations apart ------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [refuse, write_and_refuse, note("taken")])
async def test_an_operation_that_fails_takes_no_neighbour_with_it(
    opened: Writer, disk: Disk, wrong: Callable[[Transaction], Any]
) -> None:
    """Its neighbours of the batch, before and behind it, are stored; what it wrote is not."""
    await opened.write(note("taken", 9))

    answers = await asyncio.gather(
        opened.write(note("before")),
        opened.write(wrong),
        opened.write(note("after")),
        return_exceptions=True,
    )

    assert (answers[0], answers[2]) == (1, 1)
    assert isinstance(answers[1], StoreError)
    assert (disk.value("before"), disk.value("after")) == (1, 1)
    assert (disk.value("undone"), disk.value("taken")) == (None, 9)


async def test_a_refusal_that_wrote_nothing_costs_no_second_run(
    opened: Writer, disk: Disk
) -> None:
    """A guard that meets no row is the common refusal: the batch is run once."""
    await asyncio.gather(opened.write(note("a")), opened.write(refuse), return_exceptions=True)

    assert disk.statements.count("BEGIN IMMEDIATE") == 1


def log_one(transaction: Transaction, row: Transition) -> int:
    """Log a row of the job in row 1; return its number."""
    (logged,) = transaction.log("alice", 1, [row])
    return logged.sequence


async def test_a_failing_operation_leaves_no_number_in_the_log(opened: Writer, disk: Disk) -> None:
    """Numbers of the log that a failed operation took are given to the next one."""
    first, second = submitted().transitions

    def log_and_refuse(transaction: Transaction) -> None:
        log_one(transaction, second)
        write_and_refuse(transaction)

    answers = await asyncio.gather(
        opened.write(log_and_refuse),
        opened.write(lambda transaction: log_one(transaction, first)),
        return_exceptions=True,
    )

    assert isinstance(answers[0], StaleVersionError)
    assert answers[1] == 1
    with sqlite3.connect(disk.path) as connection:
        assert connection.execute("SELECT seq, version FROM log").fetchall() == [(1, 1)]
    connection.close()


async def test_a_log_row_that_is_refused_fails_its_operation_alone(
    opened: Writer, disk: Disk
) -> None:
    """The rows of the log are written together at the end; a double one is still found apart."""
    first, second = submitted().transitions

    answers = await asyncio.gather(
        opened.write(lambda transaction: log_one(transaction, first)),
        opened.write(lambda transaction: log_one(transaction, first)),
        opened.write(lambda transaction: log_one(transaction, second)),
        return_exceptions=True,
    )

    assert isinstance(answers[1], StoreError)
    assert [answers[0], answers[2]] == [1, 2]


# --- callers that go away --------------------------------------------------------------------


def held(disk: Disk, name: str) -> Callable[[Transaction], int]:
    """Give an operation that waits in the middle of its transaction."""

    def operation(transaction: Transaction) -> int:
        disk.has_begun.set()
        assert disk.may_go_on.wait(BOUND_SECONDS)
        return note(name)(transaction)

    return operation


async def in_thread(function: Callable[[float], bool]) -> None:
    """Wait for a threading event without blocking the loop."""
    assert await asyncio.to_thread(function, BOUND_SECONDS)


async def test_cancelling_a_caller_does_not_cancel_its_transaction(
    opened: Writer, disk: Disk
) -> None:
    """A write that has begun is stored, and on_commit is told, whoever still listens."""
    told: list[int] = []
    caller = asyncio.create_task(answered(opened.write(held(disk, "mine"), told.append)))
    await in_thread(disk.has_begun.wait)
    neighbour = asyncio.create_task(answered(opened.write(note("neighbour"))))
    await asyncio.sleep(0)

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    disk.may_go_on.set()
    await neighbour

    assert (disk.value("mine"), disk.value("neighbour")) == (1, 1)
    assert told == [1]


async def test_a_fault_in_on_commit_reaches_no_caller(opened: Writer) -> None:
    """What is committed is answered as committed; the loop reports the fault."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told))

    def broken(_: object) -> None:
        message = "planted"
        raise ValueError(message)

    values: Any = await asyncio.gather(opened.write(note("a"), broken), opened.write(note("b")))

    assert values == [1, 1]
    assert [str(told["exception"]) for told in reported] == ["planted"]


async def test_close_commits_what_is_queued(opened: Writer, disk: Disk) -> None:
    """Whoever is in the queue at the end is stored; whoever comes later is refused."""
    tasks = [
        asyncio.create_task(answered(opened.write(note(f"n{number}")))) for number in range(5)
    ]
    await asyncio.sleep(0)

    await asyncio.gather(opened.close(), opened.close())

    assert await asyncio.gather(*tasks) == [1] * 5
    with pytest.raises(StorageUnavailableError):
        await opened.write(note("late"))


async def test_a_cancelled_writer_ends_its_transaction_first(
    disk: Disk, others: frozenset[threading.Thread]
) -> None:
    """Its caller gets the outcome, whoever is queued behind it is told that nothing is stored."""
    opened = Writer(make_committer(disk))
    await opened.start()
    caller = asyncio.create_task(answered(opened.write(held(disk, "mine"))))
    await in_thread(disk.has_begun.wait)
    waiting = asyncio.create_task(answered(opened.write(note("queued"))))
    await asyncio.sleep(0)

    assert opened._task is not None
    opened._task.cancel()
    await asyncio.sleep(0)
    disk.may_go_on.set()
    answers = await asyncio.gather(caller, waiting, return_exceptions=True)
    await opened.close()

    assert answers[0] == 1
    assert isinstance(answers[1], StorageUnavailableError)
    assert disk.value("mine") == 1
    assert connection_threads(others) == []


def test_a_loop_that_is_torn_down_leaves_no_thread_behind(
    disk: Disk, others: frozenset[threading.Thread]
) -> None:
    """All tasks are cancelled at once, in the middle of a commit: the interpreter can exit."""

    async def leave_it_open() -> None:
        opened = Writer(make_committer(disk))
        await opened.start()
        caller = asyncio.create_task(answered(opened.write(held(disk, "mine"))))
        asyncio.get_running_loop().caller = caller  # type: ignore[attr-defined]  # kept from collection
        await in_thread(disk.has_begun.wait)
        asyncio.get_running_loop().call_later(0.01, disk.may_go_on.set)

    asyncio.run(leave_it_open())

    assert connection_threads(others) == []
    assert disk.value("mine") == 1


@pytest.fixture
def others() -> frozenset[threading.Thread]:
    """Give the threads that were there before the test, which are nothing of its writers'."""
    return frozenset(threading.enumerate())


def connection_threads(others: frozenset[threading.Thread]) -> list[str]:
    """Name the threads of connections that do not end; one that was closed takes a moment."""
    new = frozenset(threading.enumerate()) - others
    threads = [one for one in new if "_connection_worker_thread" in one.name]
    for thread in threads:
        thread.join(5.0)
    return [thread.name for thread in threads if thread.is_alive()]


# --- commits whose outcome is unknown --------------------------------------------------------


async def test_a_commit_that_happened_all_the_same_is_answered_as_stored(
    opened: Writer, disk: Disk
) -> None:
    """COMMIT gives an error but the transaction is in: it is read anew, and the caller told so."""
    disk.fault_after = once("COMMIT")

    assert await opened.write(note("a")) == 1

    assert disk.value("a") == 1
    assert disk.connections == 2
    assert await opened.write(note("b")) == 1


async def test_a_commit_that_did_not_happen_is_answered_as_not_stored(
    opened: Writer, disk: Disk
) -> None:
    """COMMIT gives an error and the transaction is not in: nobody is told otherwise."""
    disk.fault = once("COMMIT")

    with pytest.raises(StorageUnavailableError):
        await opened.write(note("a"))

    assert disk.value("a") is None
    assert await opened.write(note("a")) == 1


async def test_nobody_is_answered_before_the_outcome_can_be_read(
    opened: Writer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database cannot be reopened the caller waits; then it gets the truth."""
    monkeypatch.setattr(committer, "SETTLE_SECONDS", 0.001)
    disk.fault_after = once("COMMIT")
    disk.connection_fault = an_error(sqlite3.SQLITE_CANTOPEN)
    caller = asyncio.create_task(answered(opened.write(note("a"))))
    await until(lambda: not opened._committer.can_write)

    assert not caller.done()
    disk.connection_fault = None

    assert await asyncio.wait_for(caller, BOUND_SECONDS) == 1


async def test_an_end_does_not_wait_for_an_outcome_that_cannot_be_read(
    opened: Writer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing gives up: the caller is told that the store is unavailable."""
    monkeypatch.setattr(committer, "SETTLE_SECONDS", 0.001)
    disk.fault_after = once("COMMIT")
    disk.connection_fault = an_error(sqlite3.SQLITE_CANTOPEN)
    caller = asyncio.create_task(answered(opened.write(note("a"))))
    await until(lambda: not opened._committer.can_write)

    await asyncio.wait_for(opened.close(), BOUND_SECONDS)

    with pytest.raises(StorageUnavailableError):
        await caller


# --- disks that are full or broken -----------------------------------------------------------


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, with a bound."""
    async with asyncio.timeout(BOUND_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for is no event of the loop
            await asyncio.sleep(0.001)


async def test_a_full_disk_fails_the_whole_batch_and_is_said_once(
    opened: Writer, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """Everybody in it is told that the disk is full; one alarm tells of the whole episode."""
    disk.fault = lambda sql: an_error(sqlite3.SQLITE_FULL) if sql == "BEGIN IMMEDIATE" else None

    answers = await asyncio.gather(
        *(opened.write(note(f"n{number}")) for number in range(3)), return_exceptions=True
    )
    with pytest.raises(StorageFullError):
        await opened.write(note("again"))
    assert not opened._committer.can_write
    disk.fault = None
    assert await opened.write(note("after")) == 1
    assert opened._committer.can_write
    # That one write fitted in says little: only after a second is the alarm over.
    assert logged(caplog) == ["storage_failed"]
    opened._committer._clock_seconds = lambda: 1.0 + ALL_CLEAR_SECONDS
    assert await opened.write(note("later")) == 1

    assert [type(answer) for answer in answers] == [StorageFullError] * 3
    assert logged(caplog) == ["storage_failed", "storage_recovered"]


async def test_a_connection_that_met_an_error_is_not_used_again(
    opened: Writer, disk: Disk
) -> None:
    """Nobody knows in what state it is: the next batch has a new one."""
    disk.fault = once("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailableError):
        await opened.write(note("a"))

    assert await opened.write(note("a")) == 1
    assert disk.connections == 2


async def test_a_write_that_fits_on_a_full_disk_ends_no_alarm(
    opened: Writer, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that is full for all but the smallest writes is one episode, told once."""
    for number in range(3):
        disk.fault = lambda sql: (
            an_error(sqlite3.SQLITE_FULL) if sql == "BEGIN IMMEDIATE" else None
        )
        with pytest.raises(StorageFullError):
            await opened.write(note(f"n{number}"))
        disk.fault = None
        assert await opened.write(note(f"small{number}")) == 1

    assert logged(caplog) == ["storage_failed"]


async def test_a_real_full_database_stores_nothing_and_works_again(
    opened: Writer, disk: Disk
) -> None:
    """SQLite's own error, in the middle of a batch, undoes the whole batch."""

    def fill(transaction: Transaction) -> None:
        transaction.execute("PRAGMA max_page_count = 1")
        for number in range(5_000):
            transaction.execute("INSERT INTO notes VALUES (?, ?)", (f"{number:0100}", number))

    answers = await asyncio.gather(
        opened.write(note("neighbour")), opened.write(fill), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [StorageFullError] * 2
    assert disk.value("neighbour") is None
    assert await opened.write(note("after")) == 1


async def test_a_failed_writer_tries_again_by_itself(
    opened: Writer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks a server that is not ready: it finds out alone that the disk is back."""
    monkeypatch.setattr(writer, "PROBE_SECONDS", 0.001)
    disk.fault = lambda sql: an_error(sqlite3.SQLITE_IOERR) if sql == "COMMIT" else None
    with pytest.raises(StorageUnavailableError):
        await opened.write(note("a"))
    connections = disk.connections
    await until(lambda: disk.connections > connections + 2)
    assert not opened._committer.can_write

    disk.fault = None

    await until(lambda: opened._committer.can_write)


async def test_an_error_on_an_almost_full_disk_counts_as_full(
    opened: Writer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite reports some full disks as I/O errors; the free space tells."""
    monkeypatch.setattr(committer, "_FULL_BELOW_BYTES", 2**62)
    disk.fault = once("BEGIN IMMEDIATE")

    with pytest.raises(StorageFullError):
        await opened.write(note("a"))


async def test_a_new_owner_ends_the_old_one_for_good(opened: Writer, disk: Disk) -> None:
    """A write of an older epoch is refused, and so is every one after it."""
    with sqlite3.connect(disk.path) as connection:
        connection.execute("UPDATE owner SET epoch = epoch + 1")
    connection.close()

    for _ in range(2):
        with pytest.raises(OwnerLostError):
            await opened.write(note("a"))

    assert disk.value("a") is None
    assert not opened._committer.can_write


# --- what this rests on ----------------------------------------------------------------------


async def test_a_function_runs_on_the_connections_own_thread(tmp_path: Path) -> None:
    """Pins aiosqlite: `execute_fetchall` calls the connection's `execute` and then `fetchall`."""
    db = await open_writer(tmp_path / "new.db", "FULL")
    try:
        names = await asyncio.gather(
            *(run_on(db, lambda _: threading.current_thread().name) for _ in range(3))
        )
        modes = await run_on(
            db,
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")
            ],
        )
    finally:
        await db.close()

    assert len(set(names)) == 1
    assert names[0] != threading.current_thread().name
    assert modes == ["wal", 2, 1, 4000]
