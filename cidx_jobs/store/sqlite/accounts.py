"""Accounts of users: their rows, writes and reads."""

from collections.abc import Sequence

from typing_extensions import override

from cidx_jobs.interfaces.store.accounts import AccountStore
from cidx_jobs.model.account import Account
from cidx_jobs.model.ids import UserId
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.values import Row, from_microseconds, to_microseconds

_COLUMNS = "user_id, scope, password_hash, generation, created_at, changed_at"
# S608: the columns are the constant above.
_FIND = f"SELECT {_COLUMNS} FROM accounts WHERE user_id = ?"  # noqa: S608
_LIST = f"SELECT {_COLUMNS} FROM accounts ORDER BY user_id"  # noqa: S608
_ADD = f"INSERT INTO accounts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
_CHANGE = """
UPDATE accounts SET scope = ?, password_hash = ?, generation = ?, changed_at = ?
WHERE user_id = ? AND generation = ?
"""
_DELETE = "DELETE FROM accounts WHERE user_id = ?"


class SqliteAccounts(AccountStore):
    """The accounts in the database."""

    def __init__(self, database: Database) -> None:
        """Take the database that holds them."""
        self._database = database

    @override
    async def add_account(self, account: Account) -> bool:
        return await self._database.execute(_ADD, _encode(account)) == 1

    @override
    async def change_account(self, account: Account, *, generation: str) -> bool:
        values = (
            account.scope,
            account.password_hash,
            account.generation,
            to_microseconds(account.changed_at),
            account.user_id,
            generation,
        )
        return await self._database.execute(_CHANGE, values) == 1

    @override
    async def find_account(self, user_id: UserId) -> Account | None:
        return await self._database.find_row(_FIND, (user_id,), _decode)

    @override
    async def list_accounts(self) -> Sequence[Account]:
        return await self._database.list_rows(_LIST, (), _decode)

    @override
    async def delete_account(self, user_id: UserId) -> bool:
        return await self._database.execute(_DELETE, (user_id,)) == 1


def _encode(account: Account) -> Row:
    return (
        account.user_id,
        account.scope,
        account.password_hash,
        account.generation,
        to_microseconds(account.created_at),
        to_microseconds(account.changed_at),
    )


def _decode(row: Row) -> Account:
    return Account(
        user_id=UserId(row[0]),
        scope=row[1],
        password_hash=row[2],
        generation=row[3],
        created_at=from_microseconds(row[4]),
        changed_at=from_microseconds(row[5]),
    )
