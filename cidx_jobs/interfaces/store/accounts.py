"""Where the accounts of users are kept."""

from collections.abc import Sequence
from typing import Protocol

from cidx_jobs.model.account import Account
from cidx_jobs.model.ids import UserId


class AccountStore(Protocol):
    """Keeps accounts, one for each user at most."""

    async def add_account(self, account: Account) -> bool:
        """Store a new account; False, and nothing is stored, when the user has one."""

    async def change_account(self, account: Account, *, generation: str) -> bool:
        """Store a changed account; False, and nothing is stored, unless it has *generation*.

        Who changed it, or removed it, between a read and this write is not overwritten.
        """

    async def find_account(self, user_id: UserId) -> Account | None:
        """Return the user's account; None when there is none."""

    async def list_accounts(self) -> Sequence[Account]:
        """Return all accounts, by the names of the users."""

    async def delete_account(self, user_id: UserId) -> bool:
        """Delete the user's account; False when there is none."""
