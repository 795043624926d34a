"""Backups: how they are made, named, kept and dropped, when they are due, and how they restore."""

import asyncio
import hashlib
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.engine.upkeep.backups import OVERDUE, Backups
from cidx_jobs.model.admin.backup import Backup, BackupKind
from cidx_jobs.model.errors import (
    AlreadyOwnedError,
    BackupFailedError,
    DatabaseDamagedError,
    SchemaTooNewError,
    StartRefusedError,
    StorageFullError,
)
from cidx_jobs.settings import BACKUP_DRAFT_SUFFIX, DataDirectory
from cidx_jobs.store.memory.persistence import MemoryBackups
from cidx_jobs.store.sqlite.backups import copy
from cidx_jobs.store.sqlite.backups.files import make_name, read_name
from cidx_jobs.store.sqlite.backups.store import SqliteBackups
from cidx_jobs.store.sqlite.persistence import JobPersistence
from cidx_jobs.store.sqlite.restore import Restored, restore
from cidx_jobs.testing.clock import START
from cidx_jobs.web.server_files import ensure_admin_token
from tests.fakes import WAIT_SECONDS, FakeClock, logged
from tests.stored import store_completed

# Most write a database to the disk, and copy it.
pytestmark = pytest.mark.slow

DAY = 86_400.0
NO_DIGEST = "0" * 64


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    """Return a data directory that is not there yet."""
    return DataDirectory(tmp_path / "data")


def persistence(directory: DataDirectory) -> JobPersistence:
    """Make the store of a directory."""
    return JobPersistence(directory, clock=SystemClock())


async def backed_up(directory: DataDirectory, *, jobs: int = 3) -> Backup:
    """Return a backup of a store with some jobs, made while it is open."""
    store = persistence(directory)
    await store.open()
    try:
        for number in range(jobs):
            labels = {"long": "x" * 2_000}
            await store_completed(store.jobs, project_id=f"p{number}", labels=labels)
        made = await store.backups.make_backup(BackupKind.MANUAL)
        await store_completed(store.jobs, project_id="later")
    finally:
        await store.close()
    return made


def count_jobs(database: Path) -> int:
    """Return how many jobs a database holds."""
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
    found: int = count
    return found


def content_of(file: Path) -> bytes:
    """Return all of a file."""
    return file.read_bytes()


def mode_of(path: Path) -> int:
    """Return who may do what with a file or a folder."""
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def restored(
    file: Path | str, directory: DataDirectory, *, replace: bool = False
) -> Restored:
    """Restore a backup as the command does."""
    return await asyncio.to_thread(restore, Path(file), directory, replace=replace, now=START)


# --- made ------------------------------------------------------------------------------------


async def test_a_backup_is_one_file_that_says_what_it_is(directory: DataDirectory) -> None:
    """Its digest and size are told and true, it is its owner's alone, and no draft is left."""
    made = await backed_up(directory)

    file = Path(made.file)
    assert names_in(directory.backups) == [file.name]
    content = content_of(file)
    assert (made.sha256, made.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert read_name(file.name) == (made.at, BackupKind.MANUAL, made.sha256)
    assert count_jobs(file) == 3
    assert made.sequence > 0
    assert (mode_of(file), mode_of(directory.backups)) == (0o600, 0o700)


async def test_backups_are_listed_newest_first_without_what_is_none(
    directory: DataDirectory,
) -> None:
    """A file of another name, or one that was hurt, is no backup."""
    first = await backed_up(directory)
    second = await backed_up(directory)
    (directory.backups / "notes.txt").write_text("mine")
    (directory.backups / make_name(START, BackupKind.MANUAL, NO_DIGEST)).write_text("hurt")
    (directory.backups / f"jobs-20260231T000000.000000Z-manual-{NO_DIGEST}.db").touch()

    found = await SqliteBackups(directory, SystemClock()).list_backups()

    assert found == [second, first]
    assert (
        await SqliteBackups(DataDirectory(directory.root / "none"), FakeClock()).list_backups()
        == []
    )


async def test_without_room_nothing_is_made(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes jobs goes first: a backup that would not fit is not begun."""
    monkeypatch.setattr(copy, "_ROOM_BYTES", 2**62)

    with pytest.raises(StorageFullError):
        await backed_up(directory)

    assert names_in(directory.backups) == []


async def test_a_copy_that_is_damaged_is_thrown_away(directory: DataDirectory) -> None:
    """What SQLite finds in it is told; the backups before it stay as they are."""
    made = await backed_up(directory)
    with closing(sqlite3.connect(directory.database)) as connection:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'jobs_expiry'"
        ).fetchone()
    with directory.database.open("r+b") as file:
        file.seek((root - 1) * page_bytes + 3)
        file.write(b"\xff" * 8)

    with pytest.raises(BackupFailedError, match="copy of the database is damaged"):
        await asyncio.to_thread(copy.make_backup, directory, BackupKind.MANUAL, START)

    assert names_in(directory.backups) == [Path(made.file).name]


async def test_a_first_backup_is_on_the_disk_with_its_folder(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, its name, and the name of the folder that was made for it are flushed."""
    flushed: list[int] = []
    flush = os.fsync

    def note(descriptor: int) -> None:
        flush(descriptor)
        flushed.append(os.fstat(descriptor).st_ino)

    await backed_up(directory)
    shutil.rmtree(directory.backups)
    monkeypatch.setattr(os, "fsync", note)

    made = await asyncio.to_thread(copy.make_backup, directory, BackupKind.MANUAL, START)

    paths = (Path(made.file), directory.backups, directory.root)
    assert flushed == [path.stat().st_ino for path in paths]


async def test_a_database_that_cannot_be_read_is_no_backup(directory: DataDirectory) -> None:
    """Nor is a folder that cannot be written; each says so in a line."""
    await backed_up(directory)
    directory.database.write_bytes(b"no database" * 1_000)

    with pytest.raises(BackupFailedError, match="could not be copied"):
        await asyncio.to_thread(copy.make_backup, directory, BackupKind.MANUAL, START)
    shutil.rmtree(directory.backups)
    directory.backups.write_text("in the way")
    with pytest.raises(BackupFailedError, match="could not be written"):
        await asyncio.to_thread(copy.make_backup, directory, BackupKind.MANUAL, START)


async def test_a_draft_that_a_killed_server_left_is_swept(directory: DataDirectory) -> None:
    """It never became a backup; backups stay."""
    made = await backed_up(directory)
    (directory.backups / f"20260101-1{BACKUP_DRAFT_SUFFIX}").write_bytes(b"half")

    store = persistence(directory)
    await store.open()
    swept = await store.sweep()
    await store.close()

    assert swept == 1
    assert names_in(directory.backups) == [Path(made.file).name]


# --- dropped ---------------------------------------------------------------------------------


async def test_automatic_backups_go_by_number_and_others_by_age(
    directory: DataDirectory,
) -> None:
    """The newest of all stays, whatever it is."""
    directory.backups.mkdir(parents=True)
    made = {
        day: (directory.backups / make_name(START - timedelta(days=day), kind, NO_DIGEST))
        for day, kind in [
            (0, BackupKind.MANUAL),
            (1, BackupKind.AUTOMATIC),
            (2, BackupKind.AUTOMATIC),
            (3, BackupKind.AUTOMATIC),
            (29, BackupKind.MANUAL),
            (31, BackupKind.MANUAL),
            (32, BackupKind.MIGRATION),
        ]
    }
    for path in made.values():
        path.touch()
    store = SqliteBackups(directory, FakeClock())

    dropped = await store.drop_backups(keep_automatic=2, others_before=START - timedelta(days=30))
    await store.drop_backups(keep_automatic=1, others_before=START + timedelta(days=1))

    assert dropped == 3
    assert names_in(directory.backups) == [made[1].name, made[0].name]


# --- due -------------------------------------------------------------------------------------


class MadeUpBackups(MemoryBackups):
    """Makes backups that are no files, or fails."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin without one, in a store that is new."""
        self.clock = clock
        self.made: list[Backup] = []
        self.birth = clock.now()
        self.fault: Exception | None = None
        self.was_asked = asyncio.Event()

    async def make_backup(self, kind: BackupKind) -> Backup:
        """Make one."""
        self.was_asked.set()
        if self.fault is not None:
            raise self.fault
        made = Backup(
            file="f",
            kind=kind,
            at=self.clock.now(),
            bytes=1,
            sha256="",
            sequence=1,
            database_id="",
        )
        self.made.insert(0, made)
        return made

    async def list_backups(self) -> list[Backup]:
        """Return those that were made."""
        return self.made

    async def find_birth(self) -> object:  # type: ignore[override]
        """Return when the clock began."""
        return self.birth


async def test_a_backup_is_due_by_the_age_of_the_newest() -> None:
    """A start changes nothing of that; without one the age of the database counts."""
    clock = FakeClock()
    store = MadeUpBackups(clock)
    backups = Backups(store, clock, interval_seconds=0.01, keep=7)
    clock.advance(1)

    await backups.start()
    async with asyncio.timeout(WAIT_SECONDS):
        await store.was_asked.wait()
    await backups.stop()

    assert [one.kind for one in store.made] == [BackupKind.AUTOMATIC]
    assert backups.newest == clock.now()


@pytest.mark.parametrize("interval", [0.0, DAY])
async def test_what_is_not_due_is_not_made(interval: float) -> None:
    """With 0 it never is."""
    clock = FakeClock()
    store = MadeUpBackups(clock)
    backups = Backups(store, clock, interval_seconds=interval, keep=7)

    await backups.start()
    await asyncio.sleep(0)
    await backups.look()
    await backups.stop()

    assert store.made == []
    assert backups.find_warning() is None


async def test_a_backup_that_was_not_made_in_time_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An hour late; a failure is logged and counted, a success takes the warning back."""
    clock = FakeClock()
    store = MadeUpBackups(clock)
    backups = Backups(store, clock, interval_seconds=DAY, keep=7)
    await backups.look()
    clock.advance(DAY + 3_599)
    before = backups.find_warning()
    clock.advance(2)
    store.fault = StorageFullError()

    overdue = backups.find_warning()
    with pytest.raises(StorageFullError):
        await backups.make()
    store.fault = None
    await backups.make()

    assert before is None
    assert overdue is not None
    assert overdue.code == OVERDUE
    assert backups.find_warning() is None
    assert backups.failures == 1
    assert [name for name in logged(caplog) if name.startswith("backup")] == [
        "backup_failed",
        "backup_made",
    ]


async def test_a_backup_that_failed_is_tried_again() -> None:
    """Not at once: a full disk is not filled by trying."""
    clock = FakeClock()
    store = MadeUpBackups(clock)
    store.fault = BackupFailedError("made up")
    backups = Backups(store, clock, interval_seconds=0.01, keep=7)
    clock.advance(1)

    await backups.start()
    async with asyncio.timeout(WAIT_SECONDS):
        await store.was_asked.wait()
    store.fault, failures = None, backups.failures
    store.was_asked.clear()
    clock.advance(1)
    async with asyncio.timeout(WAIT_SECONDS):
        await store.was_asked.wait()
    await backups.stop()

    assert failures == 1
    assert len(store.made) == 1


async def test_a_clock_that_was_set_back_puts_off_no_backup() -> None:
    """A backup from the future counts as one of now."""
    clock = FakeClock()
    store = MadeUpBackups(clock)
    backups = Backups(store, clock, interval_seconds=DAY, keep=7)
    await backups.make()
    clock.step_wall_clock(-100 * DAY)

    clock.advance(2 * DAY)

    assert backups.find_warning() is None  # it is due two days on, and looked at each minute


# --- restored --------------------------------------------------------------------------------


async def test_a_backup_restores_into_an_empty_directory(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """All that was committed before it is there, nothing after; it has a new id, and fits."""
    made = await backed_up(directory)
    other = DataDirectory(tmp_path / "other")

    done = await restored(made.file, other)

    assert (done.database_id, done.sequence) == (made.database_id, made.sequence)
    assert done.replaced is None
    assert names_in(other.root) == ["jobs.db", "owner.lock"]
    assert count_jobs(other.database) == 3
    store = persistence(other)
    identity = await store.open()
    found = await store.examine(deep=True)
    await store.close()
    assert identity.uuid != made.database_id
    assert found == ()


async def test_a_restore_in_place_keeps_what_was_there(directory: DataDirectory) -> None:
    """The database and its mark lie beside the restored one, which has another id."""
    made = await backed_up(directory)

    done = await restored(made.file, directory, replace=True)

    assert done.replaced is not None
    assert count_jobs(done.replaced) == 4
    store = persistence(directory)
    identity = await store.open()
    await store.close()
    assert identity.uuid != made.database_id
    assert count_jobs(directory.database) == 3


async def test_a_restore_leaves_the_token_of_local_commands_only_where_it_is_good(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """One of another database opens nothing: the next start makes a new one in its place."""
    store = persistence(directory)
    await store.open()
    await ensure_admin_token(directory, store.tokens, SystemClock())
    made = await store.backups.make_backup(BackupKind.MANUAL)
    await store.close()
    token = content_of(directory.admin_token)
    other = DataDirectory(tmp_path / "other")
    other.root.mkdir()
    other.admin_token.write_text("cidxj_of_another\n", encoding="utf-8")

    await restored(made.file, directory, replace=True)
    await restored(made.file, other, replace=True)

    assert content_of(directory.admin_token) == token
    assert not other.admin_token.exists()


async def test_a_database_older_than_its_mark_is_accepted_by_a_restore_alone(
    directory: DataDirectory,
) -> None:
    """A start names the command, which takes the very file, or a backup."""
    made = await backed_up(directory)
    shutil.copy(made.file, directory.database)

    with pytest.raises(DatabaseDamagedError, match="cidx-jobs restore FILE"):
        await persistence(directory).open()
    await restored(directory.database, directory, replace=True)

    store = persistence(directory)
    await store.open()
    await store.close()
    assert count_jobs(directory.database) == 3


async def test_a_hurt_file_is_refused_and_nothing_is_made(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """Cut, with one byte changed, without its end, empty, no database, not there, of no jobs."""
    made = Path((await backed_up(directory)).file)
    content = content_of(made)
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    hurt = {
        tmp_path / "cut.db": content[:middle],
        tmp_path / "short.db": content[:-4_096],
        tmp_path / "empty.db": b"",
        tmp_path / "text.db": b"x" * 8_192,
        tmp_path / made.name: flipped,
    }
    for path, data in hurt.items():
        path.write_bytes(data)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE x (y)")
    other = DataDirectory(tmp_path / "other")

    for path in [*hurt, tmp_path / "other.db", tmp_path / "none.db"]:
        with pytest.raises(StartRefusedError):
            await restored(path, other)

    assert not other.root.exists()


async def test_a_backup_with_damaged_pages_is_refused_whatever_its_name(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """SQLite's own check of the whole file finds it."""
    made = Path((await backed_up(directory)).file)
    content = bytearray(content_of(made))
    content[3 * 4_096 : 3 * 4_096 + 64] = b"\xff" * 64
    hurt = tmp_path / "renamed.db"
    hurt.write_bytes(content)

    with pytest.raises(DatabaseDamagedError):
        await restored(hurt, DataDirectory(tmp_path / "other"))


async def test_a_backup_of_a_newer_version_is_refused(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """It says to upgrade, as a start does."""
    made = tmp_path / "renamed.db"
    shutil.copy((await backed_up(directory)).file, made)
    with closing(sqlite3.connect(made)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES (9999, 'later', '', 0)")

    with pytest.raises(SchemaTooNewError):
        await restored(made, DataDirectory(tmp_path / "other"))


async def test_a_directory_that_is_in_use_is_not_restored_into(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """Not without --replace where there is anything, and never where a server runs."""
    made = await backed_up(directory)
    store = persistence(directory)
    await store.open()
    full = DataDirectory(tmp_path / "full")
    full.root.mkdir()
    (full.root / "notes.txt").touch()

    with pytest.raises(StartRefusedError, match="not empty"):
        await restored(made.file, full)
    with pytest.raises(AlreadyOwnedError):
        await restored(made.file, directory, replace=True)
    with pytest.raises(StartRefusedError, match="database in use"):
        await restored(directory.database, DataDirectory(tmp_path / "other"))
    await store.close()

    assert names_in(full.root) == ["notes.txt"]
    assert count_jobs(directory.database) == 4


async def test_a_restore_that_fails_leaves_the_directory_as_it_was(
    directory: DataDirectory, tmp_path: Path
) -> None:
    """The backup cannot be read to its end, or the directory cannot be made."""
    made = await backed_up(directory)
    blocked = tmp_path / "file"
    blocked.touch()

    with pytest.raises(StartRefusedError):
        await restored(made.file, DataDirectory(blocked / "data"))
    with pytest.raises(StartRefusedError):
        await restored(made.file, DataDirectory(blocked))

    assert blocked.read_bytes() == b""


async def test_a_store_in_memory_has_no_backups() -> None:
    """Who asks for one is told why."""
    store = MemoryBackups()

    with pytest.raises(BackupFailedError, match="in memory"):
        await store.make_backup(BackupKind.MANUAL)

    assert await store.list_backups() == ()
    assert await store.drop_backups(keep_automatic=1, others_before=START) == 0
    assert await store.find_birth() is None


async def test_a_database_that_is_gone_has_no_age(directory: DataDirectory) -> None:
    """One that is there tells when it was made."""
    await backed_up(directory, jobs=0)
    store = SqliteBackups(directory, SystemClock())

    assert await store.find_birth() is not None
    directory.database.unlink()
    assert await store.find_birth() is None
