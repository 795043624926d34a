"""What the writer does: each operation is a function of a `Transaction` that gives a value.

An operation either does all of what it says or raises; the transaction then takes back what it
did (see `cidx_jobs.store.sqlite.commit.transaction`).
"""

import functools
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from cidx_jobs.model.errors import (
    IdempotencyKeyReusedError,
    StaleRunError,
    StaleVersionError,
    StoreError,
)
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.listing import KEY_LIFETIME, Change, RunGuard
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.job_columns import (
    PROGRESS,
    Row,
    Shape,
    columns,
    encode_changed,
    encode_new,
    encode_progress,
    parameter,
)

_KEY_MICROSECONDS = KEY_LIFETIME // timedelta(microseconds=1)

_UPDATE_PROGRESS = (
    f"UPDATE jobs SET {', '.join(f'{name} = {parameter(name)}' for name in columns(PROGRESS))} "  # noqa: S608
    "WHERE job_id = ? AND version = ? AND run = ? AND status = 'running'"
)
_NOT_FINAL = (None, JobStatus.CREATED, JobStatus.QUEUED, JobStatus.RUNNING)
_OF_RUN = " AND run = ? AND status = 'running'"
_FIND_RUN = "SELECT 1 FROM jobs WHERE job_id = ? AND run = ? AND status = 'running'"
_SAVE_KEY = """
INSERT INTO idempotency (user_id, key, fingerprint, job_id, created_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (user_id, key) DO UPDATE
SET fingerprint = excluded.fingerprint, job_id = excluded.job_id, created_at = excluded.created_at
WHERE idempotency.created_at < ?
OR NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.job_id = idempotency.job_id)
"""
_SAVE_CHECKPOINT = """
INSERT INTO checkpoints (job_id, run, data, phase, saved_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (job_id) DO UPDATE
SET run = excluded.run, data = excluded.data, phase = excluded.phase, saved_at = excluded.saved_at
"""
_DROP_CHECKPOINT = "DELETE FROM checkpoints WHERE job_id = ?"
_INSERT_PROJECT = "INSERT INTO projects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OUTCOME_OF_A_SYNC = """
default_branch = excluded.default_branch, last_commit = excluded.last_commit,
last_synced_at = excluded.last_synced_at, last_job_id = excluded.last_job_id,
files_indexed = excluded.files_indexed, repository_bytes = excluded.repository_bytes,
index_bytes = excluded.index_bytes, phase_seconds = excluded.phase_seconds
"""
# The url and branch of a project are those of its last accepted submit (api.md, 1.3): a submit
# sets them and nothing else, and the end of a run sets everything else.
_SAVE_REQUEST_OF_PROJECT = f"""
{_INSERT_PROJECT} ON CONFLICT (user_id, project_id) DO UPDATE
SET repository_url = excluded.repository_url, branch = excluded.branch
"""
_SAVE_RUN_OF_PROJECT = f"""
{_INSERT_PROJECT} ON CONFLICT (user_id, project_id) DO UPDATE
SET repository_url = coalesce(projects.repository_url, excluded.repository_url),
branch = coalesce(projects.branch, excluded.branch), {_OUTCOME_OF_A_SYNC}
"""
_SAVE_PROJECT = f"""
{_INSERT_PROJECT} ON CONFLICT (user_id, project_id) DO UPDATE
SET repository_url = excluded.repository_url, branch = excluded.branch, {_OUTCOME_OF_A_SYNC}
"""


class EncodedChange(NamedTuple):
    """A change, and the statement that stores it.

    Made before it is queued, so that a value that cannot be stored is its caller's fault alone.
    """

    change: Change
    statement: str
    values: list[Any]


def encode_change(change: Change) -> EncodedChange:
    """Make the statement that stores the change."""
    job = change.job
    if change.base_version == 0:
        shape, values = encode_new(job)
        return EncodedChange(change, insert_statement(shape), values)
    shape, values = encode_changed(job, _known_before(change))
    values += (job.job_id, change.base_version)
    return EncodedChange(change, update_statement(shape), values)


@functools.lru_cache(maxsize=512)
def insert_statement(shape: Shape) -> str:
    """Give the statement that inserts a job with these columns; the others have defaults."""
    names = columns(shape)
    # S608: constants of `rows`; there are few shapes.
    return (
        f"INSERT INTO jobs ({', '.join(names)}) "  # noqa: S608
        f"VALUES ({', '.join(map(parameter, names))})"
    )


@functools.lru_cache(maxsize=512)
def update_statement(shape: Shape) -> str:
    """Give the statement that changes these columns of a job at a certain version."""
    changes = ", ".join(f"{name} = {parameter(name)}" for name in columns(shape))
    return f"UPDATE jobs SET {changes} WHERE job_id = ? AND version = ?"  # noqa: S608


def save_changes(
    transaction: Transaction,
    changes: Sequence[EncodedChange],
    key: Row | None,
    project: Row | None,
) -> Sequence[Transition]:
    """Store the changes in order, with the key and the project; give the numbered log rows."""
    if key is not None:
        # First, because a taken key then leaves nothing to undo.
        _save_key(transaction, key)
    logged: list[Transition] = []
    for encoded in changes:
        change = encoded.change
        _store_job(transaction, encoded)
        _count(transaction, change)
        if change.drops_checkpoint:
            transaction.execute(_DROP_CHECKPOINT, (change.job.job_id,))
        logged += map(transaction.log, change.transitions)
    if project is not None:
        transaction.execute(_SAVE_REQUEST_OF_PROJECT, project)
    return tuple(logged)


def save_progress(
    transaction: Transaction, reports: Sequence[tuple[JobId, Row]]
) -> Sequence[JobId]:
    """Store each report whose run and version still hold; give the ids of the others."""
    refused = []
    for job_id, values in reports:
        transaction.execute(_UPDATE_PROGRESS, values)
        if transaction.cursor.rowcount != 1:
            refused.append(job_id)
    return tuple(refused)


def encode_report(job: Job) -> tuple[JobId, Row]:
    """Make the row of a progress report."""
    return job.job_id, (
        *encode_progress(job),
        job.job_id,
        job.version - 1,
        job.run,
    )


def save_checkpoint(transaction: Transaction, encoded: EncodedChange, checkpoint: Row) -> None:
    """Store a running job's checkpoint with its new version."""
    change, statement, values = encoded
    job = change.job
    transaction.execute(f"{statement}{_OF_RUN}", (*values, job.run))
    if transaction.cursor.rowcount != 1:
        _check_run(transaction, RunGuard(job_id=job.job_id, run=job.run))
        raise StaleVersionError(job.job_id, change.base_version)
    transaction.execute(_SAVE_CHECKPOINT, checkpoint)
    for transition in change.transitions:
        transaction.log(transition)


def save_project(transaction: Transaction, project: Row, guard: RunGuard | None) -> None:
    """Store what is known of a project, if the run that learned it still holds."""
    if guard is None:
        transaction.execute(_SAVE_PROJECT, project)
        return
    _check_run(transaction, guard)
    transaction.execute(_SAVE_RUN_OF_PROJECT, project)


def _store_job(transaction: Transaction, encoded: EncodedChange) -> None:
    change, statement, values = encoded
    try:
        transaction.execute(statement, values)
    except sqlite3.IntegrityError as error:
        raise _refusal(change, error) from error
    if transaction.cursor.rowcount != 1:
        raise StaleVersionError(change.job.job_id, change.base_version)


def _count(transaction: Transaction, change: Change) -> None:
    job, before = change.job, _status_before(change)
    if job.finished_at is None and before in _NOT_FINAL:
        return
    if before is job.status:
        return
    if before not in _NOT_FINAL and before is not None:
        transaction.count_final((job.user_id, job.job_type, before.value), -1)
    if job.finished_at is not None:
        transaction.count_final((job.user_id, job.job_type, job.status.value), 1)


def _known_before(change: Change) -> Job | None:
    before = change.before
    if before is not None and before.version != change.base_version:
        message = f"job {before.job_id} is compared with version {before.version}"
        raise ValueError(message)
    return before


def _status_before(change: Change) -> JobStatus | None:
    if change.base_version == 0:
        return None
    return change.transitions[0].from_status if change.transitions else change.job.status


def _refusal(change: Change, error: sqlite3.IntegrityError) -> Exception:
    # The id, or the place in the project's line, is somebody else's; a broken CHECK is a fault.
    if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
        return StoreError(f"the store refuses job {change.job.job_id}: {error}")
    return StaleVersionError(change.job.job_id, change.base_version)


def _save_key(transaction: Transaction, key: Row) -> None:
    created_at = key[-1]
    transaction.execute(_SAVE_KEY, (*key, created_at - _KEY_MICROSECONDS))
    if transaction.cursor.rowcount != 1:
        raise IdempotencyKeyReusedError


def _check_run(transaction: Transaction, guard: RunGuard) -> None:
    if transaction.execute(_FIND_RUN, (guard.job_id, guard.run)).fetchone() is None:
        raise StaleRunError(guard.job_id, guard.run)
