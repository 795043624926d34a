"""Writes of jobs: each is a function of a `Transaction`, run by the writer.

An operation either does all of what it says or raises; the transaction then takes back what it
did (see `cidx_jobs.store.sqlite.commit.transaction`).
"""

import functools
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from cidx_jobs.model.errors import (
    StaleVersionError,
    StoreError,
)
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import CREATED, QUEUED, RUNNING, Job, JobStatus, Transition
from cidx_jobs.model.listing import Change, RunGuard
from cidx_jobs.store.sqlite.commit.fence import check_run
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.jobs.checkpoints import drop_checkpoint, store_checkpoint
from cidx_jobs.store.sqlite.jobs.columns import (
    PROGRESS,
    Shape,
    columns,
    encode_changed,
    encode_new,
    encode_progress,
    parameter,
)
from cidx_jobs.store.sqlite.jobs.keys import save_key
from cidx_jobs.store.sqlite.jobs.stored_bytes import check_room, find_growth, read_growth
from cidx_jobs.store.sqlite.projects import save_request
from cidx_jobs.store.sqlite.schedules import save_schedule
from cidx_jobs.store.sqlite.values import Row

_UPDATE_PROGRESS = (
    f"UPDATE jobs SET {', '.join(f'{name} = {parameter(name)}' for name in columns(PROGRESS))} "  # noqa: S608
    "WHERE job_id = ? AND version = ? AND run = ? AND status = 'running'"
)
_LEAVE_PLACE = "UPDATE jobs SET place = NULL WHERE job_id = ?"
_NOT_FINAL = (None, CREATED, QUEUED, RUNNING)
_OF_RUN = " AND run = ? AND status = 'running'"


class EncodedChange(msgspec.Struct, frozen=True):
    """A change, and the statement that stores it.

    Made before it is queued, so that a value that cannot be stored is its caller's fault alone.
    """

    change: Change
    statement: str
    values: list[Any]
    growth: int | None
    """What it adds to what is stored of the user, in bytes; None where only the row says."""


def encode_change(change: Change) -> EncodedChange:
    """Make the statement that stores the change."""
    job = change.job
    if change.base_version == 0:
        shape, values = encode_new(job)
        return EncodedChange(change, insert_statement(shape), values, find_growth(change))
    shape, values = encode_changed(job, _known_before(change))
    values += (job.job_id, change.base_version)
    return EncodedChange(change, update_statement(shape), values, find_growth(change))


@functools.lru_cache(maxsize=512)
def insert_statement(shape: Shape) -> str:
    """Return the statement that inserts a job with these columns; the others have defaults."""
    names = columns(shape)
    # S608: constants of `columns`; there are few shapes.
    return (
        f"INSERT INTO jobs ({', '.join(names)}) "  # noqa: S608
        f"VALUES ({', '.join(map(parameter, names))})"
    )


@functools.lru_cache(maxsize=512)
def update_statement(shape: Shape) -> str:
    """Return the statement that changes these columns of a job at a certain version."""
    changes = ", ".join(f"{name} = {parameter(name)}" for name in columns(shape))
    # The row is the one that is known; the id makes sure of it.
    return f"UPDATE jobs SET {changes} WHERE job_id = ? AND version = ? AND row = ?"  # noqa: S608


def save_changes(
    transaction: Transaction,
    changes: Sequence[EncodedChange],
    key: Row | None,
    projects: Sequence[Row],
    schedule: Row | None,
) -> Sequence[Transition]:
    """Store the changes in order, with what belongs to them; return the numbered log rows."""
    # First what refuses, because then there is nothing to undo.
    check_room(transaction, [(encoded.change, encoded.growth) for encoded in changes])
    if key is not None:
        save_key(transaction, key)
    if schedule is not None:
        save_schedule(transaction, schedule)
    for encoded in changes:
        if encoded.change.leaves_place:
            transaction.execute(_LEAVE_PLACE, (encoded.change.job.job_id,))
    logged: list[Transition] = []
    for encoded in changes:
        change = encoded.change
        row = _store_job(transaction, encoded)
        _count(transaction, change)
        if change.drops_checkpoint:
            drop_checkpoint(transaction, change.job)
        logged += transaction.log(change.job.user_id, row, change.transitions)
    for project in projects:
        save_request(transaction, project)
    return tuple(logged)


def save_progress(
    transaction: Transaction, reports: Sequence[tuple[JobId, Row]]
) -> Sequence[JobId]:
    """Store each report whose run and version still hold; return the ids of the others."""
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
    change, job, size = encoded.change, encoded.change.job, encoded.growth
    if size is None:
        size = read_growth(transaction, change)
    row = transaction.find_row(job.job_id)
    transaction.execute(f"{encoded.statement}{_OF_RUN}", (*encoded.values, row, job.run))
    if transaction.cursor.rowcount != 1:
        check_run(transaction, RunGuard(job_id=job.job_id, run=job.run))
        raise StaleVersionError(job.job_id, change.base_version)
    transaction.charge(job.user_id, size)
    store_checkpoint(transaction, job.user_id, checkpoint)
    transaction.log(job.user_id, row, change.transitions)


def _store_job(transaction: Transaction, encoded: EncodedChange) -> int:
    """Write the job's row; return its number."""
    change, values, size = encoded.change, encoded.values, encoded.growth
    if size is None:
        size = read_growth(transaction, change)
    job_id, row = change.job.job_id, 0
    if change.base_version:
        row = transaction.find_row(job_id)
        values = [*values, row]
    try:
        transaction.execute(encoded.statement, values)
    except sqlite3.IntegrityError as error:
        raise _refusal(change, error) from error
    if transaction.cursor.rowcount != 1:
        raise StaleVersionError(change.job.job_id, change.base_version)
    transaction.charge(change.job.user_id, size)
    if not change.base_version:
        row = transaction.cursor.lastrowid or 0
        transaction.known.note_job(job_id, row)
    elif change.job.finished_at is not None:
        transaction.known.forget_job(job_id)
    return row


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
