"""The start of the store: what it makes, what it refuses, and that a refusal touches nothing."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.model.errors import (
    AlreadyOwnedError,
    DatabaseDamagedError,
    SchemaTooNewError,
    StartRefusedError,
)
from cidx_jobs.model.limits import Pauses
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.open.migrations import (
    Migration,
    apply_migrations,
    check_migrations,
    load_migrations,
    split_statements,
)
from cidx_jobs.store.sqlite.open.possession import take_possession
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.fakes import FakeClock, logged
from tests.stored import store_completed, submitted

MIGRATIONS = load_migrations()
NEXT = Migration(
    number=len(MIGRATIONS) + 1, name="more", sql="CREATE TABLE more (x INTEGER) STRICT;\n"
)


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    """Give a data directory that is not there yet."""
    return DataDirectory(tmp_path / "data")


def persistence(directory: DataDirectory, synchronous: str = "FULL") -> JobPersistence:
    """Make the store of a directory."""
    return JobPersistence(directory, synchronous=synchronous, clock=SystemClock())


def contents(directory: DataDirectory) -> dict[str, bytes]:
    """Read every file of the directory."""
    files = sorted(path for path in directory.root.rglob("*") if path.is_file())
    return {str(path.relative_to(directory.root)): path.read_bytes() for path in files}


async def used(directory: DataDirectory) -> DataDirectory:
    """Give the directory after a server ran in it and was stopped."""
    jobs = persistence(directory)
    await jobs.open()
    for number in range(3):
        await store_completed(jobs.jobs, project_id=f"p{number}", labels={"long": "x" * 2_000})
    await jobs.close()
    return directory


async def killed(directory: DataDirectory, tmp_path: Path) -> DataDirectory:
    """Give what a server that was killed leaves: its log is not in the database yet."""
    jobs = persistence(directory)
    await jobs.open()
    for number in range(3):
        await store_completed(jobs.jobs, project_id=f"p{number}", labels={"long": "x" * 2_000})
    image = DataDirectory(tmp_path / "image")
    shutil.copytree(directory.root, image.root)
    shared_of(image).unlink()
    await jobs.close()
    return image


LONG_LOG_BYTES = 18_000_000
LENGTHEN = "UPDATE jobs SET message = hex(zeroblob(?)) WHERE row = 1"


def wal_of(directory: DataDirectory) -> Path:
    """Give the path of the write-ahead log."""
    return Path(f"{directory.database}-wal")


def shared_of(directory: DataDirectory) -> Path:
    """Give the path of the file that SQLite's processes share."""
    return Path(f"{directory.database}-shm")


async def assert_refused(
    directory: DataDirectory, error: type[StartRefusedError], words: str
) -> None:
    """Open the store: it is refused in one line, with nothing touched and no thread left."""
    before, threads = contents(directory), connection_threads()

    with pytest.raises(error) as raised:
        await persistence(directory).open()

    assert type(raised.value) is error
    assert words in raised.value.message
    assert "\n" not in raised.value.message
    assert contents(directory) == before
    # One of an earlier store may end meanwhile.
    assert connection_threads() <= threads


def connection_threads() -> set[threading.Thread]:
    """Give the threads of connections that are still there."""
    return {one for one in threading.enumerate() if "_connection_worker" in one.name}


async def served(directory: DataDirectory, *migrations: Migration) -> None:
    """Let another version of the package, with other steps, start in the directory and stop."""
    possession = await asyncio.to_thread(
        take_possession, directory, "FULL", FakeClock(), migrations
    )
    possession.release()


# --- a first start ---------------------------------------------------------------------------


async def test_what_the_store_makes_is_for_its_owner_alone(directory: DataDirectory) -> None:
    """The directory is 0700 and every file in it 0600, while it is open and after."""
    jobs = persistence(directory)
    await jobs.open()
    await store_completed(jobs.jobs)

    def modes() -> set[int]:
        return {stat.S_IMODE(path.stat().st_mode) for path in directory.root.iterdir()}

    assert stat.S_IMODE(directory.root.stat().st_mode) == 0o700
    assert modes() == {0o600}
    await jobs.close()
    assert modes() == {0o600}


async def test_rights_that_others_had_are_taken_away(directory: DataDirectory) -> None:
    """A directory that was made with wider rights is narrowed."""
    directory.root.mkdir(mode=0o755)

    await used(directory)

    assert stat.S_IMODE(directory.root.stat().st_mode) == 0o700


async def test_a_clean_stop_leaves_one_database_file(directory: DataDirectory) -> None:
    """The write-ahead log is moved into it, and its helpers are gone."""
    await used(directory)

    assert set(contents(directory)) == {"jobs.db", "jobs.mark", "owner.lock"}


async def test_a_start_that_was_cut_off_at_once_can_be_repeated(
    directory: DataDirectory,
) -> None:
    """An empty database file without a mark is what a start leaves that died in its first step."""
    directory.root.mkdir()
    directory.database.touch()
    await used(directory)

    other = DataDirectory(directory.root / "other")
    other.root.mkdir()
    connection = sqlite3.connect(other.database)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()

    await used(other)


async def test_the_engine_clock_goes_on_from_the_last_write(directory: DataDirectory) -> None:
    """What was stored last is where the clock of the next server begins, or the wall clock."""
    clock = FakeClock()
    jobs = JobPersistence(directory, clock=clock)
    first = await jobs.open()
    clock.advance(100.0)
    await jobs.jobs.save_changes([submitted()])
    await jobs.close()
    clock.step_wall_clock(-3_600.0)

    second = await jobs.open()
    await jobs.close()

    assert first.clock_seconds == 0.0
    assert second.clock_seconds == clock.now().timestamp() + 3_600.0


async def test_opening_twice_is_an_error_of_the_caller(directory: DataDirectory) -> None:
    """One object is one session at a time."""
    jobs = persistence(directory)
    await jobs.open()

    with pytest.raises(RuntimeError):
        await jobs.open()

    await jobs.close()


# --- one owner -------------------------------------------------------------------------------


async def test_a_second_owner_is_refused_and_told_who_owns_it(
    directory: DataDirectory,
) -> None:
    """The refusal names the directory, and says so where the owner is the same process."""
    jobs = persistence(directory)
    await jobs.open()

    words = f"{directory.root} is owned by this very process (pid {os.getpid()}, started 20"
    await assert_refused(directory, AlreadyOwnedError, words)

    await jobs.close()
    await jobs.open()
    await jobs.close()


@pytest.mark.parametrize("text", [b"", b"4711\n", b"[1]", b'{"pid": "x"}', b"\xff" * 100])
async def test_an_owner_that_says_nothing_of_itself_is_another_server(
    directory: DataDirectory, text: bytes
) -> None:
    """An older version wrote nothing into the lock file, and others may have written anything."""
    jobs = persistence(directory)
    await jobs.open()
    directory.owner_lock.write_bytes(text)

    await assert_refused(directory, AlreadyOwnedError, "is owned by another server: stop it")

    await jobs.close()


async def test_the_lock_goes_though_somebody_has_a_copy_of_it(directory: DataDirectory) -> None:
    """A process that was forked behind the interpreter's back keeps no start from a directory."""
    jobs = persistence(directory)
    await jobs.open()
    copies = copies_of(directory.owner_lock)

    await jobs.close()
    await jobs.open()

    assert copies
    await jobs.close()
    for copy in copies:
        os.close(copy)


def copies_of(file: Path) -> list[int]:
    """Give a copy of each descriptor by which this process has the file open."""
    found = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return [os.dup(int(link.name)) for link in found if link.samefile(file)]


@pytest.mark.slow
async def test_another_process_is_refused_until_the_owner_is_gone(
    directory: DataDirectory,
) -> None:
    """The lock holds between processes, and a killed owner lets go of it."""
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from cidx_jobs.clock import SystemClock\n"
        "from cidx_jobs.settings import DataDirectory\n"
        "from cidx_jobs.store.sqlite.persistence import JobPersistence\n"
        "async def main():\n"
        "    jobs = JobPersistence(DataDirectory(Path(sys.argv[1])), clock=SystemClock())\n"
        "    await jobs.open()\n"
        "    print('open', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(directory.root), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert owner.stdout is not None
        assert await owner.stdout.readline() == b"open\n"
        words = f"is owned by another server (pid {owner.pid}, started 20"
        await assert_refused(directory, AlreadyOwnedError, words)
        await assert_refused(directory, AlreadyOwnedError, f"command: {sys.executable} -c ")
    finally:
        owner.kill()
        await owner.wait()

    jobs = persistence(directory)
    identity = await jobs.open()
    await jobs.close()

    assert identity.epoch == 2


async def test_a_program_started_later_does_not_inherit_the_lock(
    directory: DataDirectory,
) -> None:
    """A child that outlives its server does not keep the directory."""
    jobs = persistence(directory)
    await jobs.open()
    child = await asyncio.create_subprocess_exec("sleep", "60", close_fds=False)
    try:
        await jobs.close()

        await jobs.open()
    finally:
        child.kill()
        await child.wait()
    await jobs.close()


# --- refusals --------------------------------------------------------------------------------


async def test_a_database_that_may_not_be_written_is_refused(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would leave files beside it that keep the next start out, with the rights back."""
    await used(directory)
    # Root, as whom the tests may run, may write everything.
    monkeypatch.setattr("os.access", lambda path, _: path != directory.database)

    await assert_refused(directory, StartRefusedError, "jobs.db cannot be used")


async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file in its place, or above it, is named with the reason."""
    (tmp_path / "file").write_text("x", "utf-8")

    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(StartRefusedError, match=r"file.* cannot be used: "):
            await persistence(DataDirectory(path)).open()

    assert (tmp_path / "file").read_text("utf-8") == "x"


async def test_a_database_that_cannot_be_written_is_refused(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock and the connections are let go of again."""
    await used(directory)

    def read_only(path: Path, _: str) -> sqlite3.Connection:
        uri = f"{path.as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    with monkeypatch.context() as patch:
        patch.setattr("cidx_jobs.store.sqlite.open.possession.connect_for_start", read_only)
        with pytest.raises(StartRefusedError, match="readonly database"):
            await persistence(directory).open()

    await used(directory)


async def test_a_connection_that_fails_half_way_leaves_nothing_open(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the reader cannot be opened the writer and the lock are let go of."""
    threads = connection_threads()

    async def refuse(_: Path) -> None:
        message = "planted"
        raise sqlite3.OperationalError(message)

    with monkeypatch.context() as patch:
        patch.setattr("cidx_jobs.store.sqlite.open.session.open_reader", refuse)
        with pytest.raises(sqlite3.OperationalError):
            await persistence(directory).open()

    # One of an earlier store may end meanwhile.
    assert connection_threads() <= threads
    await used(directory)


async def test_a_newer_schema_is_refused(directory: DataDirectory) -> None:
    """A database of a later version is not touched by an older one."""
    await used(directory)
    await served(directory, *MIGRATIONS, NEXT)

    await assert_refused(directory, SchemaTooNewError, "upgrade cidx_jobs")


async def test_a_changed_step_is_refused(directory: DataDirectory) -> None:
    """A step whose text is not the one that was applied means another lineage."""
    changed = msgspec.structs.replace(MIGRATIONS[0], sql=MIGRATIONS[0].sql + "-- changed\n")
    await served(directory, changed, *MIGRATIONS[1:])

    await assert_refused(directory, DatabaseDamagedError, "does not know")


async def test_a_changed_schema_is_refused(directory: DataDirectory) -> None:
    """An index that somebody dropped is noticed."""
    await used(directory)
    connection = sqlite3.connect(directory.database)
    connection.execute("DROP INDEX jobs_live")
    connection.close()

    await assert_refused(directory, DatabaseDamagedError, "schema is not the one")


async def test_a_database_of_somebody_else_is_refused(directory: DataDirectory) -> None:
    """A SQLite database that is not ours is left alone."""
    directory.root.mkdir()
    directory.owner_lock.touch()
    connection = sqlite3.connect(directory.database)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()

    await assert_refused(directory, DatabaseDamagedError, "cannot be read")


def cut_in_half(path: Path) -> None:
    """Take the second half of a file away."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def cut_last_page(path: Path) -> None:
    """Take the last page of a database away."""
    path.write_bytes(path.read_bytes()[:-4096])


def garble_start(path: Path) -> None:
    """Write something else over the first bytes."""
    content = path.read_bytes()
    path.write_bytes(b"garbage garbage garbage" + content[23:])


def garble_page_size(path: Path) -> None:
    """Write a page size that cannot be."""
    content = path.read_bytes()
    path.write_bytes(content[:16] + b"\x03\x03" + content[18:])


def garble_schema(path: Path) -> None:
    """Damage the page that holds the schema."""
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 200 + content[300:])


def garble_free_list(path: Path) -> None:
    """Let the header speak of free pages that there are not: who writes would look for them."""
    content = path.read_bytes()
    path.write_bytes(content[:36] + b"\x00\x00\x00\x07" + content[40:])


def empty(path: Path) -> None:
    """Take everything away."""
    path.write_bytes(b"")


def remove(path: Path) -> None:
    """Take the file itself away."""
    path.unlink()


DAMAGES = [
    cut_in_half,
    cut_last_page,
    garble_start,
    garble_page_size,
    garble_free_list,
    garble_schema,
    empty,
    remove,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_a_damaged_database_is_refused(
    directory: DataDirectory, damage: Callable[[Path], None]
) -> None:
    """After a clean stop: cut, garbled, empty or gone."""
    await used(directory)
    damage(directory.database)

    await assert_refused(directory, DatabaseDamagedError, "")


async def test_a_database_that_is_cut_before_its_free_pages_says_so(
    directory: DataDirectory,
) -> None:
    """In words, and not by what could not be read of them."""
    await used(directory)
    with closing(sqlite3.connect(directory.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("CREATE TABLE gone AS SELECT zeroblob(100000)")
        connection.execute("DROP TABLE gone")
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    cut_in_half(directory.database)

    assert free
    await assert_refused(directory, DatabaseDamagedError, "is cut")


@pytest.mark.parametrize(
    "damage", [garble_start, garble_page_size, empty, remove], ids=lambda damage: damage.__name__
)
async def test_a_damaged_database_of_a_killed_server_is_refused(
    directory: DataDirectory, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """With the log of a killed server beside it too."""
    image = await killed(directory, tmp_path)
    damage(image.database)

    await assert_refused(image, DatabaseDamagedError, "")


async def test_a_database_that_is_cut_behind_its_log_is_refused(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """A page that is neither in the database nor in the log is missing."""
    await used(directory)
    image = await killed(directory, tmp_path)
    cut_in_half(image.database)

    await assert_refused(image, DatabaseDamagedError, "is cut")


@pytest.mark.parametrize("damage", [remove, empty, cut_in_half], ids=lambda d: d.__name__)
async def test_a_lost_log_is_refused(
    directory: DataDirectory, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """SQLite would go on without it, and without what was acknowledged (fact 6)."""
    await used(directory)
    image = await killed(directory, tmp_path)
    damage(wal_of(image))

    await assert_refused(image, DatabaseDamagedError, "lost its write-ahead log")


async def test_an_older_copy_is_refused(directory: DataDirectory) -> None:
    """A database that was rolled back behind the mark would give numbers twice."""
    await used(directory)
    old = directory.database.read_bytes()
    await used(directory)
    directory.database.write_bytes(old)

    await assert_refused(directory, DatabaseDamagedError, "rolled back")


async def test_an_older_copy_with_the_whole_log_is_refused(directory: DataDirectory) -> None:
    """What it lacks are transactions without a row in the log, as those of progress are."""
    store = persistence(directory)
    await store.open()
    await store.jobs.save_changes([submitted()])
    await store.close()
    older = directory.database.read_bytes()
    await store.open()
    await store.controls.save_controls(None, Pauses(draining=True))
    await store.close()
    directory.database.write_bytes(older)

    await assert_refused(directory, DatabaseDamagedError, "transaction")


async def test_a_garbled_mark_is_refused(directory: DataDirectory) -> None:
    """A mark that says nothing protects nothing."""
    await used(directory)
    directory.high_water_mark.write_text("seq 12", "utf-8")

    await assert_refused(directory, DatabaseDamagedError, "jobs.mark")


async def test_a_missing_mark_is_made_again(directory: DataDirectory) -> None:
    """Without it nothing is lost but the check."""
    await used(directory)
    mark = directory.high_water_mark.read_bytes()
    directory.high_water_mark.unlink()

    jobs = persistence(directory)
    await jobs.open()
    await jobs.close()

    assert directory.high_water_mark.read_bytes()[:24] == mark[:24]


# --- what is not refused ---------------------------------------------------------------------


async def test_a_killed_server_leaves_nothing_that_is_refused(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """Everything that was acknowledged is in the database and its log."""
    await used(directory)
    image = await killed(directory, tmp_path)

    jobs = persistence(image)
    await jobs.open()
    stats = await jobs.jobs.collect_stats()
    await jobs.close()

    assert stats.by_status == {"completed": 6}
    assert stats.last_sequence == 24


@pytest.mark.slow
async def test_a_long_log_is_put_away_while_the_store_is_open(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """A killed server's log is in the database before the first write; no start waits for it."""
    await used(directory)
    image = DataDirectory(tmp_path / "image")
    with contextlib.closing(sqlite3.connect(directory.database, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(LENGTHEN, (LONG_LOG_BYTES // 2,))
        shutil.copytree(directory.root, image.root)
    shared_of(image).unlink()
    before = image.database.stat().st_size

    jobs = persistence(image)
    await jobs.open()
    stored = await store_completed(jobs.jobs)
    after = image.database.stat().st_size
    found = await jobs.jobs.load_job(stored.job_id)
    await jobs.close()

    assert found == stored
    assert after >= before + LONG_LOG_BYTES
    assert not wal_of(image).exists()


def tear(wal: Path) -> None:
    """Begin another frame at the end of the log."""
    content = wal.read_bytes()
    wal.write_bytes(content + content[32 : 32 + 24] + b"torn")


async def test_a_torn_end_of_the_log_is_not_refused(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """What a power cut leaves of a transaction that nobody was told of is passed over."""
    image = await killed(directory, tmp_path)
    tear(wal_of(image))

    jobs = persistence(image)
    await jobs.open()
    stats = await jobs.jobs.collect_stats()
    await jobs.close()

    assert stats.by_status == {"completed": 3}


async def test_without_full_syncs_a_lost_log_is_not_taken_for_damage(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """With NORMAL a power cut may lose the newest commits: that is what was asked for."""
    await used(directory)
    jobs = persistence(directory, "NORMAL")
    await jobs.open()
    await store_completed(jobs.jobs)
    image = DataDirectory(tmp_path / "image")
    shutil.copytree(directory.root, image.root)
    await jobs.close()
    remove(wal_of(image))
    remove(shared_of(image))

    again = persistence(image, "NORMAL")
    await again.open()
    stats = await again.jobs.collect_stats()
    await again.close()

    assert stats.by_status == {"completed": 3}


# --- migrations ------------------------------------------------------------------------------


async def test_a_new_step_is_applied_to_what_is_there(directory: DataDirectory) -> None:
    """An upgrade keeps the jobs and records the step."""
    await used(directory)

    await served(directory, *MIGRATIONS, NEXT)

    with sqlite3.connect(directory.database) as connection:
        tables = connection.execute(
            "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM more)"
        ).fetchone()
        records = connection.execute(
            "SELECT number, name, checksum FROM migrations ORDER BY number"
        ).fetchall()
    connection.close()

    assert tables == (3, 0)
    assert records[-1] == (NEXT.number, "more", NEXT.checksum)


def test_a_step_that_fails_is_undone_as_a_whole() -> None:
    """Half a step is never left, nor is it recorded."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    apply_migrations(connection, MIGRATIONS, 0)
    wrong = msgspec.structs.replace(NEXT, sql="CREATE TABLE more (x);\nCREATE TABLE more (x);\n")

    with pytest.raises(sqlite3.OperationalError):
        apply_migrations(connection, (*MIGRATIONS, wrong), 0)

    check_migrations(connection, MIGRATIONS)
    connection.close()


class FullDisk(sqlite3.Connection):
    """A connection that finds the disk full, and rolls back by itself, as SQLite may then."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Fail at the first table."""
        if sql.startswith("CREATE TABLE more"):
            super().execute("ROLLBACK")
            message = "database or disk is full"
            raise sqlite3.OperationalError(message)
        return super().execute(sql, *parameters)


def test_a_full_disk_is_named_as_the_cause_of_a_step_that_fails() -> None:
    """That there is nothing left to roll back is no cause (sqlite.org/lang_transaction.html)."""
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=FullDisk)) as full:
        step = msgspec.structs.replace(NEXT, sql="CREATE TABLE more (x);\n")

        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            apply_migrations(full, (*MIGRATIONS, step), 0)


def test_a_script_is_split_at_the_ends_of_its_statements() -> None:
    """A semicolon in a text, a comment or a trigger ends nothing."""
    parts = [
        "-- a; b\nCREATE TABLE a (x TEXT DEFAULT 'a;\nb');\n",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM a;\nEND;\n",
    ]

    assert list(split_statements("".join(parts))) == parts


def test_the_steps_are_numbered_without_gaps() -> None:
    """The package holds its steps, 1 to n, each once."""
    assert [step.number for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


async def once(directory: DataDirectory) -> None:
    """Start in the directory, and stop."""
    store = persistence(directory)
    await store.open()
    await store.close()


@pytest.mark.parametrize("name", [".", "jobs.db", "admin.token", "login.key", "git-credentials"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
async def test_what_others_may_write_is_refused(
    directory: DataDirectory, name: str, mode: int
) -> None:
    """Whoever may write it could have put anything there; nothing is touched, nor its rights."""
    await once(directory)
    path = directory.root / name
    path.touch(mode=0o600)
    path.chmod(path.stat().st_mode | mode)
    before = contents(directory)

    with pytest.raises(StartRefusedError, match="may be written by others"):
        await persistence(directory).open()

    assert contents(directory) == before
    assert path.stat().st_mode & mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_a_directory_of_another_user_is_refused_but_to_root(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its owner decides over it; a container's root is told so, and serves it."""
    directory.root.mkdir(mode=0o700)
    os.chown(directory.root, 12_345, 12_345)

    await once(directory)
    monkeypatch.setattr("cidx_jobs.store.sqlite.open.owner_check.os.geteuid", lambda: 4_711)
    with pytest.raises(StartRefusedError, match="belongs to another user"):
        await persistence(directory).open()

    assert set(logged(caplog)) == {"data_of_another_user"}
    assert caplog.records[0].levelname == "WARNING"
