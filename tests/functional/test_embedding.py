"""The API in somebody else's application: what it opens, closes, and leaves alone."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cidx_jobs.interfaces.access import Identity
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import SettingsError
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from cidx_jobs.web.app import create_app, setup
from cidx_jobs.web.keys import JOBS
from cidx_jobs.web.server import serve
from tests.fakes import WAIT_SECONDS
from tests.functional.web import AioClient, quick

SUBMIT = {"job_type": "quick", "project_id": "p"}


def make_jobs(tmp_path: Path, **settings: Any) -> JobSystem:
    """Build a system that is not open."""
    values: dict[str, Any] = {"auth": "none", "shutdown_grace_seconds": 0} | settings
    chosen = Settings(data_dir=tmp_path, **values)
    return JobSystem(chosen, [JobType("quick", quick)], persistence=MemoryPersistence())


async def hello(_: web.Request) -> web.Response:
    """Be a route of the host."""
    return web.Response(text="hello")


async def carol(_: web.Request) -> Identity:
    """Tell that it is always carol who calls."""
    return Identity(user_id="carol")


async def test_an_application_opens_and_closes_what_nobody_opened(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """The system lives as long as the application."""
    jobs = make_jobs(tmp_path)
    client = await aiohttp_client(create_app(jobs))
    was_open = jobs.is_open
    answer = await client.post("/api/jobs", json=SUBMIT, headers={"Prefer": "wait=5"})

    await client.close()

    assert (was_open, answer.status, jobs.is_open) == (True, 200, False)


async def test_an_application_leaves_open_what_somebody_else_opened(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """It goes on working when the application has gone."""
    async with make_jobs(tmp_path) as jobs:
        client = await aiohttp_client(create_app(jobs))
        await client.close()

        job = await jobs.submit("alice", "p", job_type="quick")
        after = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert after.done


async def test_an_application_can_be_made_twice_of_one_system(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Opened and closed, and once more: nothing is left that would be in the way."""
    jobs = make_jobs(tmp_path)
    ids = []
    for _ in range(2):
        client = await aiohttp_client(create_app(jobs))
        answer = await client.post("/api/jobs", json=SUBMIT, headers={"Prefer": "wait=5"})
        ids.append((await answer.json())["job_id"])
        await client.close()

    assert len(set(ids)) == 2


@pytest.mark.parametrize("prefix", ["/api", "/internal/v1/jobs-api"])
async def test_routes_can_be_set_up_in_a_hosts_application(
    aiohttp_client: AioClient, tmp_path: Path, prefix: str
) -> None:
    """Below the prefix everything is ours, problems too; outside of it nothing is."""
    jobs = make_jobs(tmp_path)
    app = web.Application()
    app.router.add_get("/", hello)
    setup(app, jobs, prefix, authenticate=carol)
    client = await aiohttp_client(app)

    submitted = await client.post(f"{prefix}/jobs", json=SUBMIT)
    job = await submitted.json()
    read = await client.get(job["links"]["self"])
    below = await client.get(f"{prefix}/nothing")
    wrong = await client.put(f"{prefix}/jobs")
    own = await client.get("/")
    text = await own.text()
    outside = await client.get("/nothing")
    health = await client.get("/livez")
    await client.close()

    assert submitted.headers["Location"] == f"{prefix}/jobs/{job['job_id']}"
    assert (job["user_id"], read.status, app[JOBS]) == ("carol", 200, jobs)
    assert (below.status, below.content_type) == (404, "application/problem+json")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert (text, own.headers.get("Content-Security-Policy")) == ("hello", None)
    assert (outside.status, outside.content_type, health.status) == (404, "text/plain", 404)


async def test_the_application_can_be_mounted(aiohttp_client: AioClient, tmp_path: Path) -> None:
    """Links and locations lead through the place where it stands."""
    jobs = make_jobs(tmp_path)
    app = web.Application()
    app.router.add_get("/", hello)
    app.add_subapp("/jobs", create_app(jobs, authenticate=carol))
    client = await aiohttp_client(app)

    submitted = await client.post("/jobs/api/jobs", json=SUBMIT)
    job = await submitted.json()
    read = await client.get(job["links"]["events"])
    page = await client.get("/jobs/api/jobs?limit=1")
    ready = await client.get("/jobs/readyz")
    below = await client.get("/jobs/nothing")
    wrong = await client.delete("/jobs/api/jobs")
    text = await (await client.get("/")).text()
    await client.close()

    assert submitted.headers["Location"] == f"/jobs/api/jobs/{job['job_id']}"
    assert (read.status, page.status, ready.status) == (200, 200, 200)
    assert (below.status, below.content_type) == (404, "application/problem+json")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert (text, jobs.is_open) == ("hello", False)


@pytest.mark.parametrize("prefix", ["", "api", "/api/", "/"])
def test_a_prefix_is_a_path(tmp_path: Path, prefix: str) -> None:
    """Of the form ``/path``."""
    with pytest.raises(ValueError, match="prefix"):
        setup(web.Application(), make_jobs(tmp_path), prefix)


@pytest.mark.parametrize("auth", ["jwt", "proxy"])
def test_a_way_in_that_is_not_there_is_refused(tmp_path: Path, auth: str) -> None:
    """Before anything is opened: nobody is let in by mistake."""
    with pytest.raises(SettingsError, match=auth):
        make_jobs(tmp_path, auth=auth)


async def test_it_is_served_beside_others_on_their_loop(tmp_path: Path) -> None:
    """Until it is cancelled; signals are left to whom they belong."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with make_jobs(tmp_path) as jobs:
        serving = asyncio.create_task(serve(create_app(jobs), port=0, on_ready=ready.set_result))
        url = await asyncio.wait_for(ready, WAIT_SECONDS)
        async with aiohttp.ClientSession() as http:
            answer = await http.get(f"{url}/readyz")
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving

        assert answer.status == 200
        assert jobs.is_open


async def test_a_start_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    """A port that is taken: the system that was opened for it is closed again."""
    first, second = make_jobs(tmp_path / "a"), make_jobs(tmp_path / "b")
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(create_app(first), port=0, on_ready=ready.set_result))
    port = int((await asyncio.wait_for(ready, WAIT_SECONDS)).rpartition(":")[2])

    with pytest.raises(OSError, match=r"(?i)address already in use"):
        await serve(create_app(second), port=port)

    assert not second.is_open
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not first.is_open
