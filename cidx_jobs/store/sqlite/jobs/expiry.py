"""Expiry: final jobs that are counted or deleted by age, with all that belongs to them."""

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.jobs.keys import delete_old_keys
from cidx_jobs.store.sqlite.jobs.stored_bytes import take_off
from cidx_jobs.store.sqlite.values import Row, to_json, to_microseconds
from cidx_jobs.store.sqlite.webhooks.end_notices import delete_told

# What a parent that is not done made, its next run looks for.
IS_NOT_AWAITED = """
(parent_id IS NULL OR NOT EXISTS (
    SELECT 1 FROM jobs AS parent
    WHERE parent.job_id = jobs.parent_id AND parent.finished_at IS NULL
))
"""
COUNT_EXPIRED = f"""
SELECT count(*) FROM jobs INDEXED BY jobs_expiry
WHERE finished_at IS NOT NULL AND status = ? AND finished_at < ? AND {IS_NOT_AWAITED}
"""  # noqa: S608 - a constant of this module
FIND_EXPIRED = f"""
SELECT finished_at, row, job_id, user_id, job_type, status FROM jobs INDEXED BY jobs_expiry
WHERE finished_at IS NOT NULL AND status = ? AND finished_at < ? AND {IS_NOT_AWAITED}
ORDER BY finished_at LIMIT ?
"""  # noqa: S608 - a constant of this module
LAST_EVENT = """
SELECT max(seq) FROM events WHERE job_id IN (SELECT value FROM json_each(?))
"""
DELETE_EVENTS = "DELETE FROM events WHERE job_id IN (SELECT value FROM json_each(?))"
DELETE_JOBS = "DELETE FROM jobs WHERE row IN (SELECT value FROM json_each(?))"
MANY_FREE_PAGES = 256
"""With fewer free pages nothing is given back."""
_FREE_PART = 4
_PAGES_AT_ONCE = 256
"""It takes some milliseconds, for which who submits waits."""
_GIVE_BACK = "PRAGMA incremental_vacuum(1)"
_NOTE_PRUNED = "UPDATE owner SET pruned_sequence = max(pruned_sequence, ?)"


def count_expired(
    connection: sqlite3.Connection, finished_before: datetime, statuses: Collection[JobStatus]
) -> int:
    """Count the final jobs of these statuses that finished before a time."""
    before = to_microseconds(finished_before)
    rows = [
        connection.execute(COUNT_EXPIRED, (status.value, before)).fetchone() for status in statuses
    ]
    return sum(count for (count,) in rows)


def delete_expired(
    transaction: Transaction,
    finished_before: datetime,
    statuses: Collection[JobStatus],
    limit: int,
    now: datetime,
) -> Sequence[JobId]:
    """Delete the final jobs that finished first, with all that belongs to them; return their ids.

    Keys of requests that are older than they are kept go with them.
    """
    before = to_microseconds(finished_before)
    expired: list[Row] = []
    for status in sorted(statuses):
        expired += transaction.execute(FIND_EXPIRED, (status.value, before, limit)).fetchall()
    expired = sorted(expired)[:limit]
    job_ids = tuple(JobId(job_id) for _, _, job_id, *_ in expired)
    if expired:
        _delete(transaction, [row for _, row, *_ in expired], job_ids)
    for _, _, _, user_id, job_type, status in expired:
        transaction.count_final((user_id, job_type, status), -1)
    delete_old_keys(transaction, now, limit)
    _give_pages_back(transaction)
    return job_ids


def _give_pages_back(transaction: Transaction) -> None:
    """Shorten the database a little, where much of it is free: the rest will be written again."""
    (free,) = transaction.execute("PRAGMA freelist_count").fetchone()
    (pages,) = transaction.execute("PRAGMA page_count").fetchone()
    if free > MANY_FREE_PAGES and free * _FREE_PART > pages:
        # Python takes one step of it, whatever number it is given: a page.
        for _ in range(_PAGES_AT_ONCE):
            transaction.execute(_GIVE_BACK)


def _delete(transaction: Transaction, rows: Sequence[int], job_ids: Sequence[JobId]) -> None:
    take_off(transaction, job_ids)
    ids = to_json(job_ids)
    (last,) = transaction.execute(LAST_EVENT, (ids,)).fetchone()
    if last is not None:
        transaction.execute(DELETE_EVENTS, (ids,))
        transaction.execute(_NOTE_PRUNED, (last,))
    delete_told(transaction, ids)
    transaction.execute(DELETE_JOBS, (to_json(rows),))
