"""A schedule is not stored with the job of its time."""

from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.jobs import writes
from cidx_jobs.store.sqlite.values import Row
from torture.jobs import TYPES

__all__ = ["TYPES"]


def _forget(transaction: Transaction, schedule: Row) -> None:
    """Store nothing."""


writes.save_schedule = _forget  # type: ignore[attr-defined] # it is imported there
