"""What every authenticator promises: an identity or None, never an error, whatever it is shown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import jwt
import pytest

from cidx_jobs.engine.access.accounts import Accounts
from cidx_jobs.engine.access.admin_log import AdminLog
from cidx_jobs.engine.access.logins import Logins
from cidx_jobs.engine.access.passwords import Passwords
from cidx_jobs.interfaces.access import Authenticator, Credentials, Identity
from cidx_jobs.model.ids import UserId
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.tokens import make_token
from cidx_jobs.web.access.authenticators import LocalAuthenticator, TokenAuthenticator
from cidx_jobs.web.access.jwt import JwtAuthenticator
from cidx_jobs.web.access.proxy import ProxyAuthenticator
from cidx_jobs.web.access.proxy_peers import ProxyPeers
from tests.fakes import FakeClock


@attrs.frozen
class Door:
    """An authenticator, and what opens it."""

    authenticator: Authenticator
    headers: Mapping[str, str]
    is_open: bool
    """Everybody comes in."""


def accounts_of(
    store: MemoryPersistence, clock: FakeClock, directory: Path
) -> Callable[[], Accounts]:
    """Return what knows the accounts of a store."""
    logins = Logins(store.accounts, clock, directory / "login.key", 3_600)
    accounts = Accounts(
        store.accounts, logins, Passwords(), clock, AdminLog(store.admin_log, clock)
    )
    return lambda: accounts


@pytest.fixture(params=["none", "tokens", "logins", "jwt", "proxy"])
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> Door:
    """Return each authenticator in turn."""
    if request.param == "none":
        return Door(LocalAuthenticator(), {}, is_open=True)
    store, clock = MemoryPersistence(), FakeClock()
    if request.param == "jwt":
        key, claims = "s" * 32, {"sub": "alice", "exp": clock.now().timestamp() + 3_600}
        signed: dict[str, Any] = {"auth": "jwt", "jwt_key": key, "jwt_algorithm": "HS256"}
        headers = {"Authorization": f"Bearer {jwt.encode(claims, key)}"}
        return Door(JwtAuthenticator(Settings(**signed), clock), headers, is_open=False)
    if request.param == "proxy":
        behind = Settings(auth="proxy", proxy_header="X-User", proxy_peers=("0.0.0.0/0",))
        proxied = ProxyAuthenticator(behind, ProxyPeers(behind))
        return Door(proxied, {"X-User": "alice"}, is_open=False)
    await store.open()
    text, token = make_token(UserId("alice"), "write", now=clock.now())
    await store.tokens.save_token(token)
    if request.param == "logins":
        accounts = accounts_of(store, clock, tmp_path)
        await accounts().add("alice", scope="write", password="correct horse")
        text = (await accounts().log_in("alice", "correct horse", address=None)).token
        way = TokenAuthenticator(store.tokens, clock, accounts)
        return Door(way, {"Authorization": f"Bearer {text}"}, is_open=False)
    headers = {"Authorization": f"Bearer {text}"}
    return Door(
        TokenAuthenticator(store.tokens, clock, accounts_of(store, clock, tmp_path)),
        headers,
        is_open=False,
    )


def shown(headers: Mapping[str, str], peer: str | None = "192.0.2.1") -> Credentials:
    """Return the credentials of a request with these headers."""
    return Credentials(authorization=headers.get("Authorization"), headers=headers, peer=peer)


async def test_who_has_the_key_is_known(door: Door) -> None:
    """Each time as the same user, with scopes that are known."""
    found = [await door.authenticator.authenticate(shown(door.headers)) for _ in range(3)]

    assert found[0] is not None
    assert found == [found[0]] * 3
    assert found[0].user_id
    assert found[0].scopes <= {"read", "write", "admin"}


async def test_the_last_use_of_a_token_does_not_bring_it_back(tmp_path: Path) -> None:
    """It was just used, and is revoked before the time of that is stored."""
    store, clock = MemoryPersistence(), FakeClock()
    await store.open()
    text, token = make_token(UserId("alice"), "write", now=clock.now())
    await store.tokens.save_token(token)
    authenticator = TokenAuthenticator(store.tokens, clock, accounts_of(store, clock, tmp_path))

    found = await authenticator.authenticate(shown({"Authorization": f"Bearer {text}"}))
    await authenticator.revoke(token.token_id)
    await authenticator.close()

    assert found is not None
    assert await store.tokens.list_tokens() == ()


@pytest.mark.parametrize("peer", ["192.0.2.1", "::1", None])
async def test_where_a_request_comes_from_is_no_key(door: Door, peer: str | None) -> None:
    """Without what opens it nobody comes in, unless all do."""
    found = await door.authenticator.authenticate(shown({}, peer))

    assert (found is not None) is door.is_open


@pytest.mark.parametrize(
    "value", ["", " ", "Bearer", "Bearer \udcff", "x" * 10_000, "Bearer cidxj_" + "\u00e9" * 43]
)
async def test_a_wrong_key_is_no_error(door: Door, value: str) -> None:
    """None, and not an exception."""
    found = await door.authenticator.authenticate(shown({"Authorization": value}))

    assert (found is not None) is door.is_open


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (set(), set()),
        ({"read"}, {"read"}),
        ({"write"}, {"read", "write"}),
        ({"audit"}, {"read", "audit"}),
        ({"write", "audit"}, {"read", "write", "audit"}),
        ({"admin"}, {"read", "write", "audit", "admin"}),
        ({"other"}, set()),
        ({"read", "other"}, {"read"}),
    ],
)
def test_a_scope_includes_those_before_it(scopes: set[str], allowed: set[str]) -> None:
    """Read is in write and audit, and all are in admin; others are nothing."""
    identity = Identity(user_id="alice", scopes=frozenset(scopes))

    known = ("read", "write", "audit", "admin")
    assert {scope for scope in known if identity.allows(scope)} == allowed
