"""Writes besides jobs: tokens, controls, and the deletion of what has expired."""

from collections.abc import Sequence

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.job_columns import Row, to_json

_SAVE_ACCESS = """
INSERT INTO tokens (token_id, user_id, scope, digest, created_at, expires_at, last_used_at, label)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (token_id) DO UPDATE
SET user_id = excluded.user_id, scope = excluded.scope, digest = excluded.digest,
created_at = excluded.created_at, expires_at = excluded.expires_at,
last_used_at = excluded.last_used_at, label = excluded.label
"""
_DELETE_ACCESS = "DELETE FROM tokens WHERE token_id = ?"
# A line never stands without a head but for the moment in which a follower moves up.
_IS_IDLE = """
user_id = :user_id AND project_id = :project_id
AND NOT EXISTS (SELECT 1 FROM jobs
WHERE user_id = :user_id AND project_id = :project_id AND place = 'head')
AND NOT EXISTS (SELECT 1 FROM jobs
WHERE user_id = :user_id AND project_id = :project_id AND place = 'follower')
"""
# S608: the condition is the constant above.
_DELETE_PROJECT = f"DELETE FROM projects WHERE {_IS_IDLE}"  # noqa: S608
_FORGET_COPY = f"""
UPDATE projects SET files_indexed = NULL, repository_bytes = NULL, index_bytes = NULL
WHERE {_IS_IDLE}
"""  # noqa: S608
_SAVE_CONTROLS = """
INSERT INTO controls (id, limits, pauses) VALUES (1, ?, ?)
ON CONFLICT (id) DO UPDATE SET limits = excluded.limits, pauses = excluded.pauses
"""
FIND_EXPIRED = """
SELECT finished_at, row, job_id, user_id, job_type, status FROM jobs INDEXED BY jobs_expiry
WHERE finished_at IS NOT NULL AND status = ? AND finished_at < ?
ORDER BY finished_at LIMIT ?
"""
LAST_EVENT = """
SELECT max(seq) FROM events WHERE job_id IN (SELECT value FROM json_each(?))
"""
DELETE_EVENTS = "DELETE FROM events WHERE job_id IN (SELECT value FROM json_each(?))"
DELETE_JOBS = "DELETE FROM jobs WHERE row IN (SELECT value FROM json_each(?))"
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
    return transaction.cursor.rowcount == 1


def delete_project(transaction: Transaction, user_id: str, project_id: str) -> None:
    """Delete what is known of a project that is idle."""
    transaction.execute(_DELETE_PROJECT, {"user_id": user_id, "project_id": project_id})


def forget_copy(transaction: Transaction, user_id: str, project_id: str) -> None:
    """Delete the sizes of a project that is idle."""
    transaction.execute(_FORGET_COPY, {"user_id": user_id, "project_id": project_id})


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
    job_ids = tuple(JobId(job_id) for _, _, job_id, *_ in expired)
    if expired:
        _delete(transaction, [row for _, row, *_ in expired], job_ids)
    for _, _, _, user_id, job_type, status in expired:
        transaction.count_final((user_id, job_type, status), -1)
    transaction.execute(_DELETE_KEYS, (keys_before, limit))
    return job_ids


def _delete(transaction: Transaction, rows: Sequence[int], job_ids: Sequence[JobId]) -> None:
    ids = to_json(job_ids)
    (last,) = transaction.execute(LAST_EVENT, (ids,)).fetchone()
    if last is not None:
        transaction.execute(DELETE_EVENTS, (ids,))
        transaction.execute(_NOTE_PRUNED, (last,))
    transaction.execute(DELETE_JOBS, (to_json(rows),))
