"""One application in several worker processes: each serves the whole API, one runs the jobs.

Run it under any of these, and then submit to whichever worker answers::

    gunicorn workers_app:make_aiohttp_app --worker-class aiohttp.GunicornWebWorker --workers 4
    uvicorn --factory workers_app:make_asgi_app --workers 4
    curl -H 'X-User: alice' -X POST localhost:8000/jobs/api/jobs \
        -H 'Content-Type: application/json' -d '{"job_type": "count", "project_id": "p"}'

``python workers_app.py`` is what a cron job runs: it attaches, submits, waits, and prints.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from cidx_jobs import (
    Identity,
    JobContext,
    JobSystem,
    Settings,
    asgi_app,
    create_app,
    job_type,
)

DATA_DIR = Path(os.environ.get("DATA_DIR", "data"))


class HasHeaders(Protocol):
    """A request, of aiohttp or of ASGI."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name."""


@job_type("count")
async def count(context: JobContext) -> dict[str, Any]:
    """Count to a number, from where an earlier run of the job came to."""
    upto = context.options.get("upto", 3)
    begun_at = context.checkpoint or 0
    for number in range(begun_at, upto):
        await asyncio.sleep(context.options.get("pause_seconds", 0.01))
        await context.save_checkpoint(number + 1)
        await context.report(done=number + 1, total=upto)
    return {"counted": upto, "begun_at": begun_at, "process": os.getpid()}


def make_jobs() -> JobSystem:
    """Build the system of one worker."""
    # A worker that is replaced lets go soon: what ran goes on in another, from its checkpoint.
    settings = Settings(data_dir=DATA_DIR, shutdown_grace_seconds=0.5)
    return JobSystem(settings, [count], shared=True)


async def find_user(request: HasHeaders) -> Identity | None:
    """Tell who calls."""
    name = request.headers.get("X-User")
    return Identity(name) if name else None


async def make_aiohttp_app() -> web.Application:
    """Build the application of one worker of gunicorn."""
    jobs = make_jobs()

    async def run_jobs(_: web.Application) -> AsyncIterator[None]:
        async with jobs:
            yield

    async def tell_process(_: web.Request) -> web.Response:
        return web.Response(text=str(os.getpid()))

    app = web.Application()
    app.cleanup_ctx.append(run_jobs)
    app.router.add_get("/process", tell_process)
    app.add_subapp("/jobs", create_app(jobs, authenticate=find_user))
    return app


def make_asgi_app() -> Starlette:
    """Build the application of one worker of uvicorn."""
    jobs = make_jobs()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with jobs:
            yield

    async def tell_process(_: Request) -> PlainTextResponse:
        return PlainTextResponse(str(os.getpid()))

    routes = [
        Route("/process", tell_process),
        Mount("/jobs", app=asgi_app(jobs, authenticate=find_user)),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def main() -> None:
    """Submit a job to whoever owns the directory, and wait for its end."""
    async with JobSystem.attach(DATA_DIR) as jobs:
        job = await jobs.submit("cron", "nightly", job_type="count")
        job = await jobs.wait(job.job_id, timeout=30)
        print(job.status, job.result)


if __name__ == "__main__":
    asyncio.run(main())
