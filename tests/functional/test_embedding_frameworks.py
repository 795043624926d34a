"""Beside FastAPI, Starlette and Quart: one loop, one lifespan, one process."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI
from quart import Quart
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from cidx_jobs import JobStatus, JobSystem, JobType, Settings, create_app, serve
from cidx_jobs.testing import Gate
from tests.fakes import WAIT_SECONDS
from tests.functional.web import quick
from tests.leftovers import nothing_left_behind, open_readers
from tests.uvicorns import running_uvicorn

Framework = Callable[[JobSystem], Any]
Lifespan = Callable[[Any], contextlib.AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def served(jobs: JobSystem) -> AsyncIterator[str]:
    """Open a system and serve its API beside the framework, as the how-to shows; give the url."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with jobs:
        api = create_app(jobs)
        serving = asyncio.create_task(serve(api, port=0, on_ready=ready.set_result), name="api")
        try:
            yield await ready
        finally:
            serving.cancel()
            await asyncio.wait([serving])


def make_lifespan(jobs: JobSystem) -> Lifespan:
    """Give a lifespan that opens the system, serves it, and tells where."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with served(jobs) as url:
            app.state.api_url = url
            yield

    return lifespan


def make_fastapi(jobs: JobSystem) -> FastAPI:
    """Build a FastAPI application that submits and tells where the API is."""
    app = FastAPI(lifespan=make_lifespan(jobs))

    @app.post("/orders")
    async def order() -> dict[str, str]:
        job = await jobs.submit("local", "p", job_type="quick")
        return {"job_id": job.job_id, "api": app.state.api_url}

    return app


def make_starlette(jobs: JobSystem) -> Starlette:
    """Build a Starlette application that submits and tells where the API is."""

    async def order(request: Any) -> JSONResponse:
        job = await jobs.submit("local", "p", job_type="quick")
        return JSONResponse({"job_id": job.job_id, "api": request.app.state.api_url})

    return Starlette(
        routes=[Route("/orders", order, methods=["POST"])], lifespan=make_lifespan(jobs)
    )


def make_quart(jobs: JobSystem) -> Quart:
    """Build a Quart application that submits and tells where the API is."""
    app = Quart("host")
    urls: list[str] = []

    @app.while_serving
    async def lifespan() -> AsyncGenerator[None, None]:
        async with served(jobs) as url:
            urls.append(url)
            yield

    @app.post("/orders")
    async def order() -> dict[str, str]:
        job = await jobs.submit("local", "p", job_type="quick")
        return {"job_id": job.job_id, "api": urls[-1]}

    return app


@pytest.fixture(params=[make_fastapi, make_starlette, make_quart])
def framework(request: pytest.FixtureRequest) -> Framework:
    """Give each framework."""
    make: Framework = request.param
    return make


def make_jobs(folder: Path, *job_types: JobType) -> JobSystem:
    """Build a system over a database; it is not open."""
    settings = Settings(data_dir=folder / "data", auth="none", shutdown_grace_seconds=0)
    return JobSystem(settings, [JobType("quick", quick), *job_types])


@pytest.mark.slow
async def test_it_lives_beside_a_framework(tmp_path: Path, framework: Framework) -> None:
    """Submitted by the framework's route, read over our API, and gone with both; then again."""
    statuses = []
    with nothing_left_behind():
        for _ in range(2):
            app = framework(make_jobs(tmp_path))
            async with running_uvicorn(app) as url, aiohttp.ClientSession() as http:
                order = await (await http.post(f"{url}/orders")).json()
                job = await http.get(f"{order['api']}/api/jobs/{order['job_id']}?wait=5")
                statuses.append((await job.json())["status"])

    assert statuses == [JobStatus.COMPLETED] * 2


@pytest.mark.slow
async def test_a_framework_that_cannot_start_leaves_nothing_behind(
    tmp_path: Path, framework: Framework
) -> None:
    """The directory is owned: its start fails, and so does the framework's."""

    async def try_to_start() -> None:
        async with running_uvicorn(framework(make_jobs(tmp_path))):
            pass

    def in_thread() -> None:
        # Around the whole loop: Quart itself leaves a task behind that dies with it.
        with nothing_left_behind(), pytest.raises(RuntimeError, match="did not start"):
            asyncio.run(try_to_start())

    async with make_jobs(tmp_path) as owner:
        await open_readers(owner)
        await asyncio.to_thread(in_thread)

        assert owner.is_open


@pytest.mark.slow
async def test_the_end_of_a_framework_interrupts_its_jobs(
    tmp_path: Path, framework: Framework
) -> None:
    """What runs is queued again with no attempt counted, and runs in the next life."""
    gate = Gate()
    jobs = make_jobs(tmp_path, gate.job_type)
    async with running_uvicorn(framework(jobs)):
        job = await jobs.submit("u", "p", job_type="gated")
        await gate.arrived()

    gate.open()
    async with make_jobs(tmp_path, gate.job_type) as again:
        after = await again.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (after.status, after.attempt, after.run) == (JobStatus.COMPLETED, 1, 2)
