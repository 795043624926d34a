"""Writes besides jobs: tokens, controls, and the deletion of what has expired."""

from collections.abc import Sequence

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job import JobStatus
from cidx_jobs.store.rows import Row
from cidx_jobs.store.transaction import Transaction

_SAVE_ACCESS = """
INSERT INTO tokens (token_id, user_id, scope, digest, created_at, expires_at, last_used_at, label)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (token_id) DO UPDATE
SET user_id = excluded.user_id, scope = excluded.scope, digest = excluded.digest,
created_at = excluded.created_at, expires_at = excluded.expires_at,
last_used_at = excluded.last_used_at, label = excluded.label
"""
_DELETE_ACCESS = "DELETE FROM tokens WHERE token_id = ?"
_DELETE_PROJECT = "DELETE FROM projects WHERE user_id = ? AND project_id = ?"
_SAVE_CONTROLS = """
INSERT INTO controls (id, limits, pauses) VALUES (1, ?, ?)
ON CONFLICT (id) DO UPDATE SET limits = excluded.limits, pauses = excluded.pauses
"""
FIND_EXPIRED = """
SELECT finished_at, row, job_id, user_id, job_type, status FROM jobs INDEXED BY jobs_expiry
WHERE finished_at IS NOT NULL AND status = ? AND finished_at < ?
ORDER BY finished_at LIMIT ?
"""
_LAST_EVENT = "SELECT max(seq) FROM events WHERE job_id = ?"
_DELETE_EVENTS = "DELETE FROM events WHERE job_id = ?"
_DELETE_JOB = "DELETE FROM jobs WHERE row = ?"
_COUNT_OUT = """
UPDATE finals SET jobs = jobs - 1 WHERE user_id = ? AND job_type = ? AND status = ?
"""
_NOTE_PRUNED = "UPDATE owner SET pruned_sequence = max(pruned_sequence, ?)"
_DELETE_KEYS = """
DELETE FROM idempotency WHERE (user_id, key) IN (
SELECT user_id, key FROM idempotency INDEXED BY idempotency_age WHERE created_at < ? LIMIT ?)
"""


def save_token(transaction: Transaction, token: Row) -> None:
    """Store a token, new or changed."""
    transaction.execute(_SAVE_ACCESS, token)


def delete_token(transaction: Transaction, token_id: str) -> bool:
    """Delete a token; False when there is none."""
    transaction.execute(_DELETE_ACCESS, (token_id,))
    return transaction.row_count == 1


def delete_project(transaction: Transaction, user_id: str, project_id: str) -> None:
    """Delete what is known of a project."""
    transaction.execute(_DELETE_PROJECT, (user_id, project_id))


def save_controls(transaction: Transaction, controls: Row) -> None:
    """Store the limits and pauses."""
    transaction.execute(_SAVE_CONTROLS, controls)


def delete_expired(
    transaction: Transaction,
    finished_before: int,
    statuses: Sequence[JobStatus],
    limit: int,
    keys_before: int,
) -> Sequence[JobId]:
    """Delete the final jobs that finished first, with all that belongs to them; give their ids.

    Keys of requests that are older than they are kept go with them.
    """
    expired: list[Row] = []
    for status in statuses:
        expired += transaction.execute(
            FIND_EXPIRED, (status.value, finished_before, limit)
        ).fetchall()
    expired = sorted(expired)[:limit]
    last = 0
    for _, row, job_id, *key in expired:
        (sequence,) = transaction.execute(_LAST_EVENT, (job_id,)).fetchone()
        last = max(last, sequence or 0)
        transaction.execute(_DELETE_EVENTS, (job_id,))
        transaction.execute(_DELETE_JOB, (row,))
        transaction.execute(_COUNT_OUT, key)
    if last:
        transaction.execute(_NOTE_PRUNED, (last,))
    transaction.execute(_DELETE_KEYS, (keys_before, limit))
    return tuple(JobId(job_id) for _, _, job_id, *_ in expired)
