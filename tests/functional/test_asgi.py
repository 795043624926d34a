"""The API in FastAPI, Starlette and Quart hosts: routes, streams and long-polls by `asgi_app`."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI
from quart import Quart
from starlette.applications import Starlette
from starlette.routing import Mount

from cidx_jobs import (
    AsgiRequest,
    Identity,
    JobStatus,
    JobSystem,
    JobType,
    Settings,
    SettingsError,
    asgi_app,
)
from cidx_jobs.testing import Gate
from tests.fakes import WAIT_SECONDS
from tests.functional.web import quick
from tests.leftovers import nothing_left_behind
from tests.uvicorns import running_uvicorn

Host = Callable[[JobSystem], Any]
ALICE = {"X-User": "alice"}


async def find_user(request: AsgiRequest) -> Identity | None:
    """Tell who calls by a header of the host's."""
    assert request.path.startswith("/jobs/")
    assert request.scope["type"] == "http"
    name = request.headers.get("x-user")
    return Identity(name) if name else None


def make_fastapi(jobs: JobSystem) -> FastAPI:
    """Build a FastAPI application with the API below /jobs."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with jobs:
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/jobs", asgi_app(jobs, authenticate=find_user))
    return app


def make_starlette(jobs: JobSystem) -> Starlette:
    """Build a Starlette application with the API below /jobs."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with jobs:
            yield

    api = asgi_app(jobs, authenticate=find_user)
    return Starlette(routes=[Mount("/jobs", app=api)], lifespan=lifespan)


def make_quart(jobs: JobSystem) -> Quart:
    """Build a Quart application with the API below /jobs."""
    app = Quart("host")
    own, api = app.asgi_app, asgi_app(jobs, authenticate=find_user)

    @app.while_serving
    async def lifespan() -> AsyncGenerator[None, None]:
        async with jobs:
            yield

    async def choose(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/jobs/"):
            await api({**scope, "root_path": "/jobs"}, receive, send)
        else:
            await own(scope, receive, send)

    app.asgi_app = choose  # type: ignore[method-assign] # as its documentation says
    return app


@pytest.fixture(params=[make_fastapi, make_starlette, make_quart])
def host(request: pytest.FixtureRequest) -> Host:
    """Give each host."""
    make: Host = request.param
    return make


@pytest.fixture
def gate() -> Gate:
    """Give a gate that is closed."""
    return Gate()


@pytest.fixture
def jobs(tmp_path: Path, gate: Gate) -> JobSystem:
    """Build a system over a database; it is not open."""
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=0)
    return JobSystem(settings, [JobType("quick", quick), gate.job_type])


async def submit(http: aiohttp.ClientSession, job_type: str) -> dict[str, Any]:
    """Submit a job as Alice; give its document."""
    body = {"job_type": job_type, "project_id": "p"}
    answer = await http.post("/jobs/api/jobs", json=body, headers=ALICE)
    assert answer.status == 202, await answer.text()
    document: dict[str, Any] = await answer.json()
    return document


@pytest.mark.slow
async def test_a_job_goes_its_way_in_every_host(host: Host, jobs: JobSystem) -> None:
    """Submitted, waited for, listed and streamed, by the host's users only; links lead there."""
    with nothing_left_behind():
        async with running_uvicorn(host(jobs)) as url, aiohttp.ClientSession(url) as http:
            nobody = await http.get("/jobs/api/jobs")
            job = await submit(http, "quick")
            ended = await http.get(job["links"]["self"] + "?wait=5", headers=ALICE)
            hidden = await http.get(job["links"]["self"], headers={"X-User": "bob"})
            page = await http.get("/jobs/api/jobs?limit=1&label=a:b", headers=ALICE)
            await submit(http, "quick")
            newest = await http.get("/jobs/api/jobs?limit=1", headers=ALICE)
            older = await http.get(newest.links["next"]["url"], headers=ALICE)
            stream = await http.get(
                job["links"]["events"], headers={**ALICE, "Accept": "text/event-stream"}
            )
            told = await stream.text()
            alive = await http.get("/jobs/livez")
            missing = await http.get("/jobs/api/nothing", headers=ALICE)
            wrong = await http.put("/jobs/api/jobs", headers=ALICE)
            head = await http.head("/jobs/api/jobs", headers=ALICE)

            assert job["links"]["self"].startswith("/jobs/api/jobs/")
            assert [nobody.status, hidden.status, missing.status, wrong.status] == [
                401,
                404,
                404,
                405,
            ]
            assert (await ended.json())["status"] == JobStatus.COMPLETED
            assert [one["job_id"] for one in (await older.json())["jobs"]] == [job["job_id"]]
            assert (await page.json())["jobs"] == []
            assert "event: snapshot" in told
            assert "event: end" in told
            assert (alive.status, head.status, await head.read()) == (200, 200, b"")
            assert missing.content_type == "application/problem+json"


@pytest.mark.slow
async def test_bodies_are_read_as_everywhere(host: Host, jobs: JobSystem) -> None:
    """Too long, broken and wrong ones get the answers of the API."""
    async with running_uvicorn(host(jobs)) as url, aiohttp.ClientSession(url) as http:
        path, json = "/jobs/api/jobs", {"Content-Type": "application/json", **ALICE}
        answers = [
            await http.post(path, data=b"{" + b" " * 70_000, headers=json),
            await http.post(path, data=b"{", headers=json),
            await http.post(path, json={"job_type": "none", "project_id": "p"}, headers=ALICE),
            await http.post(path, data=b"a=b", headers=ALICE),
        ]

        assert [answer.status for answer in answers] == [413, 400, 422, 415]


@pytest.mark.slow
async def test_a_long_poll_and_a_stream_tell_of_a_change(
    host: Host, jobs: JobSystem, gate: Gate
) -> None:
    """While they are open."""
    async with running_uvicorn(host(jobs)) as url, aiohttp.ClientSession(url) as http:
        job = await submit(http, "gated")
        await gate.arrived()
        self_ = job["links"]["self"]
        accept = {**ALICE, "Accept": "text/event-stream"}
        stream = await http.get(job["links"]["events"], headers=accept)
        first = await stream.content.readuntil(b"\n\n")
        polling = asyncio.create_task(http.get(f"{self_}?wait=20&until=done", headers=ALICE))
        gate.open()
        async with asyncio.timeout(WAIT_SECONDS):
            ended = await (await polling).json()
            rest = await stream.content.read()

        assert first.startswith(b"event: snapshot")
        assert b"event: end" in rest
        assert ended["status"] == JobStatus.COMPLETED


@pytest.mark.slow
async def test_the_stop_of_the_host_answers_who_waits(
    host: Host, jobs: JobSystem, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found out by uvicorn's own server object: the long-poll is answered, the stream ends."""
    stopping = _Stopping()
    handlers = {signal.SIGTERM: stopping.handle_exit}
    monkeypatch.setattr(signal, "getsignal", handlers.get)
    async with running_uvicorn(host(jobs)) as url, aiohttp.ClientSession(url) as http:
        job = await submit(http, "gated")
        await gate.arrived()
        accept = {**ALICE, "Accept": "text/event-stream"}
        stream = await http.get(job["links"]["events"], headers=accept)
        await stream.content.readuntil(b"\n\n")
        path = f"{job['links']['self']}?wait=50&until=done"
        polling = asyncio.create_task(http.get(path, headers=ALICE))
        await asyncio.sleep(0.05)
        stopping.should_exit = True
        async with asyncio.timeout(2):
            answer = await polling
            await stream.content.read()

    assert (answer.status, answer.headers["Retry-After"]) == (200, "2")


class _Stopping:
    """What uvicorn's server is to whoever finds it behind its signal handler."""

    should_exit = False

    def handle_exit(self, *_: Any) -> None:
        """Stop."""


@pytest.mark.slow
async def test_it_can_be_served_by_itself(jobs: JobSystem) -> None:
    """Its own lifespan opens the system, and closes it."""

    async def anybody(_: AsgiRequest) -> Identity:
        return Identity("alice")

    with nothing_left_behind():
        async with running_uvicorn(asgi_app(jobs, authenticate=anybody)) as url:
            async with aiohttp.ClientSession(url) as http:
                answer = await http.get("/api/job-types")
                status = answer.status
            was_open = jobs.is_open

    assert (status, was_open, jobs.is_open) == (200, True, False)


async def test_before_the_opening_a_request_is_refused(jobs: JobSystem) -> None:
    """With a problem document and the time to come back."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/api/jobs", "headers": []}
    await asgi_app(jobs, authenticate=find_user)(scope, receive, send)

    assert sent[0]["status"] == 503
    assert b'"stopping"' in sent[1]["body"]


def test_an_application_that_names_nobody_is_refused(jobs: JobSystem) -> None:
    """As with `setup` and `create_app`."""
    with pytest.raises(SettingsError, match="auth"):
        asgi_app(jobs)


@pytest.mark.slow
async def test_a_worker_that_does_not_own_the_directory_serves_all_of_it(
    host: Host, tmp_path: Path
) -> None:
    """Its requests are the owner's to answer, for its own users, with its own links."""
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=0)
    owner = JobSystem(settings, [JobType("quick", quick)], shared=True)
    member = JobSystem(settings, [JobType("quick", quick)], shared=True)
    async with owner, running_uvicorn(host(member)) as url, aiohttp.ClientSession(url) as http:
        assert member.is_member
        nobody = await http.get("/jobs/api/jobs")
        job = await submit(http, "quick")
        ended = await (await http.get(job["links"]["self"] + "?wait=5", headers=ALICE)).json()
        hidden = await http.get(job["links"]["self"], headers={"X-User": "bob"})
        forged = {"Authorization": "Bearer x", "X-User": "bob", "X-Forwarded-Prefix": "/evil"}
        others = await (await http.get("/jobs/api/jobs", headers=forged)).json()
        accept = {**ALICE, "Accept": "text/event-stream"}
        told = await (await http.get(job["links"]["events"], headers=accept)).text()
        admin = await http.get("/jobs/api/admin/stats", headers=ALICE)
        wrong = await http.post(
            "/jobs/api/jobs", data=b"{", headers={**ALICE, "Content-Type": "application/json"}
        )

        assert (nobody.status, hidden.status, admin.status, wrong.status) == (401, 404, 403, 400)
        assert job["links"]["self"].startswith("/jobs/api/jobs/")
        assert (ended["status"], ended["user_id"]) == ("completed", "alice")
        assert others["jobs"] == []
        assert "event: end" in told
