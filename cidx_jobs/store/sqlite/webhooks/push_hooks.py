"""Push hooks of projects and their deliveries: their rows, writes and reads."""

from collections.abc import Sequence
from functools import partial

from typing_extensions import override

from cidx_jobs.interfaces.store.push_hooks import PushHookStore
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.webhooks.push_hook import KEPT_DELIVERIES, PushDelivery, PushHook
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.values import Row, from_microseconds, to_microseconds

_COLUMNS = "hook_id, user_id, project_id, sealed_secret, created_at"
# S608: the columns are the constant above.
_SAVE = f"""
INSERT INTO push_hooks ({_COLUMNS}) SELECT ?1, ?2, ?3, ?4, ?5
WHERE EXISTS (SELECT 1 FROM projects WHERE user_id = ?2 AND project_id = ?3)
ON CONFLICT (user_id, project_id) DO UPDATE
SET sealed_secret = excluded.sealed_secret, created_at = excluded.created_at
RETURNING {_COLUMNS}
"""  # noqa: S608
_FIND = f"SELECT {_COLUMNS} FROM push_hooks WHERE hook_id = ?"  # noqa: S608
_FIND_OF = f"SELECT {_COLUMNS} FROM push_hooks WHERE user_id = ? AND project_id = ?"  # noqa: S608
_LIST = f"SELECT {_COLUMNS} FROM push_hooks ORDER BY user_id, project_id"  # noqa: S608
_DELETE = "DELETE FROM push_hooks WHERE user_id = ? AND project_id = ?"
_DELETE_OF = "DELETE FROM push_hooks WHERE user_id = ?"
_ADD_DELIVERY = """
INSERT INTO push_deliveries (hook_id, at, sender, kind, verdict, job_id)
SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM push_hooks WHERE hook_id = ?1)
"""
_DROP_ALIKE = "DELETE FROM push_deliveries WHERE hook_id = ? AND verdict = ?"
_DROP_OLD = """
DELETE FROM push_deliveries WHERE hook_id = ?1 AND row NOT IN (
SELECT row FROM push_deliveries WHERE hook_id = ?1 ORDER BY row DESC LIMIT ?2)
"""
_LIST_DELIVERIES = """
SELECT at, sender, kind, verdict, job_id FROM push_deliveries WHERE hook_id = ? ORDER BY row DESC
"""


class SqlitePushHooks(PushHookStore):
    """The push hooks in the database."""

    def __init__(self, database: Database) -> None:
        """Take the database that holds them."""
        self._database = database

    @override
    async def save_hook(self, hook: PushHook) -> PushHook | None:
        row = (
            hook.hook_id,
            hook.user_id,
            hook.project_id,
            hook.sealed_secret,
            to_microseconds(hook.created_at),
        )
        stored: PushHook | None = await self._database.write(partial(_save, row))
        return stored

    @override
    async def find_hook(self, hook_id: str) -> PushHook | None:
        return await self._database.find_row(_FIND, (hook_id,), _decode)

    @override
    async def find_hook_of(self, user_id: UserId, project_id: ProjectId) -> PushHook | None:
        return await self._database.find_row(_FIND_OF, (user_id, project_id), _decode)

    @override
    async def list_hooks(self) -> Sequence[PushHook]:
        return await self._database.list_rows(_LIST, (), _decode)

    @override
    async def delete_hook(self, user_id: UserId, project_id: ProjectId) -> bool:
        return await self._database.execute(_DELETE, (user_id, project_id)) == 1

    @override
    async def delete_hooks_of(self, user_id: UserId) -> None:
        await self._database.execute(_DELETE_OF, (user_id,))

    @override
    async def add_delivery(
        self, hook_id: str, delivery: PushDelivery, *, replaces_alike: bool = False
    ) -> None:
        row = (
            hook_id,
            to_microseconds(delivery.at),
            delivery.sender,
            delivery.kind,
            delivery.verdict,
            delivery.job_id,
        )
        await self._database.write(partial(_add_delivery, row, replaces_alike=replaces_alike))

    @override
    async def list_deliveries(self, hook_id: str) -> Sequence[PushDelivery]:
        return await self._database.list_rows(_LIST_DELIVERIES, (hook_id,), _decode_delivery)


def _save(row: Row, transaction: Transaction) -> PushHook | None:
    transaction.execute(_SAVE, row)
    stored = transaction.cursor.fetchone()
    return None if stored is None else _decode(stored)


def _add_delivery(row: Row, transaction: Transaction, *, replaces_alike: bool) -> None:
    hook_id, *_, verdict, _ = row
    if replaces_alike:
        transaction.execute(_DROP_ALIKE, (hook_id, verdict))
    transaction.execute(_ADD_DELIVERY, row)
    transaction.execute(_DROP_OLD, (hook_id, KEPT_DELIVERIES))


def _decode(row: Row) -> PushHook:
    return PushHook(
        hook_id=row[0],
        user_id=UserId(row[1]),
        project_id=ProjectId(row[2]),
        sealed_secret=row[3],
        created_at=from_microseconds(row[4]),
    )


def _decode_delivery(row: Row) -> PushDelivery:
    return PushDelivery(
        at=from_microseconds(row[0]),
        sender=row[1],
        kind=row[2],
        verdict=row[3],
        job_id=None if row[4] is None else JobId(row[4]),
    )
