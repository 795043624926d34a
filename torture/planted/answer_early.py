"""The answer goes out before COMMIT: the transaction stays open until the next one begins."""

import sqlite3
from collections.abc import Sequence

from cidx_jobs.store import committer, transaction
from cidx_jobs.store.transaction import Ledger, Operation, Outcome
from torture.jobs import TYPES

__all__ = ["TYPES"]


def _run_batch(
    connection: sqlite3.Connection,
    operations: Sequence[Operation],
    ledger: Ledger,
    clock_seconds: float,
) -> tuple[list[Outcome], Ledger]:
    if connection.in_transaction:
        connection.execute("COMMIT")
    outcomes, sequence = transaction._attempt(
        connection, operations, ledger, clock_seconds, transaction._run_plain
    )
    return outcomes, Ledger(ledger.epoch, ledger.batch + 1, sequence)


vars(committer)["run_batch"] = _run_batch
