"""Stored bytes in SQL: the figures that `cidx_jobs.model.job.stored_bytes` counts in Python."""

import sqlite3
from collections.abc import Iterable, Sequence

from cidx_jobs.model.errors import UserStorageFullError
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import PAYLOAD
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


def _bytes_of(names: Iterable[str]) -> str:
    return " + ".join(
        f"coalesce(nullif(length(CAST({name} AS BLOB)), {EMPTY_BYTES}), 0)" for name in names
    )


BYTES_OF_JOB = f"{JOB_BYTES} + {_bytes_of(COUNTED_MEMBERS)}"
_BYTES_OF_PAYLOAD = _bytes_of(PAYLOAD)
BYTES_OF_LOG = f"{LOG_BYTES} + coalesce(length(CAST(reason AS BLOB)), 0)"
BYTES_OF_CHECKPOINT = "length(CAST(data AS BLOB))"

# S608: the expressions are constants of this module.
_CHECKPOINTS = f"SELECT user_id, {BYTES_OF_CHECKPOINT} FROM checkpoints JOIN jobs USING (job_id)"  # noqa: S608
BYTES_BY_USER = f"""
SELECT user_id, sum(bytes) AS bytes FROM (
    SELECT user_id, {BYTES_OF_JOB} AS bytes FROM jobs
    UNION ALL
    SELECT user_id, {BYTES_OF_LOG} FROM log CROSS JOIN jobs ON row = job
    UNION ALL
    {_CHECKPOINTS}
) GROUP BY user_id
"""  # noqa: S608
"""What is stored of each user, counted anew: it reads every row."""

_NAMED = "WHERE job_id IN (SELECT value FROM json_each(:ids))"
_OF_JOBS = f"""
SELECT user_id, sum(bytes) FROM (
    SELECT user_id, {BYTES_OF_JOB} AS bytes FROM jobs
    {_NAMED}
    UNION ALL
    SELECT user_id, {BYTES_OF_LOG} FROM jobs CROSS JOIN log ON job = row
    {_NAMED}
    UNION ALL
    {_CHECKPOINTS} {_NAMED}
) GROUP BY user_id
"""  # noqa: S608
_OF_PAYLOADS = f"""
SELECT user_id, sum(bytes) FROM (
    SELECT user_id, {_BYTES_OF_PAYLOAD} AS bytes FROM jobs
    {_NAMED}
    UNION ALL
    {_CHECKPOINTS} {_NAMED}
) GROUP BY user_id
"""  # noqa: S608
_OF_JOB = f"SELECT {BYTES_OF_JOB} FROM jobs WHERE job_id = ?"  # noqa: S608


def find_growth(change: Change) -> int | None:
    """Return what the change adds to what is stored, with its log; None where only the row says.

    That is where the change does not know the job before.
    """
    of_log = bytes_of_log(change.transitions)
    if change.base_version == 0:
        return bytes_of_job(change.job) + of_log
    return None if change.before is None else growth(change.job, change.before) + of_log


def check_room(transaction: Transaction, growths: Iterable[tuple[Change, int | None]]) -> None:
    """Refuse new jobs for which their user has no room; each change stands with its growth.

    Raises:
        UserStorageFullError: all that is stored of the user would be more than the bound.
    """
    asked: dict[UserId, int] = {}
    for change, size in growths:
        limit, user_id = change.max_user_bytes, change.job.user_id
        if limit is None or change.base_version:
            continue
        asked[user_id] = asked.get(user_id, 0) + (size or 0)
        used = transaction.count_bytes(user_id)
        if used + asked[user_id] > limit:
            raise UserStorageFullError(limit, used)


def read_growth(transaction: Transaction, change: Change) -> int:
    """Return what the change adds, read off the row that it has not changed yet."""
    of_log = bytes_of_log(change.transitions)
    row = transaction.execute(_OF_JOB, (change.job.job_id,)).fetchone()
    return of_log if row is None else bytes_of_job(change.job) - int(row[0]) + of_log


def take_off(transaction: Transaction, job_ids: Sequence[JobId]) -> None:
    """Count jobs out that are about to be deleted, with their log and checkpoints."""
    _take_off(transaction, _OF_JOBS, job_ids)


def take_off_payloads(transaction: Transaction, job_ids: Sequence[JobId]) -> None:
    """Count out the options, results and checkpoints of jobs, which are about to be removed."""
    _take_off(transaction, _OF_PAYLOADS, job_ids)


def _take_off(transaction: Transaction, statement: str, job_ids: Sequence[JobId]) -> None:
    for user_id, size in transaction.execute(statement, {"ids": to_json(job_ids)}).fetchall():
        transaction.charge(user_id, -size)


def load_bytes(connection: sqlite3.Connection, user_id: UserId) -> int:
    """Return what is stored of the user's jobs, in bytes."""
    row = connection.execute("SELECT bytes FROM stored_bytes WHERE user_id = ?", (user_id,))
    found = row.fetchone()
    return 0 if found is None else int(found[0])


def load_bytes_of_all(connection: sqlite3.Connection) -> dict[str, int]:
    """Return what is stored of each user's jobs, in bytes."""
    rows = connection.execute("SELECT user_id, bytes FROM stored_bytes WHERE bytes > 0")
    return {str(user_id): int(size) for user_id, size in rows}
