"""What every `AccountStore` promises."""

from datetime import timedelta

from msgspec.structs import replace

from cidx_jobs.interfaces.store.accounts import AccountStore
from cidx_jobs.model.account import Account
from cidx_jobs.model.ids import UserId
from tests.stored import NOON


def account_of(user: str) -> Account:
    """Return an account as it might be stored."""
    return Account(
        user_id=UserId(user),
        scope="write",
        password_hash="$argon2id$made-up",
        generation="first",
        created_at=NOON,
        changed_at=NOON,
    )


async def test_a_user_has_one_account(accounts: AccountStore) -> None:
    """A second one is refused, and changes nothing of the first."""
    alice = account_of("alice")

    assert await accounts.add_account(alice)
    assert not await accounts.add_account(replace(alice, scope="admin"))
    assert await accounts.find_account(alice.user_id) == alice
    assert await accounts.find_account(UserId("bob")) is None


async def test_a_change_is_made_to_what_was_read(accounts: AccountStore) -> None:
    """A change of an older generation, or of an account that is gone, stores nothing."""
    alice = account_of("alice")
    await accounts.add_account(alice)
    later = replace(
        alice,
        scope="admin",
        password_hash="$argon2id$another",
        generation="second",
        changed_at=NOON + timedelta(seconds=1),
    )

    assert await accounts.change_account(later, generation="first")
    assert await accounts.find_account(alice.user_id) == later
    assert not await accounts.change_account(alice, generation="first")
    assert await accounts.find_account(alice.user_id) == later
    assert not await accounts.change_account(account_of("bob"), generation="first")
    assert await accounts.find_account(UserId("bob")) is None


async def test_accounts_are_listed_by_name_until_they_are_deleted(accounts: AccountStore) -> None:
    """A deleted one is gone at once, and can be made anew."""
    for user in ("bob", "alice"):
        await accounts.add_account(account_of(user))

    assert [one.user_id for one in await accounts.list_accounts()] == ["alice", "bob"]
    assert await accounts.delete_account(UserId("alice"))
    assert not await accounts.delete_account(UserId("alice"))
    assert [one.user_id for one in await accounts.list_accounts()] == ["bob"]
    assert await accounts.add_account(account_of("alice"))
