"""Upgrades: a database of an older version is backed up and brought up to date, and goes on."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import JobContext, JobSystem, JobType, Settings
from cidx_jobs.model.admin.backup import BackupKind
from cidx_jobs.model.errors import StartRefusedError
from cidx_jobs.runtime.log import LogEvent
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.backups import copy
from cidx_jobs.store.sqlite.open.compact import compact
from cidx_jobs.store.sqlite.open.migrations import (
    apply_migrations,
    load_migrations,
    split_statements,
)
from cidx_jobs.store.sqlite.restore import restore
from cidx_jobs.web.preflight import check_start
from tests.fakes import WAIT_SECONDS

FIXTURE = Path(__file__).parents[1] / "data" / "database_of_schema_5.sql"
"""What version 0.1.0 left that was stopped in November 2026: two jobs completed, one failed, one
interrupted behind a checkpoint, two held; and a token."""
OLDEST = 5
MIGRATIONS = load_migrations()

# Each writes a database to the disk.
pytestmark = pytest.mark.slow


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    """Return a data directory of version 0.1.0."""
    made = DataDirectory(tmp_path / "data")
    made.root.mkdir(mode=0o700)
    with closing(sqlite3.connect(made.database)) as connection:
        connection.executescript(FIXTURE.read_text("utf-8"))
    return made


async def slow(context: JobContext) -> dict[str, Any]:
    """End at once, with what the older version had saved."""
    return {"from": context.checkpoint}


async def quick(_: JobContext) -> dict[str, Any]:
    """Do nothing."""
    return {}


def opened(directory: DataDirectory) -> Any:
    """Open a system of this version in the directory."""
    types = [JobType("slow", slow), JobType("quick", quick), JobType("broken", quick)]
    return JobSystem.open(Settings(data_dir=directory.root), types)


def bring_to(directory: DataDirectory, last: int) -> None:
    """Apply the steps up to a number, as a start that is killed then does."""
    with closing(sqlite3.connect(directory.database, isolation_level=None)) as connection:
        apply_migrations(connection, MIGRATIONS[:last], 0)


def query(database: Path, sql: str) -> Sequence[Any]:
    """Return the rows of a query."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


async def test_a_check_says_what_a_start_would_do(directory: DataDirectory) -> None:
    """The steps by name, and nothing is done; nothing is said of a database of this version."""
    before = directory.database.read_bytes()

    told = await check_start(Settings(data_dir=directory.root, port=0))
    after = directory.database.read_bytes()
    async with opened(directory):
        pass
    later = await check_start(Settings(data_dir=directory.root, port=0))

    (pending,) = [warning for warning in told if warning.code == "upgrade_pending"]
    newest = MIGRATIONS[-1]
    assert f"by {newest.number - OLDEST} steps (0006 " in pending.message
    assert f"{newest.number:04} {newest.name})" in pending.message
    assert after == before
    assert "upgrade_pending" not in {warning.code for warning in later}


async def test_an_older_database_goes_on(directory: DataDirectory) -> None:
    """Nothing is lost, an interrupted job goes on from its checkpoint, and everything fits."""
    before = query(directory.database, "SELECT job_id, status FROM jobs WHERE finished_at > 0")

    async with opened(directory) as jobs:
        (waiting,) = [one for one in await jobs.list("alice") if one.job_type == "slow"]
        ended = await jobs.wait(waiting.job_id, timeout=WAIT_SECONDS)
        kept = [(one.job_id, one.status.value) for one in await jobs.list()]
        held = [one for one in await jobs.list("bob") if one.hold]
        released = await jobs.release(held[0].job_id)
        done = await jobs.wait(released.job_id, timeout=WAIT_SECONDS)
        tokens = await jobs.persistence.tokens.list_tokens()
        findings = await jobs.examine(deep=True)

    assert ended.result == {"from": {"at": 3}}
    assert set(before) <= set(kept)
    assert len(held) == 2
    assert done.status == "completed"
    assert [token.label for token in tokens] == ["laptop"]
    assert findings == []


async def test_a_backup_comes_before_the_first_step(directory: DataDirectory) -> None:
    """It holds the older schema, and restores to where the upgrade began."""
    async with opened(directory) as jobs:
        (made,) = await jobs.backups.list()
    again = DataDirectory(directory.root.with_name("again"))
    await asyncio.to_thread(restore, Path(made.file), again, replace=False, now=datetime.now(UTC))

    numbers = await asyncio.to_thread(query, again.database, "SELECT max(number) FROM migrations")

    assert made.kind is BackupKind.MIGRATION
    assert numbers == [(OLDEST,)]
    async with opened(again) as jobs:
        assert len(await jobs.list()) == 6


async def test_an_older_backup_is_brought_up_to_date_to_be_held(directory: DataDirectory) -> None:
    """What was interrupted waits as held, too; the backup itself is as it was."""
    async with opened(directory) as jobs:
        (made,) = await jobs.backups.list()
    again = DataDirectory(directory.root.with_name("again"))
    done = await asyncio.to_thread(
        restore, Path(made.file), again, replace=False, now=datetime.now(UTC), hold=True
    )

    async with opened(again) as jobs:
        waiting = [job for job in await jobs.list() if not job.done]
        findings = await jobs.examine()

    numbers = await asyncio.to_thread(query, Path(made.file), "SELECT max(number) FROM migrations")
    assert done.held == 3
    assert [(job.status, job.hold) for job in waiting] == [("created", True)] * 3
    assert (list(findings), numbers) == ([], [(OLDEST,)])


async def test_without_a_backup_there_is_no_upgrade(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start says so, and the database is as it was."""
    monkeypatch.setattr(copy, "_ROOM_BYTES", 2**62)

    with pytest.raises(StartRefusedError, match="cannot be backed up"):
        async with opened(directory):
            pass

    numbers = await asyncio.to_thread(
        query, directory.database, "SELECT max(number) FROM migrations"
    )
    assert numbers == [(OLDEST,)]


@pytest.mark.parametrize("last", range(OLDEST, len(MIGRATIONS)))
async def test_an_upgrade_that_was_cut_off_goes_on(directory: DataDirectory, last: int) -> None:
    """Behind each step."""
    await asyncio.to_thread(bring_to, directory, last)

    async with opened(directory) as jobs:
        assert len(await jobs.list()) == 6
        assert await jobs.examine() == []


FILL_LOG = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 41000)
INSERT INTO events (
    job_id, version, user_id, event, from_status, to_status, at, attempt, run, reason
)
SELECT job_id, 1000 + n, user_id, 'revise', 'queued', 'queued', n, 1, 1, 'row ' || n
FROM numbers, (SELECT job_id, user_id FROM jobs WHERE finished_at IS NULL LIMIT 1)
"""
"""A long log of a job that waits."""
READ_LOG = "SELECT * FROM events ORDER BY seq"


def copy_a_part(directory: DataDirectory) -> Sequence[Any]:
    """Fill the log, and copy its first part, as a start that is killed then does; return it."""
    before = [step.name for step in MIGRATIONS].index("log_copied")
    bring_to(directory, before)
    with closing(sqlite3.connect(directory.database, isolation_level=None)) as connection:
        connection.execute(FILL_LOG)
        rows = connection.execute(READ_LOG).fetchall()
        connection.execute("UPDATE owner SET sequence = ?", (rows[-1][0],))
        connection.execute(next(split_statements(MIGRATIONS[before].sql)))
        (copied,) = connection.execute("SELECT count(*) FROM log").fetchone()
    assert 0 < copied < len(rows)
    return rows


async def test_a_long_log_is_copied_in_steps(
    directory: DataDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    """An upgrade that was cut off goes on where it was, says how far it is, and loses no row."""
    caplog.set_level("INFO", "cidx_jobs")
    rows = await asyncio.to_thread(copy_a_part, directory)

    async with opened(directory) as jobs:
        assert await jobs.persistence.jobs.load_oldest_sequence() == 1

    kept = await asyncio.to_thread(query, directory.database, READ_LOG)
    lines = [record.msg for record in caplog.records if isinstance(record.msg, LogEvent)]
    told = [line.fields for line in lines if line.name == "migration_went_on"]
    steps = [fields["rows"] for fields in told if isinstance(fields, Mapping)]
    assert kept[: len(rows)] == rows
    assert len(steps) > 1
    assert steps == sorted(steps)


async def test_an_upgraded_database_gives_pages_back(directory: DataDirectory) -> None:
    """A small one is written anew on the way; a start with nothing to do leaves it alone."""
    before = query(directory.database, "PRAGMA auto_vacuum")
    async with opened(directory):
        pass

    after = query(directory.database, "PRAGMA auto_vacuum")

    assert (before, after) == ([(0,)], [(2,)])


def test_a_compacted_database_is_smaller_and_gives_pages_back(directory: DataDirectory) -> None:
    """One that kept the pages of what was deleted; all that is left is in it."""
    with closing(sqlite3.connect(directory.database)) as connection, connection:
        connection.execute("CREATE TABLE large AS SELECT zeroblob(4000000) AS x")
        connection.execute("DROP TABLE large")
    jobs = query(directory.database, "SELECT * FROM jobs")

    done = compact(directory)

    assert done.bytes_before > 4_000_000 > done.bytes_after
    assert directory.database.stat().st_size == done.bytes_after
    assert query(directory.database, "PRAGMA auto_vacuum") == [(2,)]
    assert query(directory.database, "SELECT * FROM jobs") == jobs
    assert not directory.high_water_mark.exists()


def test_what_is_no_database_is_not_compacted(tmp_path: Path) -> None:
    """It says that there is none."""
    with pytest.raises(StartRefusedError, match="there is no database"):
        compact(DataDirectory(tmp_path / "none"))
