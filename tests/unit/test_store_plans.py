"""The plans of statements that must not grow with the number of stored jobs.

A partial index is easily missed by a condition that only looks like its own (performance.md), so
every hot statement's plan is held here, over a database in which a scan would be noticed.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.store.sqlite import tokens
from cidx_jobs.store.sqlite.commit import fence
from cidx_jobs.store.sqlite.jobs import checkpoints, expiry, keys, lists, log, writes
from cidx_jobs.store.sqlite.jobs.columns import PROGRESS
from cidx_jobs.store.sqlite.open.migrations import apply_migrations, load_migrations

PARAMETERS: dict[str, Any] = {
    "user_id": "alice",
    "job_type": "sync",
    "status": "queued",
    "statuses": '["queued"]',
    "job_id": "x",
    "after": 0,
    "bound": 1,
    "limit": 1,
    "offset": 0,
    "counted": 1,
    "project_id": None,
    "schedule": None,
    "labels": None,
    "created_after": None,
    "created_before": None,
    "has_payload": 1,
    "before": 1,
}
EXPIRED = (
    "SEARCH jobs USING INDEX jobs_expiry "
    "(job_type=? AND status=? AND <expr>=? AND finished_at>? AND finished_at<?)"
)
"""Of one type and status, with a payload or without: what is older, and sorted by nobody."""
JOB_OF_ROW = "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    """Give a database with the schema, and without statistics, as the server has it."""
    opened = sqlite3.connect(":memory:", isolation_level=None)
    apply_migrations(opened, load_migrations(), 0)
    yield opened
    opened.close()


def plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    """Explain a statement."""
    count = statement.count("?")
    parameters: Any = ("x",) * count if count else PARAMETERS
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return [row[3] for row in rows]


RANGES = {
    "live": (lists.LIVE, "jobs_live (status=?"),
    "live of user": (lists.LIVE_OF_USER, "jobs_live (status=? AND user_id=?"),
    "final": (lists.FINAL, "jobs_final (job_type=? AND status=?"),
    "final of user": (
        lists.FINAL_OF_USER,
        "jobs_final_of_user (user_id=? AND job_type=? AND status=?",
    ),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("kind", ["newest", "oldest", "newest_filtered", "oldest_filtered"])
def test_a_range_is_searched_by_its_index(
    connection: sqlite3.Connection, name: str, kind: str
) -> None:
    """Each range begins at its own place in its index, whatever else is asked."""
    statements, index = RANGES[name]

    first, *rest = plan(connection, getattr(statements, kind))

    assert first.startswith("SEARCH jobs USING")
    assert index in first
    if name.startswith("final"):
        # The index ends with the row: in order, with no sorting, from the cursor's row on.
        assert not any("TEMP B-TREE" in step for step in rest)
        assert "rowid" in first


@pytest.mark.parametrize("name", RANGES)
def test_counting_searches_too(connection: sqlite3.Connection, name: str) -> None:
    """A bounded count reads its range and nothing else."""
    statements, index = RANGES[name]

    steps = plan(connection, statements.count)

    assert any(step.startswith("SEARCH jobs USING") and index in step for step in steps)
    assert not any(step.startswith("SCAN jobs") for step in steps)


@pytest.mark.parametrize(
    "statement",
    [
        *(
            one
            for statements, _ in RANGES.values()
            for one in (statements.newest, statements.oldest)
        ),
        lists._COUNT_LIVE,
        lists._COUNT_LIVE_OF_USER,
    ],
)
def test_without_filters_the_table_is_never_read(
    connection: sqlite3.Connection, statement: str
) -> None:
    """What is asked for is in the index: no column comes from the cursor on the table."""
    program = connection.execute(f"EXPLAIN {statement}", PARAMETERS).fetchall()
    table = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'")
    root = table.fetchone()[0]
    cursors = {p1 for _, code, p1, p2, *_ in program if code == "OpenRead" and p2 == root}
    seeks = {p3 for _, code, _, _, p3, *_ in program if code == "DeferredSeek"}

    read = [p1 for _, code, p1, *_ in program if code in {"Column", "Seek"} and p1 in cursors]

    assert cursors == seeks
    assert read == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (lists.WHOLE.newest, "SEARCH jobs USING INTEGER PRIMARY KEY (rowid<?)"),
        (lists.WHOLE.oldest, "SEARCH jobs USING INTEGER PRIMARY KEY (rowid>?)"),
        (lists._LOAD_JOB, "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (job_id=?)"),
        (lists._LOAD_ROWS, "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"),
        (lists._LOAD_UNFINISHED, "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"),
        (lists._NEXT_TYPE, "SEARCH jobs USING INDEX jobs_final (job_type>?)"),
        (lists._TYPES_OF_USER, "SEARCH finals USING PRIMARY KEY (user_id=?)"),
        (lists._COUNT_FINAL_OF_USER, "SEARCH finals USING PRIMARY KEY (user_id=?)"),
        (
            lists._COUNT_LIVE_OF_USER,
            "SEARCH jobs USING INDEX jobs_live (status=? AND user_id=?)",
        ),
        (lists._COUNT_LIVE, "SEARCH jobs USING INDEX jobs_live (status=?)"),
        (keys.FIND_KEY, "SEARCH idempotency USING PRIMARY KEY (user_id=? AND key=?)"),
        (tokens._FIND, "SEARCH tokens USING INDEX sqlite_autoindex_tokens_2 (digest=?)"),
        (
            checkpoints._LOAD,
            "SEARCH checkpoints USING INDEX sqlite_autoindex_checkpoints_1 (job_id=?)",
        ),
        (
            expiry.FIND_EXPIRED,
            EXPIRED,
        ),
        (
            expiry.COUNT_EXPIRED,
            EXPIRED,
        ),
        (expiry.NEXT_TYPE, "SEARCH jobs USING COVERING INDEX jobs_expiry (job_type>?)"),
        (expiry.REMOVE_PAYLOADS, "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            expiry.DROP_CHECKPOINTS,
            "SEARCH checkpoints USING INDEX sqlite_autoindex_checkpoints_1 (job_id=?)",
        ),
        (
            expiry.LAST_EVENT,
            "SEARCH log USING COVERING INDEX sqlite_autoindex_log_1 (job=?)",
        ),
        (
            expiry.DELETE_EVENTS,
            "SEARCH log USING INDEX sqlite_autoindex_log_1 (job=?)",
        ),
        (expiry.DELETE_BLOCKS, "SEARCH log_users USING COVERING INDEX log_users_age (block<?)"),
        (expiry.DELETE_JOBS, "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            writes.update_statement(PROGRESS),
            "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            writes._UPDATE_PROGRESS,
            "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (job_id=?)",
        ),
        (fence._FIND_RUN, "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (job_id=?)"),
    ],
)
def test_a_statement_finds_its_rows_by_index(
    connection: sqlite3.Connection, statement: str, expected: str
) -> None:
    """The first step of the plan is the search that it was written for."""
    assert plan(connection, statement)[0].startswith(expected)


def test_what_is_unfinished_is_found_by_index_and_sorted_by_nobody(
    connection: sqlite3.Connection,
) -> None:
    """A start takes in whole rows: to sort them would be to write them once more."""
    steps = plan(connection, lists._LOAD_UNFINISHED)

    assert steps[-1] == "SCAN jobs USING INDEX jobs_live"
    assert not [step for step in steps if "TEMP B-TREE" in step]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            EventQuery(),
            ["SEARCH log USING INTEGER PRIMARY KEY (rowid>?)", JOB_OF_ROW],
        ),
        (
            EventQuery(user_id=UserId("a")),
            [
                "SEARCH blocks USING PRIMARY KEY (user_id=? AND block>?)",
                "SEARCH log USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
                JOB_OF_ROW,
            ],
        ),
        (
            EventQuery(job_id=JobId("j"), user_id=UserId("a")),
            [
                "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (job_id=?)",
                "SEARCH log USING INDEX sqlite_autoindex_log_1 (job=?)",
            ],
        ),
    ],
)
def test_events_are_read_in_order_from_their_index(
    connection: sqlite3.Connection, query: EventQuery, expected: list[str]
) -> None:
    """By number, by the blocks of a user, and by job: nothing is sorted, and no table scanned."""
    assert plan(connection, log.events_statement(query)) == expected


def test_expired_keys_are_found_by_age(connection: sqlite3.Connection) -> None:
    """The deletion of old keys reads no young ones."""
    steps = plan(connection, keys._DELETE_OLD)

    assert "SEARCH idempotency USING COVERING INDEX idempotency_age (created_at<?)" in [
        step.strip() for step in steps
    ]
    assert not any(step.startswith("SCAN idempotency") for step in steps)


def test_a_place_is_guarded_for_waiting_and_running_jobs_alone(
    connection: sqlite3.Connection,
) -> None:
    """The two unique indexes hold nothing but places, and there are as many as places."""
    rows = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE sql LIKE 'CREATE UNIQUE INDEX%place%'"
    ).fetchall()

    assert len(rows) == 2


def test_every_status_is_either_live_or_final() -> None:
    """The two kinds of ranges cover all statuses, each once."""
    final = {status for status in JobStatus if status.is_final}

    assert final == {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
