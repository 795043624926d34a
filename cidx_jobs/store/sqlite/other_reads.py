"""What is read besides jobs and the log: functions of a read-only connection."""

import sqlite3
from collections import Counter
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import Checkpoint, IdempotencyRecord, Project, StoreStats, Token
from cidx_jobs.store.sqlite.job_columns import to_microseconds
from cidx_jobs.store.sqlite.open.damage_check import wal_of
from cidx_jobs.store.sqlite.other_columns import (
    decode_checkpoint,
    decode_controls,
    decode_idempotency,
    decode_project,
    decode_token,
)

FIND_KEY = """
SELECT user_id, key, fingerprint, job_id, created_at FROM idempotency
WHERE user_id = ? AND key = ? AND created_at >= ?
"""
_LOAD_CHECKPOINT = """
SELECT job_id, run, data, phase, saved_at FROM checkpoints WHERE job_id = ?
"""
_PROJECT_COLUMNS = """
user_id, project_id, repository_url, branch, default_branch, last_commit, last_synced_at,
last_job_id, files_indexed, repository_bytes, index_bytes, phase_seconds
"""
# S608: the columns are the constant above.
_LOAD_PROJECT = f"SELECT {_PROJECT_COLUMNS} FROM projects WHERE user_id = ? AND project_id = ?"  # noqa: S608
_LIST_PROJECTS = f"""
SELECT {_PROJECT_COLUMNS} FROM projects
WHERE :user_id IS NULL OR user_id = :user_id ORDER BY user_id, project_id
"""  # noqa: S608
_TOKEN_COLUMNS = "token_id, user_id, scope, digest, created_at, expires_at, last_used_at, label"  # noqa: S105 - columns
_FIND_TOKEN = f"SELECT {_TOKEN_COLUMNS} FROM tokens WHERE digest = ?"  # noqa: S608
_LIST_TOKENS = f"SELECT {_TOKEN_COLUMNS} FROM tokens ORDER BY created_at, token_id"  # noqa: S608
_LOAD_CONTROLS = "SELECT limits, pauses FROM controls WHERE id = 1"
_READ_DATABASE_ID = "SELECT uuid FROM owner WHERE id = 1"
_LOG_BOUNDS = "SELECT sequence, pruned_sequence FROM owner WHERE id = 1"
COUNT_EXPIRED = """
SELECT count(*) FROM jobs INDEXED BY jobs_expiry
WHERE finished_at IS NOT NULL AND status = ? AND finished_at < ?
"""
_COUNT_FINAL = "SELECT status, job_type, user_id, jobs FROM finals WHERE jobs > 0"
_COUNT_LIVE = """
SELECT status, job_type, user_id, count(*) FROM jobs INDEXED BY jobs_live
WHERE finished_at IS NULL GROUP BY status, user_id, job_type
"""


def find_idempotency_record(
    connection: sqlite3.Connection, user_id: UserId, key: str, not_before: datetime
) -> IdempotencyRecord | None:
    """Give what the key was used for, unless that was before *not_before*."""
    parameters = (user_id, key, to_microseconds(not_before))
    row = connection.execute(FIND_KEY, parameters).fetchone()
    return None if row is None else decode_idempotency(row)


def load_checkpoint(connection: sqlite3.Connection, job_id: JobId) -> Checkpoint | None:
    """Give the job's last checkpoint."""
    row = connection.execute(_LOAD_CHECKPOINT, (job_id,)).fetchone()
    return None if row is None else decode_checkpoint(row)


def load_project(
    connection: sqlite3.Connection, user_id: UserId, project_id: ProjectId
) -> Project | None:
    """Give what is known of a project."""
    row = connection.execute(_LOAD_PROJECT, (user_id, project_id)).fetchone()
    return None if row is None else decode_project(row)


def list_projects(connection: sqlite3.Connection, user_id: UserId | None) -> tuple[Project, ...]:
    """Give the projects of a user, or of all, by user and project id."""
    return tuple(map(decode_project, connection.execute(_LIST_PROJECTS, {"user_id": user_id})))


def find_token(connection: sqlite3.Connection, digest: str) -> Token | None:
    """Give the token with that digest."""
    row = connection.execute(_FIND_TOKEN, (digest,)).fetchone()
    return None if row is None else decode_token(row)


def list_tokens(connection: sqlite3.Connection) -> tuple[Token, ...]:
    """Give all tokens, oldest first."""
    return tuple(map(decode_token, connection.execute(_LIST_TOKENS)))


def load_controls(connection: sqlite3.Connection) -> tuple[Limits | None, Pauses]:
    """Give the limits and pauses that are kept."""
    return decode_controls(connection.execute(_LOAD_CONTROLS).fetchone())


def load_oldest_sequence(connection: sqlite3.Connection) -> int:
    """Give the number from which on the log is whole; 0 when it never held anything."""
    sequence, pruned = connection.execute(_LOG_BOUNDS).fetchone()
    return pruned + 1 if sequence else 0


def count_expired(
    connection: sqlite3.Connection, finished_before: int, statuses: Collection[JobStatus]
) -> int:
    """Count the final jobs of these statuses that finished before a time (microseconds)."""
    rows = [
        connection.execute(COUNT_EXPIRED, (status.value, finished_before)).fetchone()
        for status in statuses
    ]
    return sum(count for (count,) in rows)


def read_database_id(connection: sqlite3.Connection) -> str:
    """Return the id of the database, which a copy changes at its first start."""
    database_id: str
    (database_id,) = connection.execute(_READ_DATABASE_ID).fetchone()
    return database_id


def collect_stats(connection: sqlite3.Connection, database: Path) -> StoreStats:
    """Count what is stored."""
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
        sequence, _ = connection.execute(_LOG_BOUNDS).fetchone()
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
