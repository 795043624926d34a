"""Accounts and logins over HTTP: who gets in by a password, and for how long (api.md 1.8, 1.9)."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import stat
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from cidx_jobs.model import late_imports
from cidx_jobs.model.ids import UserId
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.tokens import make_token
from cidx_jobs.web.routes.table import list_routes
from tests.functional.web import AioClient, House, open_house, problem_of

PASSWORD = "correct horse"
NEW_PASSWORD = "battery staple"


@pytest.fixture
async def carol(house: House) -> dict[str, str]:
    """Make an account of carol's, and return what she logs in with."""
    body = {"user_id": "carol", "password": PASSWORD}
    answer = await house.ask("POST", "/api/admin/users", user="root", json=body)
    assert answer.status == 201, await answer.text()
    return {"username": "carol", "password": PASSWORD}


async def log_in(house: House, body: Any) -> str:
    """Log in, remember the token as the user's, and return it."""
    answer = await house.ask("POST", "/auth/login", user=None, json=body)
    assert answer.status == 200, await answer.text()
    token: str = (await answer.json())["access_token"]
    house.tokens[body["username"]] = token
    return token


async def status_of(house: House, token: str) -> int:
    """Return how a request with the token is answered."""
    headers = {"Authorization": f"Bearer {token}"}
    return (await house.ask("GET", "/api/jobs", user=None, headers=headers)).status


def signed(claims: Any, key: bytes, algorithm: str = "HS256") -> str:
    """Return a token as somebody might make it by hand."""
    parts = [json.dumps({"alg": algorithm, "typ": "JWT"}), json.dumps(claims)]
    text = ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)
    if algorithm == "none":
        return f"{text}."
    mark = hmac.digest(key, text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"


async def test_a_login_is_a_token_that_the_client_can_read(
    house: House, carol: dict[str, str], tmp_path: Path
) -> None:
    """The members and claims of the contract; the key is this user's alone."""
    answer = await house.ask("POST", "/auth/login", user=None, json={**carol, "extra": 1})

    document = await answer.json()
    claims = jwt.decode(document["access_token"], options={"verify_signature": False})
    assert answer.status == 200
    assert document["token_type"] == "bearer"
    assert document["user"] == {"username": "carol", "role": "user"}
    assert (claims["sub"], claims["username"], claims["role"]) == ("carol", "carol", "user")
    assert type(claims["iat"]) is int
    assert claims["exp"] == claims["iat"] + 28_800
    assert stat.S_IMODE((tmp_path / "login.key").stat().st_mode) == 0o600
    job = await house.ask(
        "POST",
        "/api/jobs",
        user=None,
        headers={"Authorization": f"Bearer {document['access_token']}"},
        json={"job_type": "quick", "project_id": "p"},
    )
    assert (await job.json())["user_id"] == "carol"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"username": "x"}', 422),
        (b'{"username": 1, "password": "x"}', 422),
        (b'{"username": null, "password": null}', 422),
        (b'{"username": "", "password": ""}', 401),
        (b'{"username": "nobody", "password": "wrong"}', 401),
        (b'{"username": "carol", "password": "wrong"}', 401),
    ],
)
async def test_a_wrong_login_is_refused_with_text(
    house: House, carol: dict[str, str], body: bytes, status: int
) -> None:
    """400 for no JSON, 422 for wrong members, 401 for a wrong user or password: never more."""
    headers = {"Content-Type": "application/json"}

    answer = await house.ask("POST", "/auth/login", user=None, data=body, headers=headers)

    problem = problem_of(answer, await answer.json())
    assert answer.status == status
    if status == 401:
        assert problem["detail"] == "Invalid username or password"


async def test_an_unknown_user_costs_a_comparison_too(
    house: House, carol: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hash is compared for a wrong password and for a user whom nobody knows."""
    argon2 = late_imports.import_late("cidx_jobs.engine.access.argon2_hashes")
    compared: list[str] = []
    compare = argon2.fits

    def noted(password: str, known: str) -> bool:
        compared.append(known)
        return bool(compare(password, known))

    monkeypatch.setattr(argon2, "fits", noted)

    for user in ("carol", "nobody"):
        body = {"username": user, "password": "wrong"}
        assert (await house.ask("POST", "/auth/login", user=None, json=body)).status == 401

    assert len(compared) == 2
    assert len(set(compared)) == 2


async def test_ten_refused_tries_close_the_door_for_a_minute(
    house: House, carol: dict[str, str]
) -> None:
    """Then the right password is refused, too; another user's is not."""
    body = {"user_id": "dave", "password": PASSWORD}
    await house.ask("POST", "/api/admin/users", user="root", json=body)
    for _ in range(10):
        wrong = await house.ask("POST", "/auth/login", user=None, json={**carol, "password": "no"})
        assert wrong.status == 401

    answer = await house.ask("POST", "/auth/login", user=None, json=carol)

    assert problem_of(answer, await answer.json())["code"] == "too_many_logins"
    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    await log_in(house, {"username": "dave", "password": PASSWORD})


async def test_a_good_login_clears_the_count(house: House, carol: dict[str, str]) -> None:
    """Nine wrong, one right, nine wrong: the next right one is let in."""
    for _ in range(2):
        for _ in range(9):
            await house.ask("POST", "/auth/login", user=None, json={**carol, "password": "no"})
        await log_in(house, carol)


async def test_twelve_good_logins_in_a_row_are_let_in(house: House, carol: dict[str, str]) -> None:
    """What is right never counts."""
    for _ in range(12):
        await log_in(house, carol)


@pytest.mark.parametrize("change", [{"password": NEW_PASSWORD}, {"scope": "admin"}])
async def test_a_change_of_the_account_ends_older_logins(
    house: House, carol: dict[str, str], change: dict[str, str]
) -> None:
    """Refused at once, though they were verified a moment ago; a new login is let in."""
    token = await log_in(house, carol)
    assert await status_of(house, token) == 200

    answer = await house.ask("PATCH", "/api/admin/users/carol", user="root", json=change)

    assert answer.status == 200
    assert await status_of(house, token) == 401
    again = {**carol, "password": change.get("password", PASSWORD)}
    assert await status_of(house, await log_in(house, again)) == 200


async def test_a_user_sets_another_password(house: House, carol: dict[str, str]) -> None:
    """Only who knows the old one; logins from before end, this one included."""
    token = await log_in(house, carol)
    wrong = {"old": "wrong", "new": NEW_PASSWORD}
    right = {"old": PASSWORD, "new": NEW_PASSWORD}

    assert (await house.ask("POST", "/auth/password", user="carol", json=wrong)).status == 401
    short = await house.ask(
        "POST", "/auth/password", user="carol", json={**right, "new": "1234567"}
    )
    assert short.status == 422
    assert (await house.ask("POST", "/auth/password", user="carol", json=right)).status == 204
    assert await status_of(house, token) == 401
    assert (await house.ask("POST", "/auth/login", user=None, json=carol)).status == 401
    await log_in(house, {**carol, "password": NEW_PASSWORD})


async def test_a_removed_user_is_out_at_once(house: House, carol: dict[str, str]) -> None:
    """Logins and tokens are refused, jobs are cancelled, projects go if that is asked for."""
    login = await log_in(house, carol)
    made = await house.ask("POST", "/api/admin/tokens", user="root", json={"user_id": "carol"})
    token = (await made.json())["token"]
    assert await status_of(house, token) == 200
    running = await house.submit_running("carol")
    held = await house.submit("carol", project_id="q", hold=True)
    body = {"project_id": "r", "repository_url": "https://example.com/a/b.git", "hold": True}
    await house.ask("POST", "/api/sync", user="carol", json=body)

    answer = await house.ask("DELETE", "/api/admin/users/carol?projects=true", user="root")

    assert answer.status == 204, await answer.text()
    assert [await status_of(house, text) for text in (login, token)] == [401, 401]
    for job in (running, held):
        assert (await house.jobs.get(job["job_id"])).status == "cancelled"
    assert list(await house.jobs.persistence.projects.list_projects(None)) == []
    assert (await house.ask("POST", "/auth/login", user=None, json=carol)).status == 401
    again = await house.ask("DELETE", "/api/admin/users/carol", user="root")
    assert (again.status, (await again.json())["code"]) == (404, "user_not_found")


async def test_accounts_are_listed_without_their_hashes(
    house: House, carol: dict[str, str]
) -> None:
    """Nothing of the password, or of what it is held against, is shown."""
    answer = await house.ask("GET", "/api/admin/users", user="root")

    text = await answer.text()
    assert [one["user_id"] for one in (await answer.json())["users"]] == ["carol"]
    assert "$" not in text
    assert PASSWORD not in text
    assert "hash" not in text


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"user_id": "carol", "password": PASSWORD}, 409, None),
        ({"user_id": "x", "password": "1234567"}, 422, "/password"),
        ({"user_id": "x"}, 422, "/password"),
        ({"user_id": "x", "password": PASSWORD, "password_hash": "$2b$"}, 422, "/password"),
        ({"user_id": "x", "password_hash": "plain"}, 422, "/password_hash"),
        ({"user_id": "x", "password": PASSWORD, "scope": "auditor"}, 422, "/scope"),
        ({"user_id": "", "password": PASSWORD}, 422, "/user_id"),
    ],
)
async def test_a_wrong_account_is_refused(
    house: House, carol: dict[str, str], body: Any, status: int, pointer: str | None
) -> None:
    """Each wrong member is named; a user has one account."""
    answer = await house.ask("POST", "/api/admin/users", user="root", json=body)

    problem = problem_of(answer, await answer.json())
    assert answer.status == status
    assert pointer is None or pointer in {fault["pointer"] for fault in problem["errors"]}


async def test_a_bcrypt_hash_is_taken_and_made_anew(house: House) -> None:
    """The password of another server lets in, and is kept as argon2id from then on."""
    bcrypt = pytest.importorskip("bcrypt")
    made = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    body = {"user_id": "carol", "password_hash": made}
    assert (await house.ask("POST", "/api/admin/users", user="root", json=body)).status == 201

    first = await log_in(house, {"username": "carol", "password": PASSWORD})

    account = await house.jobs.accounts.get("carol")
    assert account.password_hash.startswith("$argon2id$")
    await log_in(house, {"username": "carol", "password": PASSWORD})
    assert await status_of(house, first) == 200
    wrong = {"username": "carol", "password": "wrong"}
    assert (await house.ask("POST", "/auth/login", user=None, json=wrong)).status == 401


async def test_a_login_is_renewed_and_a_token_is_not(house: House, carol: dict[str, str]) -> None:
    """Renewing an access token would make more of it than it is."""
    token = await log_in(house, carol)

    renewed = await house.ask("POST", "/auth/refresh", user="carol")
    refused = await house.ask("POST", "/auth/refresh", user="rita")
    valid = await house.ask("GET", "/auth/validate", user="carol")

    assert await status_of(house, (await renewed.json())["access_token"]) == 200
    assert refused.status == 401
    assert (await valid.json())["user"]["username"] == "carol"
    assert await status_of(house, token) == 200


async def test_who_forges_a_login_stays_out(
    house: House, carol: dict[str, str], tmp_path: Path
) -> None:
    """No algorithm, another key, a changed claim, no end, one that came, another generation."""
    token = await log_in(house, carol)
    key = bytes.fromhex((tmp_path / "login.key").read_text())
    claims = jwt.decode(token, options={"verify_signature": False})
    without_end = {name: value for name, value in claims.items() if name != "exp"}
    head, body, mark = token.split(".")
    forged = [
        signed(claims, b"", "none"),
        f"{head}.{body}.",
        f"{head}.{body}.{mark[::-1]}",
        signed(claims, b"x" * 32),
        signed(claims, b"", "HS256"),
        signed(without_end, key),
        signed({**claims, "exp": claims["iat"] - 1}, key),
        signed({**claims, "exp": "never"}, key),
        signed({**claims, "gen": "another"}, key),
        signed({**claims, "sub": "nobody"}, key),
        signed({**claims, "sub": ["carol"]}, key),
        signed([claims], key),
        signed({**claims, "sub": "root"}, key),
    ]

    assert await status_of(house, signed(claims, key)) == 200
    assert [await status_of(house, text) for text in forged] == [401] * len(forged)


async def test_a_header_that_came_twice_proves_nothing(
    house: House, carol: dict[str, str]
) -> None:
    """A proxy on the way may have looked at the other one."""
    token = await log_in(house, carol)
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer x")]

    answer = await house.client.request("GET", "/api/jobs", headers=headers)

    assert answer.status in {400, 401}


async def _revoked(house: House) -> str:
    body = {"user_id": "carol"}
    made = await (await house.ask("POST", "/api/admin/tokens", user="root", json=body)).json()
    assert await status_of(house, made["token"]) == 200
    await house.ask("DELETE", f"/api/admin/tokens/{made['token_id']}", user="root")
    return str(made["token"])


async def _expired(house: House) -> str:
    before = house.jobs.clock.now() - timedelta(days=1)
    text, token = make_token(UserId("carol"), "admin", now=before, lifetime_seconds=60.0)
    await house.jobs.persistence.tokens.save_token(token)
    return text


async def _of_an_older_password(house: House) -> str:
    token = await log_in(house, {"username": "carol", "password": PASSWORD})
    change = {"password": NEW_PASSWORD, "scope": "admin"}
    await house.ask("PATCH", "/api/admin/users/carol", user="root", json=change)
    return token


async def _of_one_who_left(house: House) -> str:
    token = await log_in(house, {"username": "carol", "password": PASSWORD})
    await house.ask("DELETE", "/api/admin/users/carol", user="root")
    return token


ROUTES = [one for one in list_routes("/api", is_own=True) if one[1].scope is not None]


@pytest.mark.parametrize(
    "take_back", [_revoked, _expired, _of_an_older_password, _of_one_who_left]
)
async def test_what_was_taken_back_opens_no_route(
    house: House, carol: dict[str, str], take_back: Callable[[House], Awaitable[str]]
) -> None:
    """401 from each route alike, whatever it is and however the token was good before."""
    headers = {"Authorization": f"Bearer {await take_back(house)}"}

    answers = [
        await house.ask(route.method, re.sub(r"{\w+}", "none", path), user=None, headers=headers)
        for path, route in ROUTES
    ]

    assert {answer.status for answer in answers} == {401}
    assert len({(await answer.json())["detail"] for answer in answers}) == 1


async def test_a_flood_of_logins_compares_two_at_a_time(
    house: House, carol: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come, two take the machine's time; the others wait their turn."""
    argon2 = late_imports.import_late("cidx_jobs.engine.access.argon2_hashes")
    compare, now, most = argon2.fits, 0, 0

    def counted(password: str, known: str) -> bool:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            return bool(compare(password, known))
        finally:
            now -= 1

    monkeypatch.setattr(argon2, "fits", counted)

    await asyncio.gather(*(log_in(house, carol) for _ in range(8)))

    assert 1 <= most <= 2


async def test_a_missing_extra_is_said(
    house: House, carol: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """501 with the command that installs it; what is sent as a login is a 401 all the same."""
    token = await log_in(house, carol)
    monkeypatch.setattr(late_imports, "find_spec", lambda _: None)

    answer = await house.ask("POST", "/auth/login", user=None, json=carol)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"], problem["extra"]) == (501, "extra_missing", "accounts")
    assert await status_of(house, token) == 401


async def test_a_login_outlives_the_server(aiohttp_client: AioClient, tmp_path: Path) -> None:
    """The key is kept: what was good before a restart is good after it."""
    store = MemoryPersistence()
    async with open_house(aiohttp_client, tmp_path, (), store) as house:
        body = {"user_id": "carol", "password": PASSWORD}
        await house.ask("POST", "/api/admin/users", user="root", json=body)
        token = await log_in(house, {"username": "carol", "password": PASSWORD})

    async with open_house(aiohttp_client, tmp_path, (), store) as house:
        assert await status_of(house, token) == 200


async def test_the_open_route_of_health_says_healthy(house: House) -> None:
    """As the client of CIDX asks for it."""
    answer = await house.ask("GET", "/health", user=None)

    assert (answer.status, await answer.json()) == (200, {"status": "healthy"})
