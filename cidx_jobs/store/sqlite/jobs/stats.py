"""Counts of the stored jobs, and the bytes that the database takes."""

import sqlite3
from collections import Counter
from datetime import datetime
from pathlib import Path

from cidx_jobs.model.listing import JobFigures, StoreStats
from cidx_jobs.store.sqlite.jobs.stored_bytes import load_bytes_of_all
from cidx_jobs.store.sqlite.open.damage_check import wal_of
from cidx_jobs.store.sqlite.open.possession import read_database_id
from cidx_jobs.store.sqlite.values import optional_microseconds

_COUNT_FINAL = "SELECT status, job_type, user_id, jobs FROM finals WHERE jobs > 0"
_COUNT_LIVE = """
SELECT status, job_type, user_id, count(*) FROM jobs INDEXED BY jobs_live
WHERE finished_at IS NULL GROUP BY status, user_id, job_type
"""
_COUNT_CREATED = """
SELECT status, job_type, count(*),
    sum(CASE WHEN status IN ('completed', 'failed') THEN finished_at - started_at END),
    count(CASE WHEN status IN ('completed', 'failed') THEN finished_at - started_at END)
FROM jobs WHERE created_at >= coalesce(?, created_at) AND created_at < coalesce(?, created_at + 1)
GROUP BY status, job_type
"""
_MICROSECONDS = 1_000_000
_LAST_SEQUENCE = "SELECT sequence FROM owner WHERE id = 1"


def collect_stats(connection: sqlite3.Connection, database: Path) -> StoreStats:
    """Count what is stored, as it was at one instant."""
    by_status: Counter[str] = Counter()
    by_type: Counter[str] = Counter()
    by_user: Counter[str] = Counter()
    by_both: Counter[tuple[str, str]] = Counter()
    connection.execute("BEGIN")
    try:
        for statement in (_COUNT_FINAL, _COUNT_LIVE):
            for status, job_type, user_id, jobs in connection.execute(statement):
                by_status[status] += jobs
                by_type[job_type] += jobs
                by_user[user_id] += jobs
                by_both[status, job_type] += jobs
        bytes_by_user = load_bytes_of_all(connection)
        (sequence,) = connection.execute(_LAST_SEQUENCE).fetchone()
        database_id = read_database_id(connection)
        (page_count,) = connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    finally:
        connection.execute("COMMIT")
    return StoreStats(
        database_id=database_id,
        by_status=dict(by_status),
        by_type=dict(by_type),
        by_user=dict(by_user),
        by_status_and_type=dict(by_both),
        bytes_by_user=bytes_by_user,
        database_bytes=page_count * page_size,
        wal_bytes=_size(wal_of(database)),
        last_sequence=sequence,
    )


def count_jobs(
    connection: sqlite3.Connection,
    created_from: datetime | None,
    created_before: datetime | None,
) -> JobFigures:
    """Count the jobs that were submitted in the span, the end not included."""
    by_status: Counter[str] = Counter()
    by_type: Counter[str] = Counter()
    total_run, runs = 0, 0
    span = (optional_microseconds(created_from), optional_microseconds(created_before))
    for status, job_type, jobs, microseconds, timed in connection.execute(_COUNT_CREATED, span):
        by_status[status] += jobs
        by_type[job_type] += jobs
        total_run += microseconds or 0
        runs += timed
    return JobFigures(
        by_status=dict(by_status),
        by_type=dict(by_type),
        average_run_seconds=total_run / runs / _MICROSECONDS if runs else None,
    )


def _size(path: Path) -> int:
    # Asked of the directory: to open a file of SQLite's would drop its locks.
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
