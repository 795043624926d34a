"""Who may what, over HTTP: tokens, scopes, owners, origins and hosts (api.md 1.8, G14)."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from cidx_jobs.interfaces.access import Identity
from cidx_jobs.model.ids import UserId
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.tokens import make_token
from cidx_jobs.system import JobSystem
from cidx_jobs.web.app import create_app
from cidx_jobs.web.http.route import Route
from cidx_jobs.web.keys import API
from cidx_jobs.web.routes.table import API_ROUTES, list_routes
from cidx_jobs.web.server import listening
from tests.functional.web import (
    NO_JOB,
    REPOSITORY,
    USERS,
    AioClient,
    House,
    eventually,
    open_house,
    problem_of,
)

ALLOWED: Mapping[str | None, set[str | None]] = {
    "read": {None, "read"},
    "write": {None, "read", "write"},
    "audit": {None, "read", "audit"},
    "admin": {None, "read", "write", "audit", "admin"},
    None: {None},
}
OF_ONE_JOB = [route for route in API_ROUTES if "{job_id}" in route.path]
OF_ONE_PROJECT = [route for route in API_ROUTES if "{project_id}" in route.path]
EVERY_ROUTE = list_routes("/api", is_own=True)


def named(routes: list[Route]) -> pytest.MarkDecorator:
    """Give the routes as parameters of a test."""
    return pytest.mark.parametrize(
        "route", routes, ids=[f"{route.method} {route.path}" for route in routes]
    )


@pytest.mark.parametrize(
    ("path", "route"), EVERY_ROUTE, ids=[f"{route.method} {path}" for path, route in EVERY_ROUTE]
)
async def test_a_route_is_for_those_whose_scope_reaches_it(
    house: House, path: str, route: Route
) -> None:
    """401 without a token, 403 with too small a scope, else the route's own answer."""
    url = path.format(
        job_id=NO_JOB,
        project_id="none",
        token_id="none",
        user_id="none",
        alias="none",
        hook_id="none",
        name="none",
    )

    for user, scope in [(None, None), *USERS.items()]:
        answer = await house.ask(route.method, url, user=user)

        if route.scope in ALLOWED[scope]:
            if answer.status == 401:
                # Only what is no login cannot be renewed; the caller is known.
                assert (await answer.json())["code"] == "invalid_credentials"
            assert answer.status != 403 or scope == "audit"
        elif user is None:
            problem = problem_of(answer, await answer.json())
            assert (answer.status, problem["code"]) == (401, "authentication_required")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        else:
            problem = problem_of(answer, await answer.json())
            code = "admin_required" if route.scope in {"admin", "audit"} else "forbidden"
            assert (answer.status, problem["code"]) == (403, code)


@named(OF_ONE_JOB)
async def test_anothers_job_is_as_good_as_none(house: House, route: Route) -> None:
    """The same 404, the same headers, save the id asked for; and nothing is changed."""
    job = await house.submit("bob", hold=True)

    texts, headers = [], []
    for job_id in (job["job_id"], NO_JOB):
        answer = await house.ask(route.method, f"/api{route.path}".format(job_id=job_id))
        problem = problem_of(answer, await answer.json())
        assert (answer.status, problem["code"]) == (404, "job_not_found")
        own_id = answer.headers["X-Request-Id"]
        texts.append((await answer.text()).replace(job_id, "JOB").replace(own_id, "REQUEST"))
        headers.append(set(answer.headers))

    assert headers[0] == headers[1]
    assert texts[0] == texts[1]
    assert "Job not found" in texts[0]
    assert (await house.jobs.get(job["job_id"])).version == job["version"]


@named(OF_ONE_JOB)
async def test_an_admin_reaches_everybodys_jobs(house: House, route: Route) -> None:
    """Never a 404 for a job that is there."""
    job = await house.submit("bob", hold=True)

    answer = await house.ask(
        route.method, f"/api{route.path}".format(job_id=job["job_id"]), user="root"
    )

    assert answer.status != 404


@named([route for route in OF_ONE_JOB if route.method == "GET"])
async def test_an_auditor_reads_everybodys_jobs(house: House, route: Route) -> None:
    """Whole, short, and their log: as an administrator does."""
    job = await house.submit("bob", hold=True)

    answer = await house.ask(
        "GET", f"/api{route.path}".format(job_id=job["job_id"]), user="audrey"
    )

    assert answer.status == 200


async def test_an_auditor_lists_what_everybody_has(house: House) -> None:
    """Jobs, the log of all, and the figures; by user where that is asked for."""
    job = await house.submit("bob", hold=True)
    await house.submit("alice", hold=True)

    listed = await (await house.ask("GET", "/api/jobs", user="audrey")).json()
    bobs = await (await house.ask("GET", "/api/jobs?user_id=bob", user="audrey")).json()
    events = await (await house.ask("GET", "/api/events", user="audrey")).json()
    stats = await house.ask("GET", "/api/admin/stats", user="audrey")

    assert {one["user_id"] for one in listed["jobs"]} == {"alice", "bob"}
    assert [one["job_id"] for one in bobs["jobs"]] == [job["job_id"]]
    assert len({one["job_id"] for one in events["events"]}) == 2
    assert stats.status == 200


async def test_an_auditor_reads_no_code(house: House) -> None:
    """The search of a project is refused, whether there is one or not."""
    answer = await house.ask("GET", "/api/projects/p/search?q=text", user="audrey")

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "text",
    [
        "not-a-uuid",
        "019A0000-0000-7000-8000-000000000000",
        "019a0000-0000-4000-8000-000000000000",
        "%00",
        "'%20OR%201=1--",
        "..%2f..%2fetc%2fpasswd",
        "%FF%FE",
        "%ED%A0%80",
        "x" * 4_000,
    ],
)
@named(OF_ONE_JOB)
async def test_an_id_that_is_none_is_not_found(house: House, route: Route, text: str) -> None:
    """404 as for an id that names nothing."""
    path = f"/api{route.path}".format(job_id=text)
    url = house.client.make_url("/").join(URL(path, encoded=True))
    headers = {"Authorization": f"Bearer {house.tokens['root']}"}

    answer = await house.client.session.request(route.method, url, headers=headers)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (404, "job_not_found")
    assert problem["detail"].startswith("Job not found")


@named([route for route in API_ROUTES if "/schedules/{name}" in route.path])
async def test_anothers_schedule_is_as_good_as_none(house: House, route: Route) -> None:
    """Names are their users' own; naming the user takes an administrator."""
    body = {"name": "mine", "project_id": "p", "job_type": "quick", "cron": "@daily"}
    made = await house.ask("POST", "/api/schedules", user="bob", json=body)
    path = f"/api{route.path}".format(name="mine")

    unnamed = await house.ask(route.method, path)
    of_bob = await house.ask(route.method, f"{path}?user_id=bob")
    after = await house.ask("GET", "/api/schedules/mine", user="bob")

    assert made.status == 201
    assert (unnamed.status, (await unnamed.json())["code"]) == (404, "schedule_not_found")
    assert of_bob.status == 403
    assert await after.json() == await made.json()


@named(OF_ONE_PROJECT)
@pytest.mark.parametrize("user", ["bob", "root"])
async def test_a_project_is_its_users_own(house: House, route: Route, user: str) -> None:
    """The pair of user and id is the project: others have none of that name."""
    body = {"project_id": "p", "repository_url": REPOSITORY, "hold": True}
    await house.ask("POST", "/api/sync", json=body)
    path = f"/api{route.path}".format(project_id="p")
    if path.endswith("/hook"):
        await house.ask("POST", path)

    own = await house.ask("GET", path, params={"q": "text"} if "search" in path else {})
    other = await house.ask(
        "GET", path, user=user, params={"q": "text"} if "search" in path else {}
    )

    assert own.status in {200, 409}
    assert (other.status, (await other.json())["code"]) == (404, "project_not_found")


async def test_nobody_sees_whose_key_joined_what(house: House) -> None:
    """Two users' syncs of the same project id are two jobs."""
    body = {"project_id": "p", "repository_url": REPOSITORY, "hold": True}

    answers = [
        await house.ask("POST", "/api/sync", json=body, user=user) for user in ("alice", "bob")
    ]

    assert [answer.status for answer in answers] == [202, 202]
    assert len({(await answer.json())["job_id"] for answer in answers}) == 2


@pytest.mark.parametrize(
    "header",
    [
        "Bearer nope",
        "Bearer cidxj_",
        "Bearer cidxj_" + "A" * 43,
        "Bearer \u00e9",
        "Bearer",
        "Basic YTpi",
        "bearer  ",
        "",
        "Bearer {token} {token}",
        "Bearer {token}x",
        "Token {token}",
        "{token}",
    ],
)
async def test_what_is_no_token_lets_nobody_in(house: House, header: str) -> None:
    """401, and never a word about what was wrong."""
    value = header.format(token=house.tokens["alice"])

    answer = await house.ask("GET", "/api/jobs", user=None, headers={"Authorization": value})

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["detail"]) == (401, "a valid bearer token is required")


async def test_the_scheme_is_read_in_any_case(house: House) -> None:
    """As RFC 9110 has it."""
    headers = {"Authorization": f"bEaReR {house.tokens['alice']}"}

    answer = await house.ask("GET", "/api/jobs", user=None, headers=headers)

    assert answer.status == 200


async def test_an_expired_token_lets_nobody_in(house: House) -> None:
    """It follows the wall clock, also where the token was in use a moment ago."""
    text, token = make_token(
        UserId("eve"), "write", now=house.jobs.clock.now(), lifetime_seconds=0.05
    )
    await house.jobs.persistence.tokens.save_token(token)
    headers = {"Authorization": f"Bearer {text}"}
    first = await house.ask("GET", "/api/jobs", user=None, headers=headers)
    assert token.expires_at is not None
    expires_at = token.expires_at

    await eventually(lambda: house.jobs.clock.now() >= expires_at)
    second = await house.ask("GET", "/api/jobs", user=None, headers=headers)

    assert (first.status, second.status) == (200, 401)


async def test_a_token_is_revoked_at_once(house: House) -> None:
    """The next request with it is refused, though the one before was let in."""
    made = await house.ask("POST", "/api/admin/tokens", user="root", json={"user_id": "eve"})
    token = await made.json()
    headers = {"Authorization": f"Bearer {token['token']}"}
    first = await house.ask("GET", "/api/jobs", user=None, headers=headers)

    gone = await house.ask("DELETE", f"/api/admin/tokens/{token['token_id']}", user="root")
    second = await house.ask("GET", "/api/jobs", user=None, headers=headers)

    assert (made.status, first.status, gone.status, second.status) == (201, 200, 204, 401)


async def test_the_last_use_of_a_token_is_kept_and_does_not_bring_it_back(house: House) -> None:
    """It is stored beside the request, at most once a minute."""
    made = await house.ask("POST", "/api/admin/tokens", user="root", json={"user_id": "eve"})
    token = await made.json()
    headers = {"Authorization": f"Bearer {token['token']}"}

    await house.ask("GET", "/api/jobs", user=None, headers=headers)
    authenticator = house.client.app[API].tokens
    assert authenticator is not None
    await authenticator.close()
    first = {
        one.token_id: one.last_used_at for one in await house.jobs.persistence.tokens.list_tokens()
    }
    await house.ask("GET", "/api/jobs", user=None, headers=headers)
    await authenticator.close()
    second = {
        one.token_id: one.last_used_at for one in await house.jobs.persistence.tokens.list_tokens()
    }
    revoked = house.ask("DELETE", f"/api/admin/tokens/{token['token_id']}", user="root")
    await asyncio.gather(revoked, house.ask("GET", "/api/jobs", user=None, headers=headers))
    await authenticator.close()

    assert first[token["token_id"]] is not None
    assert second[token["token_id"]] == first[token["token_id"]]
    assert token["token_id"] not in [
        one.token_id for one in await house.jobs.persistence.tokens.list_tokens()
    ]


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("https://evil.example", False),
        ("null", False),
        ("http://{host}.evil.example", False),
        ("http://evil{host}", False),
        ("ftp://{host}", False),
        ("http://localhost:1", False),
        ("", False),
        ("http://{host}", True),
        ("HTTP://{host}", True),
        ("https://pages.example", True),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_pages_of_other_sites_may_not_call(
    aiohttp_client: AioClient, tmp_path: Path, origin: str, is_own: bool, method: str
) -> None:
    """403 for a foreign Origin, with a valid token too; `allowed_origins` may."""
    async with open_house(
        aiohttp_client, tmp_path, allowed_origins="https://pages.example"
    ) as house:
        url = house.client.make_url("/api/jobs")
        value = origin.format(host=f"{url.host}:{url.port}")

        answer = await house.ask(method, "/api/jobs", json={}, headers={"Origin": value})

        assert (answer.status != 403) is is_own


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("evil.example", False),
        ("evil.example:8095", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("10.0.0.1", False),
        ("", False),
        ("[::1", False),
        ("127.0.0.1", True),
        ("127.0.0.1:99", True),
        ("localhost:8095", True),
        ("LOCALHOST", True),
        ("[::1]:8095", True),
        ("jobs.example", True),
    ],
)
@pytest.mark.parametrize("path", ["/api/jobs", "/livez", "/nothing"])
async def test_without_log_in_only_own_names_are_answered(
    aiohttp_client: AioClient, tmp_path: Path, host: str, is_own: bool, path: str
) -> None:
    """A name that was rebound to this machine is 403 in mode `none`."""
    async with open_house(
        aiohttp_client, tmp_path, auth="none", allowed_hosts="jobs.example"
    ) as house:
        answer = await house.ask("GET", path, user=None, headers={"Host": host})

        assert (answer.status != 403) is is_own


@pytest.mark.parametrize(
    ("header", "is_direct"),
    [
        ("Forwarded", False),
        ("Via", False),
        ("X-Real-IP", False),
        ("x-forwarded-for", False),
        ("X-Forwarded-Host", False),
        ("X-FORWARDED-ANYTHING", False),
        ("X-Forwarder", True),
        ("X-Request-ID", True),
    ],
)
@pytest.mark.parametrize("path", ["/api/jobs", "/livez"])
async def test_without_log_in_nothing_may_come_through_a_proxy(
    aiohttp_client: AioClient, tmp_path: Path, header: str, is_direct: bool, path: str
) -> None:
    """Behind a proxy everybody would be the one user that mode `none` knows: 403."""
    async with open_house(aiohttp_client, tmp_path, auth="none") as house:
        answer = await house.ask("GET", path, user=None, headers={header: "10.0.0.1"})

        assert (answer.status == 403) is not is_direct


async def test_with_log_in_a_proxy_may_stand_before_the_server(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """A token says who asks, whichever way the request took."""
    async with open_house(aiohttp_client, tmp_path) as house:
        answer = await house.ask("GET", "/api/jobs", headers={"X-Forwarded-For": "10.0.0.1"})

        assert answer.status == 200


async def test_without_log_in_everybody_is_local_and_may_do_all(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Mode `none`: one user, scope admin."""
    async with open_house(aiohttp_client, tmp_path, auth="none") as house:
        job = await house.ask(
            "POST", "/api/jobs", user=None, json={"job_type": "quick", "project_id": "p"}
        )
        stats = await house.ask("GET", "/api/admin/stats", user=None)

        assert (await job.json())["user_id"] == "local"
        assert stats.status == 200


async def test_without_log_in_a_call_from_outside_is_refused(
    tmp_path: Path, outside_address: str
) -> None:
    """Also where an application that mounts us listens on all addresses."""
    settings = Settings(data_dir=tmp_path, auth="none")
    async with (
        JobSystem.open(settings, persistence=MemoryPersistence()) as jobs,
        listening(create_app(jobs), host="0.0.0.0", port=0) as url,
        aiohttp.ClientSession(headers={"Host": "localhost"}) as http,
    ):
        port = url.rpartition(":")[2]
        outside = await http.get(f"http://{outside_address}:{port}/api/jobs")
        inside = await http.get(f"{url}/api/jobs")

    assert (outside.status, inside.status) == (403, 200)


async def test_the_host_application_may_say_who_calls(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Its identity counts, None is a 401, and what it raises is answered."""

    async def authenticate(request: web.Request) -> Identity | None:
        match request.headers.get("X-User"):
            case None:
                return None
            case "away":
                raise web.HTTPFound("/login")
            case "banned":
                raise web.HTTPForbidden
            case user:
                return Identity(user_id=user, scopes=frozenset({"read"}))

    settings = Settings(data_dir=tmp_path, auth="tokens")
    async with JobSystem.open(settings, persistence=MemoryPersistence()) as jobs:
        client = await aiohttp_client(create_app(jobs, authenticate=authenticate))
        statuses = {}
        for user in ("carol", None, "away", "banned"):
            headers = {} if user is None else {"X-User": user, "Host": "any.example"}
            answer = await client.get("/api/jobs", headers=headers, allow_redirects=False)
            statuses[user] = answer.status
        write = await client.post("/api/sync", json={}, headers={"X-User": "carol"})
        await client.close()

    assert statuses == {"carol": 200, None: 401, "away": 302, "banned": 403}
    assert write.status == 403
