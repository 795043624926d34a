"""A store that examines itself finds nothing where nothing is wrong, and each planted fault."""

import asyncio
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import AlreadyOwnedError, DatabaseDamagedError, StartRefusedError
from cidx_jobs.model.ids import ProjectId, UserId, make_lone_copy_id
from cidx_jobs.model.job.job import CheckpointInfo
from cidx_jobs.model.job.lifecycle import record_progress
from cidx_jobs.model.listing import Change
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.doctor import MAX_FINDINGS, examine_directory
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.stored import (
    NOON,
    cancelled,
    failed,
    store,
    store_completed,
    store_running,
    submitted,
)


async def fill(jobs: JobStore) -> None:
    """Store jobs of every status, one of them with a checkpoint and later progress."""
    await store_completed(jobs)
    await store(jobs, failed(await store_running(jobs, user_id="bob")))
    await store(jobs, cancelled(await store(jobs, submitted())))
    await store(jobs, submitted())
    job = await store_running(jobs)
    info = CheckpointInfo(phase="reading", saved_at=NOON)
    saved = record_progress(job, NOON, checkpoint=info, progress=7)
    await jobs.save_checkpoint(Change(job=saved, base_version=job.version), ["a"])
    await jobs.save_progress([record_progress(saved, NOON, progress=9)])


async def test_nothing_is_found_where_nothing_is_wrong(persistence: Persistence) -> None:
    """Jobs of every status, progress, a checkpoint, and deletions agree with their log."""
    await fill(persistence.jobs)

    assert list(await persistence.examine()) == []
    assert list(await persistence.examine(deep=True)) == []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory that was served for a while, to be copied."""
    path = tmp_path_factory.mktemp("served") / "data"
    asyncio.run(make(DataDirectory(path)))
    return path


@pytest.fixture
def directory(served: Path, tmp_path: Path) -> DataDirectory:
    """Return a data directory with jobs, whose server has stopped."""
    return DataDirectory(shutil.copytree(served, tmp_path / "data"))


async def make(directory: DataDirectory) -> None:
    """Serve the directory until it holds some jobs."""
    jobs = JobPersistence(directory, clock=SystemClock())
    await jobs.open()
    await fill(jobs.jobs)
    await jobs.close()


def change(directory: DataDirectory, *statements: str) -> None:
    """Plant a fault behind the store's back."""
    with closing(sqlite3.connect(directory.database, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# What is planted, and of which kind the findings are.
FAULTS = {
    "a status that was never logged": (
        "UPDATE jobs SET status = 'queued' WHERE status = 'running'",
        "log",
    ),
    "a final row that moved on without a row": (
        "UPDATE jobs SET version = version + 1 WHERE status = 'completed'",
        "log",
    ),
    "a run that was never logged": (
        "UPDATE jobs SET run = run + 1 WHERE status = 'running'",
        "log",
    ),
    "an attempt that was never logged": (
        "UPDATE jobs SET attempt = attempt + 1 WHERE status = 'failed'",
        "log",
    ),
    "a lost row of the log": ("DELETE FROM log WHERE event = 'start'", "log"),
    "a lost log": ("DELETE FROM log", "log"),
    "an edge that there is not": (
        "UPDATE log SET event = 'complete' WHERE event = 'start'",
        "log",
    ),
    "a row of an edge from elsewhere": (
        "UPDATE log SET from_status = 'running' WHERE event = 'start'",
        "log",
    ),
    "a log of no job": (
        "DELETE FROM jobs WHERE status = 'queued'",
        "log",
    ),
    "a wrong count": ("UPDATE finals SET jobs = jobs + 1", "counts"),
    "a missing count": ("DELETE FROM finals", "counts"),
    "rows of the log that their user does not find": ("DELETE FROM log_users", "counts"),
    "a lost checkpoint": ("DELETE FROM checkpoints", "checkpoints"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_planted_fault_is_found(directory: DataDirectory, name: str) -> None:
    """Whatever does not fit together is told, under its kind and no other."""
    statement, kind = FAULTS[name]
    change(directory, statement)

    found = examine_directory(directory).findings

    assert {finding.kind for finding in found} == {kind}
    assert all(finding.message for finding in found)


def test_a_damaged_index_is_found_when_it_is_looked_at_deeply(directory: DataDirectory) -> None:
    """An index that does not fit its table is what a deep examination is for."""
    with closing(sqlite3.connect(directory.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        find = "SELECT * FROM sqlite_schema WHERE name = 'jobs_expiry'"
        hidden = connection.execute(find).fetchone()
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'jobs_expiry'")
    change(directory, "UPDATE jobs SET finished_at = finished_at + 1")
    with closing(sqlite3.connect(directory.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", hidden)

    found = examine_directory(directory, deep=True).findings

    assert {finding.kind for finding in found} == {"database"}


def test_a_directory_of_no_project_is_found(directory: DataDirectory) -> None:
    """Once it was left alone for days; that of a project is no finding, nor one of a new sync."""
    projects = directory.projects
    long_ago = time.time() - 4 * 86_400.0
    for name in ("shared", make_lone_copy_id(UserId("bob"), ProjectId("code")), "0123", "fresh"):
        (projects / name).mkdir(parents=True)
        if name != "fresh":
            os.utime(projects / name, (long_ago, long_ago))
    row = "INSERT INTO projects (user_id, project_id, copy_id) VALUES"
    change(directory, f"{row} ('alice', 'code', 'shared'), ('bob', 'code', NULL)")

    found = examine_directory(directory).findings

    assert [(finding.kind, "0123" in finding.message) for finding in found] == [("files", True)]


def test_the_findings_are_bounded(directory: DataDirectory) -> None:
    """A log that is wrong from end to end fills no screen for ever."""
    rows = ", ".join(
        f"({-n}, 1, {1_000 + n}, 'complete', 'queued', 'queued', 0, 0, 0, NULL, NULL)"
        for n in range(1, 300)
    )
    change(directory, f"INSERT INTO log VALUES {rows}")  # noqa: S608 - numbers

    assert len(examine_directory(directory).findings) == MAX_FINDINGS


async def test_a_directory_in_use_is_not_examined_from_outside(tmp_path: Path) -> None:
    """Its server is the one to ask."""
    directory = DataDirectory(tmp_path / "data")
    jobs = JobPersistence(directory, clock=SystemClock())
    await jobs.open()

    with pytest.raises(AlreadyOwnedError):
        await asyncio.to_thread(examine_directory, directory)

    await jobs.close()


def test_what_is_not_there_or_damaged_is_refused(tmp_path: Path, directory: DataDirectory) -> None:
    """No directory is made, and nothing is concluded from a file that is cut."""
    with pytest.raises(StartRefusedError):
        examine_directory(DataDirectory(tmp_path / "nothing"))
    directory.database.write_bytes(directory.database.read_bytes()[:5000])
    with pytest.raises(DatabaseDamagedError):
        examine_directory(directory)

    assert not (tmp_path / "nothing").exists()


def test_a_disk_that_fails_the_reader_is_told_as_such(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one without room for what a reader of the log writes; the directory is let go."""

    def fail(*_: object, **_options: object) -> None:
        message = "disk I/O error"
        raise sqlite3.OperationalError(message)

    with monkeypatch.context() as broken:
        broken.setattr("cidx_jobs.store.sqlite.doctor.examine", fail)
        with pytest.raises(StartRefusedError, match="cannot be read: disk I/O error"):
            examine_directory(directory)

    assert examine_directory(directory).findings == ()
