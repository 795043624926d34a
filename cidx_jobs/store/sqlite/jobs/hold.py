"""Holding of all unfinished jobs, in a database that nobody serves."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from cidx_jobs.model.job.events import Hold
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.lifecycle import advance
from cidx_jobs.model.listing import Change
from cidx_jobs.store.sqlite.commit.known_rows import KnownRows
from cidx_jobs.store.sqlite.commit.transaction import Failure, Ledger, run_batch
from cidx_jobs.store.sqlite.jobs.lists import load_unfinished_jobs
from cidx_jobs.store.sqlite.jobs.writes import encode_change, save_changes

_READ_OWNER = "SELECT epoch, batch, sequence, clock_seconds FROM owner WHERE id = 1"


def hold_unfinished_jobs(connection: sqlite3.Connection, reason: str, now: datetime) -> int:
    """Hold every unfinished job, in one transaction; return how many wait as held.

    Those that wait do so at once. A run that was going when the database was copied has its job
    held once the next start has ended it, as that job's type says: only there types are known. A
    job that was told to stop is left to that start, which cancels it.

    Raises:
        sqlite3.Error: it cannot be stored; nothing is changed.
    """
    jobs = [job for job in load_unfinished_jobs(connection) if job.cancel_requested_at is None]
    changes = [_hold(job, reason, now) for job in jobs if not job.hold]
    if changes:
        _store(connection, changes)
    return len(jobs)


def _hold(job: Job, reason: str, now: datetime) -> Change:
    # Of a run its row's time is all that is known of how long it went on.
    at = job.updated_at if job.status is JobStatus.RUNNING else now
    held, row = advance(job, Hold(reason=reason), at)
    return Change(job=held, base_version=job.version, transitions=(row,), before=job)


def _store(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    epoch, batch, sequence, clock_seconds = connection.execute(_READ_OWNER).fetchone()
    operation = partial(
        save_changes,
        changes=[encode_change(change) for change in changes],
        key=None,
        projects=(),
        schedule=None,
    )
    ledger = Ledger(epoch=epoch, batch=batch, sequence=sequence)
    (done,), _ = run_batch(connection, [operation], ledger, clock_seconds, KnownRows())
    if isinstance(done, Failure):
        raise done.error
