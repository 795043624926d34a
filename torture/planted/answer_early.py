"""The answer goes out before COMMIT: the transaction stays open until the next one begins."""

import sqlite3
from typing import Any

from cidx_jobs.store.sqlite.commit import committer, transaction
from torture.jobs import TYPES

__all__ = ["TYPES"]


class _Postponing:
    """A connection that leaves its transaction open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        return None if sql == "COMMIT" else self._connection.execute(sql, *parameters)


def _run_batch(connection: sqlite3.Connection, *rest: Any) -> Any:
    if connection.in_transaction:
        connection.execute("COMMIT")
    postponing: Any = _Postponing(connection)
    return transaction.run_batch(postponing, *rest)


vars(committer)["run_batch"] = _run_batch
