"""Idempotency keys: the row that a request leaves in the transaction of its job."""

import sqlite3
from datetime import datetime, timedelta

from cidx_jobs.model.errors import IdempotencyKeyReusedError
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.listing import KEY_LIFETIME, IdempotencyRecord
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.values import Row, from_microseconds, to_microseconds

_LIFETIME_MICROSECONDS = KEY_LIFETIME // timedelta(microseconds=1)

FIND_KEY = """
SELECT user_id, key, fingerprint, job_id, created_at FROM idempotency
WHERE user_id = ? AND key = ? AND created_at >= ?
"""
_SAVE = """
INSERT INTO idempotency (user_id, key, fingerprint, job_id, created_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (user_id, key) DO UPDATE
SET fingerprint = excluded.fingerprint, job_id = excluded.job_id, created_at = excluded.created_at
WHERE idempotency.created_at < ?
"""
_DELETE_OLD = """
DELETE FROM idempotency WHERE (user_id, key) IN (
SELECT user_id, key FROM idempotency INDEXED BY idempotency_age WHERE created_at < ? LIMIT ?)
"""


def encode_key(record: IdempotencyRecord) -> Row:
    """Return the row of an idempotency key."""
    return (
        record.user_id,
        record.key,
        record.fingerprint,
        record.job_id,
        to_microseconds(record.created_at),
    )


def save_key(transaction: Transaction, key: Row) -> None:
    """Store a key that is free: never used, or used too long ago.

    Raises:
        IdempotencyKeyReusedError: it is not.
    """
    created_at = key[-1]
    transaction.execute(_SAVE, (*key, created_at - _LIFETIME_MICROSECONDS))
    if transaction.cursor.rowcount != 1:
        raise IdempotencyKeyReusedError


def delete_old_keys(transaction: Transaction, now: datetime, limit: int) -> None:
    """Delete at most *limit* keys that are no longer kept."""
    transaction.execute(_DELETE_OLD, (to_microseconds(now - KEY_LIFETIME), limit))


def find_key(
    connection: sqlite3.Connection, user_id: UserId, key: str, not_before: datetime
) -> IdempotencyRecord | None:
    """Return what the key was used for, unless that was before *not_before*."""
    parameters = (user_id, key, to_microseconds(not_before))
    row = connection.execute(FIND_KEY, parameters).fetchone()
    if row is None:
        return None
    return IdempotencyRecord(
        user_id=UserId(row[0]),
        key=row[1],
        fingerprint=row[2],
        job_id=JobId(row[3]),
        created_at=from_microseconds(row[4]),
    )
