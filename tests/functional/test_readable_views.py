"""The database, as people with a shell read it: views in readable units, and the page on them."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cidx_jobs import Fatal, JobContext, JobSystem, JobType, Settings
from cidx_jobs.store.sqlite.open.migrations import apply_migrations, load_migrations
from tests.fakes import WAIT_SECONDS
from tests.functional.web import quick

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "database.md"
QUERIES = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
TABLES_BEHIND = {"log", "log_users"}
"""Tables that another view shows."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SECRETS = re.compile("secret|digest|hash|generation")


async def fail(_: JobContext) -> None:
    """Fail for good."""
    message = "there is no paper"
    raise Fatal(message, code="NO_PAPER")


@contextlib.contextmanager
def reader(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a database as the page says."""
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    with contextlib.closing(connection):
        yield connection


@pytest.fixture
async def job_id(tmp_path: Path) -> str:
    """Give a job that failed; one of another type is completed."""
    settings = Settings(data_dir=tmp_path / "data")
    types = [JobType("quick", quick), JobType("fail", fail)]
    async with JobSystem.open(settings, types) as jobs:
        done = await jobs.submit("alice", "p", job_type="quick")
        await jobs.wait(done.job_id, timeout=WAIT_SECONDS)
        failed = await jobs.submit("alice", "p", job_type="fail")
        await jobs.wait(failed.job_id, timeout=WAIT_SECONDS)
    return failed.job_id


async def test_a_row_reads_as_words_and_times(tmp_path: Path, job_id: str) -> None:
    """What failed, when and why, without a calculator."""
    with reader(tmp_path / "data" / "jobs.db") as connection:
        row = connection.execute(
            "SELECT * FROM readable_jobs WHERE job_id = ?", (job_id,)
        ).fetchone()
        ends = connection.execute(
            "SELECT event, actor FROM readable_events WHERE job_id = ? ORDER BY seq", (job_id,)
        ).fetchall()

    assert (row["status"], row["held"], row["error_code"]) == ("failed", "no", "NO_PAPER")
    assert all(TIME.fullmatch(row[name]) for name in ("created_at", "started_at", "finished_at"))
    assert 0 <= row["run_seconds"] < WAIT_SECONDS
    assert [tuple(end) for end in ends][:1] == [("submit", "alice")]
    assert [tuple(end) for end in ends][-1:] == [("fail", "server")]


@pytest.mark.parametrize("query", QUERIES)
async def test_each_query_of_the_page_runs(query: str, tmp_path: Path, job_id: str) -> None:
    """On a real database, which nothing else has open."""
    with reader(tmp_path / "data" / "jobs.db") as connection:
        rows = connection.execute(query, {"job_id": job_id}).fetchall()

    assert rows or "sync" in query or "projects" in query


def test_every_table_has_a_view_without_secrets() -> None:
    """Each can be read, is on the page, and shows nothing that opens a door."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        apply_migrations(connection, load_migrations(), 0)
        made = connection.execute("SELECT type, name FROM sqlite_schema").fetchall()
        tables = {name for kind, name in made if kind == "table"} - TABLES_BEHIND
        views = {name for kind, name in made if kind == "view" and name.startswith("readable_")}
        columns = {
            view: [column[1] for column in connection.execute(f"PRAGMA table_info({view})")]
            for view in views
        }

    assert {f"readable_{name}" for name in tables} <= views
    assert [view for view in views if f"`{view}`" not in PAGE.read_text("utf-8")] == []
    assert [name for names in columns.values() for name in names if SECRETS.search(name)] == []
