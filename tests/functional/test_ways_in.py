"""Every route for everybody who may ask: others' tokens, proxies, and all who forge them."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cidx_jobs.web.http.route import Route
from cidx_jobs.web.routes.table import list_routes
from tests.functional.web import NO_JOB, AioClient, House, open_house

ROUTES = [one for one in list_routes("/api", is_own=True) if one[1].scope is not None]
SECRET = "s" * 32
SIGNED: dict[str, Any] = {"auth": "jwt", "jwt_algorithm": "RS256"}
BEHIND: dict[str, Any] = {
    "auth": "proxy",
    "proxy_header": "X-User",
    "proxy_scope_header": "X-Scopes",
    "proxy_peers": ["127.0.0.0/8"],
}
NOW = 1_800_000_000
LATER = NOW + 10**9
SCOPES = {"alice": "write", "bob": "write", "rita": "read", "audrey": "audit", "root": "admin"}


@attrs.frozen
class Keys:
    """Key pairs of the servers that sign."""

    ours: rsa.RSAPrivateKey
    others: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        """The public half, as the settings have it."""
        return self.ours.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, **claims: Any) -> str:
        """Return a token with the claims."""
        return jwt.encode(claims, self.ours, algorithm="RS256")


@pytest.fixture(scope="module")
def keys() -> Keys:
    """Return the keys, which take long to make."""
    return Keys(*(rsa.generate_private_key(65_537, 2_048) for _ in range(2)))


@pytest.fixture
async def signed(aiohttp_client: AioClient, tmp_path: Path, keys: Keys) -> AsyncIterator[House]:
    """Open a server that takes the tokens of another."""
    file = tmp_path / "key.pem"
    file.write_bytes(keys.pem)
    settings = SIGNED | {"jwt_key_file": file}
    async with open_house(aiohttp_client, tmp_path / "data", **settings) as house:
        yield house


@pytest.fixture
async def behind(aiohttp_client: AioClient, tmp_path: Path) -> AsyncIterator[House]:
    """Open a server whose proxy names the users."""
    async with open_house(aiohttp_client, tmp_path / "data", **BEHIND) as house:
        yield house


def _raw(header: Mapping[str, Any], claims: Mapping[str, Any], key: bytes | None) -> str:
    """Return a token that no library would sign."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims)
    ]
    text = b".".join(parts)
    mark = b"" if key is None else hmac.new(key, text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()


_ROOT = {"sub": "root", "scope": "admin", "exp": LATER}

FORGERIES: Mapping[str, Callable[[Keys], str]] = {
    "no_token": lambda _: "",
    "no_jwt": lambda _: "cidxj_" + "0" * 43,
    "expired": lambda keys: keys.sign(**_ROOT | {"exp": 1_000}),
    "wrong_signature": lambda keys: jwt.encode(_ROOT, keys.others, algorithm="RS256"),
    "cut_signature": lambda keys: keys.sign(**_ROOT)[:-4],
    "no_signature": lambda keys: keys.sign(**_ROOT).rpartition(".")[0] + ".",
    "alg_none": lambda _: _raw({"alg": "none", "typ": "JWT"}, _ROOT, None),
    "alg_None": lambda _: _raw({"alg": "None"}, _ROOT, b""),
    "alg_list": lambda _: _raw({"alg": ["RS256"]}, _ROOT, b"x"),
    "public_key_as_secret": lambda keys: _raw({"alg": "HS256"}, _ROOT, keys.pem),
    "public_key_stripped_as_secret": lambda keys: _raw({"alg": "HS256"}, _ROOT, keys.pem.strip()),
    "kid_is_a_path": lambda _: _raw({"alg": "HS256", "kid": "../../dev/null"}, _ROOT, b""),
    "kid_is_a_query": lambda _: _raw({"alg": "HS256", "kid": "x' UNION SELECT 'k"}, _ROOT, b"k"),
    "kid_is_no_text": lambda _: _raw({"alg": "RS256", "kid": {"a": 1}}, _ROOT, b"k"),
    "own_key_inside": lambda keys: jwt.encode(
        _ROOT,
        keys.others,
        algorithm="RS256",
        headers={"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(keys.others.public_key()))},
    ),
    "unknown_extension": lambda keys: jwt.encode(
        _ROOT, keys.ours, algorithm="RS256", headers={"crit": ["x"], "x": 1}
    ),
    "no_exp": lambda keys: keys.sign(sub="root", scope="admin"),
    "exp_is_text": lambda keys: _signed_as_is(keys, '{"sub": "root", "exp": "9999999999"}'),
    "exp_is_nan": lambda keys: _signed_as_is(keys, '{"sub": "root", "exp": NaN}'),
    "exp_is_infinite": lambda keys: _signed_as_is(keys, '{"sub": "root", "exp": 1e999}'),
    "exp_is_true": lambda keys: _signed_as_is(keys, '{"sub": "root", "exp": true}'),
    "far_nbf": lambda keys: keys.sign(**_ROOT | {"nbf": LATER - 10}),
    "no_user": lambda keys: keys.sign(exp=LATER, scope="admin"),
    "user_is_no_text": lambda keys: _signed_as_is(keys, f'{{"sub": 1, "exp": {LATER}}}'),
    "user_is_empty": lambda keys: keys.sign(**_ROOT | {"sub": ""}),
    "user_is_unprintable": lambda keys: keys.sign(**_ROOT | {"sub": "a\nb"}),
    "claims_are_a_list": lambda keys: _signed_as_is(keys, "[]"),
    "claims_are_deep": lambda keys: _signed_as_is(keys, "[" * 4_000),
}


def _signed_as_is(keys: Keys, claims: str) -> str:
    return jwt.PyJWS().encode(claims.encode(), keys.ours, algorithm="RS256")


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_what_proves_nothing_opens_no_route(signed: House, keys: Keys, forgery: str) -> None:
    """401 from each route alike, and nothing is changed or told."""
    job = await signed.jobs.submit("root", "p", job_type="gated", hold=True)
    headers = {"Authorization": f"Bearer {FORGERIES[forgery](keys)}"}

    answers = [
        (await signed.ask(route.method, _url(path, job.job_id), user=None, headers=headers))
        for path, route in ROUTES
    ]

    assert {answer.status for answer in answers} == {401}
    problems = [await answer.json() for answer in answers]
    assert {problem["code"] for problem in problems} == {"authentication_required"}
    assert len({problem["detail"] for problem in problems}) == 1
    assert (await signed.jobs.get(job.job_id)).version == job.version


async def test_a_header_that_comes_twice_opens_no_route(signed: House, keys: Keys) -> None:
    """Which of them counts, a proxy on the way may see otherwise."""
    token = keys.sign(**_ROOT)
    url = signed.client.make_url("/")
    headers = [("Authorization", f"Bearer {token}")] * 2

    url = signed.client.make_url("/")
    headers = [("Authorization", f"Bearer {token}")] * 2
    statuses = set()

    for path, route in ROUTES:
        asked = signed.client.session.request(route.method, url.with_path(path), headers=headers)
        statuses.add((await asked).status)

    assert statuses == {400}


@pytest.fixture(params=["jwt", "proxy"])
async def house(
    request: pytest.FixtureRequest, aiohttp_client: AioClient, tmp_path: Path, keys: Keys
) -> AsyncIterator[House]:
    """Open a server for each way in that others decide."""
    settings = SIGNED if request.param == "jwt" else BEHIND
    (tmp_path / "key.pem").write_bytes(keys.pem)
    if request.param == "jwt":
        settings = settings | {"jwt_key_file": tmp_path / "key.pem"}
    async with open_house(aiohttp_client, tmp_path / "data", **settings) as house:
        yield house


@pytest.mark.parametrize("user", SCOPES)
async def test_a_route_is_for_those_whom_the_way_in_lets_reach_it(
    house: House, keys: Keys, user: str
) -> None:
    """Owners reach their jobs, others none, auditors read, and administrators do all."""
    job = await house.jobs.submit("alice", "p", job_type="gated", hold=True)
    if house.jobs.settings.auth == "jwt":
        token = keys.sign(sub=user, scope=f"openid {SCOPES[user]}", exp=LATER)
        headers = {"Authorization": f"Bearer {token}"}
    else:
        headers = {"X-User": user, "X-Scopes": SCOPES[user]}

    for path, route in _changes_last(ROUTES):
        answer = await house.ask(route.method, _url(path, job.job_id), user=None, headers=headers)
        assert answer.status == 401 or "authentication" not in await answer.text()
        if not _reaches(SCOPES[user], route):
            assert answer.status == 403, (route.key, answer.status)
        elif "{job_id}" in path:
            sees = user in {"alice", "root"} or (user == "audrey" and route.method == "GET")
            assert (answer.status != 404) is sees, (route.key, answer.status)


def _changes_last(routes: list[tuple[str, Route]]) -> list[tuple[str, Route]]:
    return sorted(routes, key=lambda one: one[1].method != "GET")


def _reaches(scope: str, route: Route) -> bool:
    reach = {
        "read": {"read"},
        "write": {"read", "write"},
        "audit": {"read", "audit"},
        "admin": {"read", "write", "audit", "admin"},
    }
    return route.scope in reach[scope]


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 202),
        ({"scope": "write"}, 202),
        ({"scope": ["openid", "write"]}, 202),
        ({"scope": "read"}, 403),
        ({"scope": "openid profile"}, 403),
        ({"scope": ""}, 403),
        ({"scope": None}, 403),
        ({"scope": {"write": True}}, 403),
        ({"scope": "read write"}, 202),
        ({"scope": "WRITE"}, 403),
        ({"aud": "somebody"}, 202),
    ],
)
async def test_the_claim_says_what_its_user_may_do(
    signed: House, keys: Keys, claims: dict[str, Any], status: int
) -> None:
    """The highest of our words counts; none of ours is nobody who may come in."""
    token = keys.sign(sub="alice", exp=LATER, **claims)

    answer = await signed.ask(
        "POST",
        "/api/jobs",
        user=None,
        headers={"Authorization": f"Bearer {token}"},
        json={"job_type": "gated", "project_id": "p"},
    )

    assert answer.status == status


async def test_the_roles_of_a_cidx_server_are_known(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """With its key and its claims its users come in, as what they are there."""
    settings = {
        "auth": "jwt",
        "jwt_key": SECRET,
        "jwt_algorithm": "HS256",
        "jwt_user_claim": "username",
        "jwt_scope_claim": "role",
        "jwt_audience": "cidx",
        "jwt_issuer": "cidx-server",
    }
    seen = {}
    async with open_house(aiohttp_client, tmp_path, **settings) as house:
        for role in ("admin", "auditor", "user", "write"):
            named = {"username": "ann", "role": role, "aud": ["x", "cidx"], "iss": "cidx-server"}
            token = jwt.encode(named | {"exp": LATER}, SECRET, algorithm="HS256")
            headers = {"Authorization": f"Bearer {token}"}
            answer = await house.ask("GET", "/auth/validate", user=None, headers=headers)
            seen[role] = (answer.status, (await answer.json()).get("user", {}).get("role"))
        wrong: list[dict[str, Any]] = [
            {"aud": "other"},
            {"iss": "other"},
            {"aud": []},
            {"iss": ""},
        ]
        for claims in wrong:
            good = {"username": "ann", "aud": "cidx", "iss": "cidx-server", "exp": LATER}
            token = jwt.encode(good | claims, SECRET, algorithm="HS256")
            headers = {"Authorization": f"Bearer {token}"}
            answer = await house.ask("GET", "/api/jobs", user=None, headers=headers)
            assert answer.status == 401, claims

    assert seen == {
        "admin": (200, "admin"),
        "auditor": (200, "auditor"),
        "user": (200, "user"),
        "write": (403, None),
    }


async def test_no_password_is_asked_where_others_let_in(signed: House) -> None:
    """A login of this server would open nothing: it is refused, and not given out."""
    body = {"username": "alice", "password": "correct horse"}

    answer = await signed.ask("POST", "/auth/login", user=None, json=body)

    assert answer.status == 403


async def test_a_proxy_names_its_user_once(behind: House) -> None:
    """Twice, with no name, or with what is none: nobody."""
    url = behind.client.make_url("/api/jobs")
    statuses = []
    for headers in (
        [("X-User", "alice")],
        [("X-User", "alice"), ("X-User", "root")],
        [("X-User", "")],
        [("X-User", "a\tb")],
        [],
        [("X-User", "alice"), ("X-Scopes", "read"), ("X-Scopes", "admin")],
        [("X-User", "alice"), ("X-Scopes", "nothing")],
    ):
        answer = await behind.client.session.get(url, headers=headers)
        statuses.append(answer.status)

    assert statuses == [200, 401, 401, 401, 401, 401, 403]


async def test_a_header_from_an_unlisted_peer_is_nobodys(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Whoever can reach the server past its proxy could name themselves as they like."""
    settings = {"auth": "proxy", "proxy_header": "X-User", "proxy_peers": ["192.0.2.1"]}
    async with open_house(aiohttp_client, tmp_path, **settings) as house:
        statuses = {
            (
                await house.ask(
                    route.method, _url(path, NO_JOB), user=None, headers={"X-User": "root"}
                )
            ).status
            for path, route in ROUTES
        }

    assert statuses == {401}


@pytest.mark.parametrize(
    ("settings", "headers", "prefix"),
    [
        ({"public_url": "https://example.org/cidx"}, {}, "/cidx/api"),
        ({"proxy_peers": ["127.0.0.1"]}, {"X-Forwarded-Prefix": "/cidx"}, "/cidx/api"),
        ({"proxy_peers": ["192.0.2.1"]}, {"X-Forwarded-Prefix": "/cidx"}, "/api"),
        ({}, {"X-Forwarded-Prefix": "/cidx"}, "/api"),
    ],
)
async def test_links_lead_through_the_proxy(
    aiohttp_client: AioClient,
    tmp_path: Path,
    settings: dict[str, Any],
    headers: dict[str, str],
    prefix: str,
) -> None:
    """In documents and in headers, by the setting or by what a listed proxy says."""
    async with open_house(aiohttp_client, tmp_path, **settings) as house:
        job = await house.submit(hold=True)
        await house.submit("alice", project_id="q", hold=True)
        path = f"/api/jobs/{job['job_id']}"
        shown = await (await house.ask("GET", path, headers=headers)).json()
        listed = await house.ask("GET", "/api/jobs?limit=1", headers=headers)

    assert shown["links"]["self"] == f"{prefix}/jobs/{job['job_id']}"
    assert listed.headers["Link"].startswith(f"<{prefix}/jobs?")


@pytest.mark.parametrize(
    ("origin", "status"), [("https://example.org", 200), ("http://example.org", 403)]
)
async def test_a_page_of_the_public_address_may_call(
    aiohttp_client: AioClient, tmp_path: Path, origin: str, status: int
) -> None:
    """By the scheme that the proxy says its client used."""
    settings = {"proxy_peers": ["127.0.0.1"], "public_url": "https://example.org"}
    headers = {"Origin": origin, "Host": "example.org", "X-Forwarded-Proto": "https"}
    async with open_house(aiohttp_client, tmp_path, **settings) as house:
        answer = await house.ask("GET", "/api/jobs", headers=headers)

    assert answer.status == status


async def test_who_is_behind_a_proxy_is_limited_alone(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """The rate of an address, and refused logins, count for the client and not for the proxy."""
    settings = {"proxy_peers": ["127.0.0.1"], "rate_limit_per_second": 0.01, "rate_limit_burst": 1}
    async with open_house(aiohttp_client, tmp_path, **settings) as house:
        statuses = [
            (
                await house.ask("GET", "/api/jobs", user=None, headers={"X-Forwarded-For": client})
            ).status
            for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2")
        ]

    assert statuses == [401, 429, 401]


@pytest.mark.slow
async def test_who_may_not_come_in_any_more_waits_no_longer(signed: House, keys: Keys) -> None:
    """A parked poll is a 401 within a second of the token's end, and a stream is over."""
    job = await signed.jobs.submit("alice", "p", job_type="gated", hold=True)
    ends = signed.jobs.clock.now().timestamp() + 0.3
    headers = {"Authorization": f"Bearer {keys.sign(sub='alice', exp=ends)}"}
    path = f"/api/jobs/{job.job_id}"
    events = {**headers, "Accept": "text/event-stream"}

    async with asyncio.timeout(5):
        poll, stream = await asyncio.gather(
            signed.ask("GET", f"{path}?wait=30", user=None, headers=headers),
            signed.ask("GET", f"{path}/events", user=None, headers=events),
        )

    assert (poll.status, stream.status) == (401, 200)
    assert signed.jobs.clock.now().timestamp() - ends < 2


def _url(path: str, job_id: str) -> str:
    names = {"token_id": "none", "user_id": "none", "alias": "none", "project_id": "none"}
    return path.format_map(_Names(names | {"job_id": job_id}))


class _Names(dict[str, str]):
    """Fills in whatever a path has."""

    def __missing__(self, _: str) -> str:
        return "none"
