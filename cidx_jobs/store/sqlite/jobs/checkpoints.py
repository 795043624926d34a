"""Checkpoints: the row in which a run keeps what the next one needs."""

import sqlite3

from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.listing import Checkpoint
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.values import (
    Row,
    from_json,
    from_microseconds,
    to_json,
    to_microseconds,
)

_SAVE = """
INSERT INTO checkpoints (job_id, run, data, phase, saved_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (job_id) DO UPDATE
SET run = excluded.run, data = excluded.data, phase = excluded.phase, saved_at = excluded.saved_at
"""
_SIZE = "SELECT length(CAST(data AS BLOB)) FROM checkpoints WHERE job_id = ?"
_DROP = "DELETE FROM checkpoints WHERE job_id = ?"
_LOAD = "SELECT job_id, run, data, phase, saved_at FROM checkpoints WHERE job_id = ?"


def encode_checkpoint(job: Job, data: object) -> Row:
    """Return the row of the checkpoint that *job* says it has; *data* is any JSON value."""
    info = job.checkpoint
    phase, saved_at = (None, job.updated_at) if info is None else (info.phase, info.saved_at)
    return (job.job_id, job.run, to_json(data), phase, to_microseconds(saved_at))


def store_checkpoint(transaction: Transaction, user_id: UserId, checkpoint: Row) -> None:
    """Store a checkpoint of a user's job in the place of the one before."""
    job_id, _, data, *_ = checkpoint
    transaction.charge(user_id, len(data.encode()) - _size(transaction, job_id))
    transaction.execute(_SAVE, checkpoint)


def drop_checkpoint(transaction: Transaction, job: Job) -> None:
    """Delete the job's checkpoint, if there is one."""
    transaction.charge(job.user_id, -_size(transaction, job.job_id))
    transaction.execute(_DROP, (job.job_id,))


def _size(transaction: Transaction, job_id: JobId) -> int:
    row = transaction.execute(_SIZE, (job_id,)).fetchone()
    return 0 if row is None else int(row[0])


def load_checkpoint(connection: sqlite3.Connection, job_id: JobId) -> Checkpoint | None:
    """Return the job's last checkpoint."""
    row = connection.execute(_LOAD, (job_id,)).fetchone()
    if row is None:
        return None
    return Checkpoint(
        job_id=JobId(row[0]),
        run=row[1],
        data=from_json(row[2]),
        phase=row[3],
        saved_at=from_microseconds(row[4]),
    )
