"""Fencing of a run's writes: refused once the run is over, or another one has begun."""

from cidx_jobs.model.errors import StaleRunError
from cidx_jobs.model.listing import RunGuard
from cidx_jobs.store.sqlite.commit.transaction import Transaction

_FIND_RUN = "SELECT 1 FROM jobs WHERE job_id = ? AND run = ? AND status = 'running'"


def check_run(transaction: Transaction, guard: RunGuard) -> None:
    """Raise `StaleRunError` unless the run still holds."""
    if transaction.execute(_FIND_RUN, (guard.job_id, guard.run)).fetchone() is None:
        raise StaleRunError(guard.job_id, guard.run)
