"""The admin log: its rows, writes and reads."""

from collections.abc import Sequence
from functools import partial

from typing_extensions import override

from cidx_jobs.interfaces.store.admin_log import MAX_ACTS, MAX_REFUSALS, AdminLogStore
from cidx_jobs.model.admin.log import AdminEntry
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.values import Row, from_microseconds, to_microseconds

_ADD = """
INSERT INTO admin_log (at, actor, action, target, address, is_refusal) VALUES (?, ?, ?, ?, ?, ?)
"""
# Once in so many entries: to find where the surplus begins, all that is kept is counted.
_DROP_EVERY = 64
_DROP = """
DELETE FROM admin_log WHERE is_refusal = ?1 AND number <= (
    SELECT number FROM admin_log WHERE is_refusal = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2
)
"""
_LIST = """
SELECT number, at, actor, action, target, address, is_refusal FROM admin_log
WHERE number < ? ORDER BY number DESC LIMIT ?
"""
_NEWEST = 2**63 - 1


class SqliteAdminLog(AdminLogStore):
    """The admin log in the database."""

    def __init__(self, database: Database) -> None:
        """Take the database that holds it."""
        self._database = database

    @override
    async def add_entries(self, entries: Sequence[AdminEntry]) -> None:
        await self._database.write(partial(_add, rows=tuple(map(_encode, entries))))

    @override
    async def list_entries(self, *, limit: int, before: int | None = None) -> Sequence[AdminEntry]:
        end = _NEWEST if before is None else before
        return await self._database.list_rows(_LIST, (end, limit), _decode)


def _add(transaction: Transaction, rows: Sequence[Row]) -> None:
    for row in rows:
        transaction.execute(_ADD, row)
        if (transaction.cursor.lastrowid or 0) % _DROP_EVERY == 0:
            transaction.execute(_DROP, (0, MAX_ACTS))
            transaction.execute(_DROP, (1, MAX_REFUSALS))


def _encode(entry: AdminEntry) -> Row:
    return (
        to_microseconds(entry.at),
        entry.actor,
        entry.action,
        entry.target,
        entry.address,
        int(entry.is_refusal),
    )


def _decode(row: Row) -> AdminEntry:
    number, at, actor, action, target, address, is_refusal = row
    return AdminEntry(
        number=number,
        at=from_microseconds(at),
        actor=actor,
        action=action,
        target=target,
        address=address,
        is_refusal=bool(is_refusal),
    )
