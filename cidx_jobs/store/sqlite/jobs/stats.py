"""Counts of the stored jobs, and the bytes that the database takes."""

import sqlite3
from collections import Counter
from pathlib import Path

from cidx_jobs.model.listing import StoreStats
from cidx_jobs.store.sqlite.open.damage_check import wal_of
from cidx_jobs.store.sqlite.open.possession import read_database_id

_COUNT_FINAL = "SELECT status, job_type, user_id, jobs FROM finals WHERE jobs > 0"
_COUNT_LIVE = """
SELECT status, job_type, user_id, count(*) FROM jobs INDEXED BY jobs_live
WHERE finished_at IS NULL GROUP BY status, user_id, job_type
"""
_LAST_SEQUENCE = "SELECT sequence FROM owner WHERE id = 1"


def collect_stats(connection: sqlite3.Connection, database: Path) -> StoreStats:
    """Count what is stored, as it was at one instant."""
    by_status: Counter[str] = Counter()
    by_type: Counter[str] = Counter()
    by_user: Counter[str] = Counter()
    connection.execute("BEGIN")
    try:
        for statement in (_COUNT_FINAL, _COUNT_LIVE):
            for status, job_type, user_id, jobs in connection.execute(statement):
                by_status[status] += jobs
                by_type[job_type] += jobs
                by_user[user_id] += jobs
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
        database_bytes=page_count * page_size,
        wal_bytes=_size(wal_of(database)),
        last_sequence=sequence,
    )


def _size(path: Path) -> int:
    # Asked of the directory: to open a file of SQLite's would drop its locks.
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
