"""Stored bytes in SQL: the figures that `cidx_jobs.model.job.stored_bytes` counts in Python."""

import sqlite3
from collections.abc import Sequence

from cidx_jobs.model.errors import UserStorageFullError
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.stored_bytes import (
    COUNTED_MEMBERS,
    EMPTY_BYTES,
    JOB_BYTES,
    LOG_BYTES,
    bytes_of_job,
    bytes_of_log,
    growth,
)
from cidx_jobs.model.listing import Change
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.values import to_json

BYTES_OF_JOB = f"{JOB_BYTES} + " + " + ".join(
    f"coalesce(nullif(length(CAST({name} AS BLOB)), {EMPTY_BYTES}), 0)" for name in COUNTED_MEMBERS
)
BYTES_OF_LOG = f"{LOG_BYTES} + coalesce(length(CAST(reason AS BLOB)), 0)"
BYTES_OF_CHECKPOINT = "length(CAST(data AS BLOB))"

# S608: the expressions are constants of this module.
BYTES_BY_USER = f"""
SELECT user_id, sum(bytes) AS bytes FROM (
    SELECT user_id, {BYTES_OF_JOB} AS bytes FROM jobs
    UNION ALL
    SELECT user_id, {BYTES_OF_LOG} FROM events
    UNION ALL
    SELECT user_id, {BYTES_OF_CHECKPOINT} FROM checkpoints JOIN jobs USING (job_id)
) GROUP BY user_id
"""  # noqa: S608
"""What is stored of each user, counted anew: it reads every row."""

_OF_JOBS = f"""
SELECT user_id, sum(bytes) FROM (
    SELECT user_id, {BYTES_OF_JOB} AS bytes FROM jobs
    WHERE job_id IN (SELECT value FROM json_each(:ids))
    UNION ALL
    SELECT user_id, {BYTES_OF_LOG} FROM events
    WHERE job_id IN (SELECT value FROM json_each(:ids))
    UNION ALL
    SELECT user_id, {BYTES_OF_CHECKPOINT} FROM checkpoints JOIN jobs USING (job_id)
    WHERE job_id IN (SELECT value FROM json_each(:ids))
) GROUP BY user_id
"""  # noqa: S608
_OF_JOB = f"SELECT {BYTES_OF_JOB} FROM jobs WHERE job_id = ?"  # noqa: S608


def check_room(transaction: Transaction, changes: Sequence[Change]) -> None:
    """Refuse new jobs for which their user has no room.

    Raises:
        UserStorageFullError: all that is stored of the user would be more than the bound.
    """
    asked: dict[UserId, int] = {}
    for change in changes:
        limit, user_id = change.max_user_bytes, change.job.user_id
        if limit is None or change.base_version:
            continue
        asked[user_id] = asked.get(user_id, 0) + bytes_of_job(change.job)
        asked[user_id] += sum(map(bytes_of_log, change.transitions))
        used = transaction.count_bytes(user_id)
        if used + asked[user_id] > limit:
            raise UserStorageFullError(limit, used)


def charge_change(transaction: Transaction, change: Change, size_before: int | None) -> None:
    """Count what a change that was just stored has added to its job's row.

    *size_before* is the row's size before it, where the change does not know the job before.
    """
    job = change.job
    if change.base_version == 0:
        transaction.charge(job.user_id, bytes_of_job(job))
    elif change.before is not None:
        transaction.charge(job.user_id, growth(job, change.before))
    elif size_before is not None:
        transaction.charge(job.user_id, bytes_of_job(job) - size_before)


def size_before(transaction: Transaction, change: Change) -> int | None:
    """Return what the job's row counts for now, where the change does not know it."""
    if change.base_version == 0 or change.before is not None:
        return None
    row = transaction.execute(_OF_JOB, (change.job.job_id,)).fetchone()
    return None if row is None else int(row[0])


def take_off(transaction: Transaction, job_ids: Sequence[JobId]) -> None:
    """Count jobs out that are about to be deleted, with their log and checkpoints."""
    found = transaction.execute(_OF_JOBS, {"ids": to_json(job_ids)}).fetchall()
    for user_id, size in found:
        transaction.charge(user_id, -size)


def load_bytes(connection: sqlite3.Connection, user_id: UserId) -> int:
    """Return what is stored of the user's jobs, in bytes."""
    row = connection.execute("SELECT bytes FROM stored_bytes WHERE user_id = ?", (user_id,))
    found = row.fetchone()
    return 0 if found is None else int(found[0])
