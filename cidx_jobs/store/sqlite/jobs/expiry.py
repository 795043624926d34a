"""Expiry: final jobs that are found by type, status and age, and what is deleted of them.

Either the whole job goes, with all that belongs to it, or its payload: options and result.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.store.sqlite.commit.known_rows import BLOCK_BITS
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.jobs.keys import delete_old_keys
from cidx_jobs.store.sqlite.jobs.stored_bytes import take_off, take_off_payloads
from cidx_jobs.store.sqlite.values import to_json, to_microseconds
from cidx_jobs.store.sqlite.webhooks.end_notices import IS_TOLD, delete_told

# What a parent that is not done made, its next run looks for.
_IS_NOT_AWAITED = """
(parent_id IS NULL OR NOT EXISTS (
    SELECT 1 FROM jobs AS parent
    WHERE parent.job_id = jobs.parent_id AND parent.finished_at IS NULL
))
"""
# The expression is that of the index. A job without options, or with an empty result, has none.
_EXPIRED = f"""
FROM jobs INDEXED BY jobs_expiry
WHERE finished_at IS NOT NULL AND job_type = :job_type AND status = :status
AND (coalesce(options, nullif(result, '{{}}')) IS NOT NULL) = :has_payload
AND finished_at < :before AND {_IS_NOT_AWAITED} AND {IS_TOLD}
"""
COUNT_EXPIRED = f"SELECT count(*) {_EXPIRED}"
FIND_EXPIRED = f"""
SELECT finished_at, row, job_id, user_id, job_type, status {_EXPIRED}
ORDER BY finished_at LIMIT :limit
"""
# A skip from each type to the next one: there are few types and many jobs.
NEXT_TYPE = """
SELECT min(job_type) FROM jobs INDEXED BY jobs_expiry
WHERE finished_at IS NOT NULL AND job_type > ?
"""
LAST_EVENT = "SELECT max(seq) FROM log WHERE job IN (SELECT value FROM json_each(?))"
DELETE_EVENTS = "DELETE FROM log WHERE job IN (SELECT value FROM json_each(?))"
# Nobody has rows before the oldest that is left.
DELETE_BLOCKS = f"""
DELETE FROM log_users WHERE block < (SELECT coalesce(min(seq), 0) FROM log) >> {BLOCK_BITS}
"""  # noqa: S608 - constants
DELETE_JOBS = "DELETE FROM jobs WHERE row IN (SELECT value FROM json_each(?))"
# What is not there is not named: `nullif` of an equal text is NULL, and NULL is no row.
REMOVE_PAYLOADS = """
UPDATE jobs SET options = NULL, result = iif(result IS NULL, NULL, '{}'), checkpoint = NULL,
removed = (
    SELECT json_group_array(value) FROM json_each(json_array(
        iif(options IS NULL, NULL, 'options'),
        iif(nullif(result, '{}') IS NULL, NULL, 'result')
    )) WHERE value IS NOT NULL
),
version = version + 1, updated_at = max(updated_at, ?)
WHERE row IN (SELECT value FROM json_each(?))
"""
DROP_CHECKPOINTS = """
DELETE FROM checkpoints WHERE job_id IN (SELECT value FROM json_each(?))
"""
MANY_FREE_PAGES = 256
"""With fewer free pages nothing is given back."""
_FREE_PART = 4
"""Pages are given back only while more than this part of the file, a quarter, is free."""
_PAGES_AT_ONCE = 256
"""It takes some milliseconds, for which who submits waits."""
_GIVE_BACK = "PRAGMA incremental_vacuum(1)"
_NOTE_PRUNED = "UPDATE owner SET pruned_sequence = max(pruned_sequence, ?)"
_FINAL = tuple(status for status in JobStatus if status.is_final)
_EITHER = (0, 1)
_WITH_PAYLOAD = (1,)


class _Expired(NamedTuple):
    """A job that is old enough, as `FIND_EXPIRED` finds it."""

    finished_at: int
    row: int
    job_id: str
    user_id: str
    job_type: str
    status: str


def count_expired(
    connection: sqlite3.Connection, finished_before: datetime, statuses: Collection[JobStatus]
) -> int:
    """Count the final jobs of these statuses that finished before a time."""
    ranges = _ranges(connection, finished_before, statuses, {}, _EITHER)
    return sum(connection.execute(COUNT_EXPIRED, each).fetchone()[0] for each in ranges)


def delete_expired(
    transaction: Transaction,
    *,
    finished_before: datetime,
    statuses: Collection[JobStatus],
    limit: int,
    now: datetime,
    before_by_type: Mapping[str, datetime],
) -> Sequence[JobId]:
    """Delete the final jobs that finished first, with all that belongs to them; return their ids.

    Keys of requests that are older than they are kept go with them.
    """
    ranges = _ranges(
        transaction.cursor.connection, finished_before, statuses, before_by_type, _EITHER
    )
    expired = _find(transaction, ranges, limit)
    if expired:
        _delete(transaction, expired)
    for job in expired:
        transaction.count_final((job.user_id, job.job_type, job.status), -1)
    delete_old_keys(transaction, now, limit)
    _give_pages_back(transaction)
    return tuple(JobId(job.job_id) for job in expired)


def remove_payloads(
    transaction: Transaction, *, finished_before: datetime, limit: int, now: datetime
) -> Sequence[JobId]:
    """Remove options, result and checkpoint of the final jobs that finished first, of all types.

    Each such job is one version further. Returns their ids.
    """
    connection = transaction.cursor.connection
    ranges = _ranges(connection, finished_before, _FINAL, {}, _WITH_PAYLOAD)
    expired = _find(transaction, ranges, limit)
    job_ids = tuple(JobId(job.job_id) for job in expired)
    if expired:
        take_off_payloads(transaction, job_ids)
        transaction.execute(DROP_CHECKPOINTS, (to_json(job_ids),))
        rows = to_json([job.row for job in expired])
        transaction.execute(REMOVE_PAYLOADS, (to_microseconds(now), rows))
    _give_pages_back(transaction)
    return job_ids


def _ranges(
    connection: sqlite3.Connection,
    finished_before: datetime,
    statuses: Collection[JobStatus],
    before_by_type: Mapping[str, datetime],
    payloads: Collection[int],
) -> Iterator[dict[str, object]]:
    """Yield the parameters of each stretch of the index that holds what is old enough."""
    job_type = ""
    while job_type := connection.execute(NEXT_TYPE, (job_type,)).fetchone()[0]:
        before = to_microseconds(before_by_type.get(job_type, finished_before))
        for status in sorted(statuses):
            for has_payload in payloads:
                yield {
                    "job_type": job_type,
                    "status": status.value,
                    "has_payload": has_payload,
                    "before": before,
                }


def _find(
    transaction: Transaction, ranges: Iterable[dict[str, object]], limit: int
) -> Sequence[_Expired]:
    expired: list[_Expired] = []
    for each in ranges:
        found = transaction.execute(FIND_EXPIRED, {**each, "limit": limit}).fetchall()
        expired += map(_Expired._make, found)
    return sorted(expired)[:limit]


def _give_pages_back(transaction: Transaction) -> None:
    """Shorten the database a little, where much of it is free: the rest will be written again."""
    (free,) = transaction.execute("PRAGMA freelist_count").fetchone()
    (pages,) = transaction.execute("PRAGMA page_count").fetchone()
    if free > MANY_FREE_PAGES and free * _FREE_PART > pages:
        # Python takes one step of it, whatever number it is given: a page.
        for _ in range(_PAGES_AT_ONCE):
            transaction.execute(_GIVE_BACK)


def _delete(transaction: Transaction, expired: Sequence[_Expired]) -> None:
    job_ids = [JobId(job.job_id) for job in expired]
    take_off(transaction, job_ids)
    rows = to_json([job.row for job in expired])
    (last,) = transaction.execute(LAST_EVENT, (rows,)).fetchone()
    if last is not None:
        transaction.execute(DELETE_EVENTS, (rows,))
        transaction.execute(DELETE_BLOCKS)
        transaction.execute(_NOTE_PRUNED, (last,))
    delete_told(transaction, to_json(job_ids))
    transaction.execute(DELETE_JOBS, (rows,))
