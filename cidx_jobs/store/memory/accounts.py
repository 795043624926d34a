"""Accounts of users in memory."""

from collections.abc import Sequence

from typing_extensions import override

from cidx_jobs.interfaces.store.accounts import AccountStore
from cidx_jobs.model.account import Account
from cidx_jobs.model.ids import UserId
from cidx_jobs.store.memory.database import MemoryDatabase


class MemoryAccounts(AccountStore):
    """Accounts by user."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Begin without an account."""
        self._database = database
        self._accounts: dict[UserId, Account] = {}

    @override
    async def add_account(self, account: Account) -> bool:
        self._database.check_writable()
        return self._accounts.setdefault(account.user_id, account) is account

    @override
    async def change_account(self, account: Account, *, generation: str) -> bool:
        self._database.check_writable()
        known = self._accounts.get(account.user_id)
        if known is None or known.generation != generation:
            return False
        self._accounts[account.user_id] = account
        return True

    @override
    async def find_account(self, user_id: UserId) -> Account | None:
        return self._accounts.get(user_id)

    @override
    async def list_accounts(self) -> Sequence[Account]:
        return tuple(sorted(self._accounts.values(), key=lambda account: account.user_id))

    @override
    async def delete_account(self, user_id: UserId) -> bool:
        self._database.check_writable()
        return self._accounts.pop(user_id, None) is not None
