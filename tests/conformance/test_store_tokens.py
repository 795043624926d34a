"""What every `TokenStore` promises."""

from datetime import timedelta

from msgspec.structs import replace

from cidx_jobs.interfaces.store.tokens import TokenStore
from cidx_jobs.model.ids import UserId
from cidx_jobs.store.tokens import digest_token, make_token
from tests.stored import NOON

ALICE = UserId("alice")


async def test_a_token_is_found_by_its_digest_until_it_is_revoked(tokens: TokenStore) -> None:
    """Its text is nowhere; a change of it is stored; revoked it is gone at once."""
    text, token = make_token(ALICE, "write", now=NOON, lifetime_seconds=60, label="ci")
    await tokens.save_token(token)
    used = replace(token, last_used_at=NOON)
    await tokens.save_token(used)

    assert await tokens.find_token(digest_token(text)) == used
    assert list(await tokens.list_tokens()) == [used]
    assert await tokens.delete_token(token.token_id)
    assert not await tokens.delete_token(token.token_id)
    assert await tokens.find_token(digest_token(text)) is None


async def test_tokens_are_listed_oldest_first(tokens: TokenStore) -> None:
    """The order is that of their making."""
    later = make_token(ALICE, "read", now=NOON + timedelta(seconds=1))[1]
    sooner = make_token(ALICE, "read", now=NOON)[1]
    await tokens.save_token(later)
    await tokens.save_token(sooner)

    assert list(await tokens.list_tokens()) == [sooner, later]


async def test_tokens_that_expired_long_ago_are_deleted(tokens: TokenStore) -> None:
    """Not those that are good for ever, or expired a moment ago."""
    first, second = [
        make_token(ALICE, "read", now=NOON + timedelta(hours=hours), lifetime_seconds=60)[1]
        for hours in (0, 1)
    ]
    lasting = make_token(ALICE, "read", now=NOON)[1]
    for token in (first, second, lasting):
        await tokens.save_token(token)

    none = await tokens.delete_expired_tokens(NOON)
    one = await tokens.delete_expired_tokens(NOON + timedelta(minutes=30))

    assert (none, one) == (0, 1)
    assert {token.token_id for token in await tokens.list_tokens()} == {
        second.token_id,
        lasting.token_id,
    }
