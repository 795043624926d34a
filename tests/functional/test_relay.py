"""Processes that do not own the directory serve the whole API: they hand requests on."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from cidx_jobs import Identity, JobSystem, JobType, Settings, create_app, setup
from cidx_jobs.settings import DataDirectory
from cidx_jobs.testing import Gate
from cidx_jobs.web.access.member_word import HEADER, MemberWord
from tests.fakes import WAIT_SECONDS
from tests.functional.web import quick
from tests.leftovers import nothing_left_behind

Mount = Callable[[web.Application, JobSystem], str]
ALICE, BOB, ROOT = ({"X-User": name} for name in ("alice", "bob", "root"))
STREAM = {**ALICE, "Accept": "text/event-stream"}
SUBMIT = {"job_type": "quick", "project_id": "p"}

pytestmark = pytest.mark.slow


async def find_user(request: web.Request) -> Identity | None:
    """Tell who calls by a header of the host's."""
    name = request.headers.get("X-User")
    return Identity(name, frozenset({"admin" if name == "root" else "write"})) if name else None


def mount_by_setup(app: web.Application, jobs: JobSystem) -> str:
    """Add the routes to the host's own; give their prefix."""
    setup(app, jobs, prefix="/internal/v1", authenticate=find_user)
    return "/internal/v1"


def mount_as_subapp(app: web.Application, jobs: JobSystem) -> str:
    """Mount the application in the host's; give the routes' prefix."""
    app.add_subapp("/jobs", create_app(jobs, authenticate=find_user))
    return "/jobs/api"


def share(folder: Path, *job_types: JobType, **settings: Any) -> JobSystem:
    """Build a system that shares the directory; it is not open."""
    kept = Settings(data_dir=folder / "data", shutdown_grace_seconds=0, **settings)
    return JobSystem(kept, [JobType("quick", quick), *job_types], shared=True)


@asynccontextmanager
async def hosted(app: web.Application) -> AsyncIterator[aiohttp.ClientSession]:
    """Run an application as gunicorn's worker does; give a client of it."""
    runner = web.AppRunner(app, handle_signals=False)
    try:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            yield http
    finally:
        await runner.cleanup()


@pytest.fixture(params=[mount_by_setup, mount_as_subapp])
def mount(request: pytest.FixtureRequest) -> Mount:
    """Give each way into an aiohttp application."""
    way: Mount = request.param
    return way


async def submit(http: aiohttp.ClientSession, prefix: str, **body: Any) -> dict[str, Any]:
    """Submit a job as Alice; give its document."""
    answer = await http.post(f"{prefix}/jobs", json={**SUBMIT, **body}, headers=ALICE)
    document: dict[str, Any] = await answer.json()
    assert answer.status == 202, document
    return document


async def test_a_member_serves_every_route_with_its_own_links(
    tmp_path: Path, mount: Mount
) -> None:
    """For its own users: what they may not see stays hidden, and errors name its own paths."""
    app, member = web.Application(), share(tmp_path)
    prefix = mount(app, member)
    root = "/jobs" if mount is mount_as_subapp else prefix
    with nothing_left_behind():
        async with share(tmp_path), hosted(app) as http:
            assert member.is_member
            nobody = await http.get(f"{prefix}/jobs")
            jobs = [await submit(http, prefix, project_id=name) for name in "pq"]
            links = jobs[0]["links"]
            ended = await (await http.get(f"{links['self']}?wait=5", headers=ALICE)).json()
            hidden = await http.get(links["self"], headers=BOB)
            problem = await hidden.json()
            page = await http.get(
                f"{prefix}/jobs?limit=1&created_after=2020-01-01T00:00:00%2B00:00", headers=ALICE
            )
            next_page = await http.get(page.links["next"]["url"], headers=ALICE)
            told = await (await http.get(links["events"], headers=STREAM)).text()
            stats = [await http.get(f"{prefix}/admin/stats", headers=who) for who in (ROOT, BOB)]
            head = await http.head(links["self"], headers=ALICE)
            whole = await http.get(links["self"], headers=ALICE)
            known = await http.get(
                links["self"], headers={**ALICE, "If-None-Match": whole.headers["ETag"]}
            )
            large = await http.post(f"{prefix}/jobs", data=b" " * 70_000, headers=ALICE)
            wrong = await http.post(f"{prefix}/jobs", json={"x": 1}, headers=ALICE)
            document = await (await http.get(f"{prefix}/job-types", headers=ALICE)).json()
            described = await (await http.get(f"{root}/openapi.json")).json()

    assert [nobody.status, hidden.status, large.status, wrong.status] == [401, 404, 413, 422]
    assert links["self"] == f"{prefix}/jobs/{jobs[0]['job_id']}"
    assert (ended["status"], ended["user_id"]) == ("completed", "alice")
    assert problem["instance"] == links["self"]
    assert {answer.headers["Server"] for answer in (nobody, hidden, whole)} == {"cidx-jobs"}
    assert (page.status, next_page.status) == (200, 200)
    assert [answer.status for answer in stats] == [200, 403]
    assert "event: end" in told
    assert (head.status, head.headers["Content-Length"]) == (200, whole.headers["Content-Length"])
    assert known.status == 304
    assert {"quick", "repository_sync"} <= {one["name"] for one in document["job_types"]}
    assert {"quick", "repository_sync"} <= described["x-job-types"].keys()
    mounted = described["servers"][0]["url"] if "servers" in described else ""
    assert prefix + "/jobs" in {mounted + path for path in described["paths"]}


async def test_owner_and_member_take_one_key_for_one_job(tmp_path: Path, mount: Mount) -> None:
    """A client that comes to another worker at its second try is not told that it differs."""
    owners, members = web.Application(), web.Application()
    owner, member = share(tmp_path), share(tmp_path)
    prefix = mount(owners, owner)
    mount(members, member)
    key = {**ALICE, "Idempotency-Key": "k"}
    async with hosted(owners) as at_owner, hosted(members) as at_member:
        made = [
            await (await http.post(f"{prefix}/jobs", json=SUBMIT, headers=key)).json()
            for http in (at_owner, at_member)
        ]

    assert made[0]["job_id"] == made[1]["job_id"]


async def test_the_stop_of_a_member_answers_who_waits_there(tmp_path: Path, mount: Mount) -> None:
    """A long-poll, a submit that waits, and a stream: at once, while the owner goes on."""
    gate, app = Gate(), web.Application()
    prefix = mount(app, share(tmp_path))
    async with share(tmp_path, gate.job_type) as owner, hosted(app) as http:
        job = await submit(http, prefix, job_type="gated")
        await gate.arrived()
        polling = asyncio.create_task(
            http.get(f"{job['links']['self']}?wait=50&until=done", headers=ALICE)
        )
        body = {"job_type": "gated", "project_id": "q"}
        wait = {**ALICE, "Prefer": "wait=50"}
        submitting = asyncio.create_task(http.post(f"{prefix}/jobs", json=body, headers=wait))
        stream = await http.get(job["links"]["events"], headers=STREAM)
        await stream.content.readuntil(b"\n\n")
        while len(await owner.list()) < 2:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)
        async with asyncio.timeout(3):
            await app.shutdown()
            poll, submitted = await polling, await submitting
            await stream.content.read()
        gate.open()
        ended = await owner.wait(job["job_id"], timeout=WAIT_SECONDS)

    assert (poll.status, poll.headers["Retry-After"], submitted.status) == (200, "2", 202)
    assert poll.headers["Connection"] == "close"
    assert ended.done


async def test_requests_outlast_the_change_of_owners(tmp_path: Path, mount: Mount) -> None:
    """What comes while nobody owns the directory waits for who does next."""
    app, first = web.Application(), share(tmp_path)
    prefix = mount(app, second := share(tmp_path))
    await first.start()
    async with hosted(app) as http:
        before = await submit(http, prefix)
        leaving = asyncio.create_task(first.close())
        asked = [
            asyncio.create_task(http.get(before["links"]["self"], headers=ALICE)) for _ in range(5)
        ]
        made = await submit(http, prefix, project_id="q")
        await leaving
        answers = [await task for task in asked]
        is_owner = second.is_open

    assert [answer.status for answer in answers] == [200] * 5
    assert made["project_id"] == "q"
    assert is_owner


async def test_what_is_said_to_be_a_members_word_counts_for_nothing_outside(
    tmp_path: Path, mount: Mount
) -> None:
    """Neither at the owner's door nor at a member's does the header make anybody of a client."""
    owners, members = web.Application(), web.Application()
    owner, member = share(tmp_path), share(tmp_path)
    prefix = mount(owners, owner)
    mount(members, member)
    async with hosted(owners) as at_owner, hosted(members) as at_member:
        token = DataDirectory(owner.settings.data_dir).admin_token.read_text("utf-8").strip()
        word = MemberWord(token=token, member="m", user_id="root", scopes=("admin",), path="/x")
        forged = {HEADER: word.encode(), "X-Forwarded-Prefix": "/evil"}
        answers = [
            await http.get(f"{prefix}/admin/stats", headers=headers)
            for http in (at_owner, at_member)
            for headers in (forged, {**forged, **BOB})
        ]

    assert [answer.status for answer in answers] == [401, 403, 401, 403]


@pytest.mark.parametrize("said", ["", "no base64", base64.b64encode(json.dumps({}).encode())])
async def test_a_word_without_the_token_is_refused_at_the_socket(
    tmp_path: Path, said: str | bytes
) -> None:
    """Whoever may open the socket still has to show the directory's token."""
    async with share(tmp_path) as owner:
        socket = DataDirectory(owner.settings.data_dir).server_socket
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as http:
            word = MemberWord(token="cidxj_" + "A" * 43, member="m", user_id="root", path="/x")
            texts = [said if isinstance(said, str) else said.decode(), word.encode()]
            answers = [
                await http.get("http://local/api/jobs", headers={HEADER: text}) for text in texts
            ]

    assert [answer.status for answer in answers] == [401, 401]


async def test_a_member_looks_at_origins_itself(tmp_path: Path, mount: Mount) -> None:
    """A page of another site is refused by every worker."""
    app = web.Application()
    prefix = mount(app, share(tmp_path))
    async with share(tmp_path), hosted(app) as http:
        foreign = {**ALICE, "Origin": "https://evil.example"}
        own = {**ALICE, "Origin": str(http._base_url).rstrip("/")}
        answers = [
            await http.post(f"{prefix}/jobs", json=SUBMIT, headers=headers)
            for headers in (foreign, own)
        ]

    assert [answer.status for answer in answers] == [403, 202]


async def test_tokens_are_good_at_every_process(tmp_path: Path) -> None:
    """Only the owner knows them: it tells, and a stream ends once its token is revoked."""
    gate, app = Gate(), web.Application()
    owner = share(tmp_path, gate.job_type, auth="tokens")
    app.add_subapp("/jobs", create_app(share(tmp_path, auth="tokens")))
    async with owner, hosted(app) as http:
        token = DataDirectory(owner.settings.data_dir).admin_token.read_text("utf-8").strip()
        admin = {"Authorization": f"Bearer {token}"}
        made = await http.post("/jobs/api/admin/tokens", json={"user_id": "carol"}, headers=admin)
        carol = await made.json()
        hers = {"Authorization": f"Bearer {carol['token']}"}
        body = {"job_type": "gated", "project_id": "p"}
        job = await (await http.post("/jobs/api/jobs", json=body, headers=hers)).json()
        await gate.arrived()
        stream = await http.get(
            job["links"]["events"], headers={**hers, "Accept": "text/event-stream"}
        )
        await stream.content.readuntil(b"\n\n")
        statuses = [
            (await http.get("/jobs/api/jobs", headers=headers)).status
            for headers in (hers, {}, {"Authorization": "Bearer nobody's"})
        ]
        revoked = await http.delete(made.headers["Location"], headers=admin)
        async with asyncio.timeout(WAIT_SECONDS):
            await stream.content.read()
        log = await (await http.get("/jobs/api/admin/log", headers=admin)).json()
        alive = await http.get("/jobs/livez")
        ready = await http.get("/jobs/readyz")
        gate.open()

    assert (made.status, job["user_id"], revoked.status) == (201, "carol", 204)
    assert statuses == [200, 401, 401]
    assert ("token_refused", "127.0.0.1") in [(e["action"], e["from"]) for e in log["entries"]]
    assert "127.0.0.1" in {e["from"] for e in log["entries"] if e["action"] != "token_refused"}
    assert (alive.status, ready.status) == (200, 200)


async def test_a_push_hook_is_where_the_member_is(tmp_path: Path) -> None:
    """Its address is made of the host and the place that the caller reached."""
    app = web.Application()
    prefix = mount_as_subapp(app, share(tmp_path))
    async with share(tmp_path) as owner, hosted(app) as http:
        await owner.sync("alice", "p", repository_url="https://example.org/r.git", hold=True)
        made = await http.post(f"{prefix}/projects/p/hook", headers=ALICE)
        hook = await made.json()
        pushed = await http.post(URL(hook["url"]).path, data=b"{}")

    assert made.status == 201, hook
    assert hook["url"].startswith(f"{str(http._base_url).rstrip('/')}/jobs/hooks/")
    assert pushed.status == 401
