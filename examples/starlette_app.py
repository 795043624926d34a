"""A Starlette application with the whole HTTP API of its jobs mounted below ``/jobs``.

Run ``uvicorn --factory starlette_app:make_app`` and then::

    curl -X POST -H 'X-User: alice' 'localhost:8000/orders?item=tea'
    curl -H 'X-User: alice' 'localhost:8000/jobs/api/jobs?limit=1'
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from cidx_jobs import (
    AsgiRequest,
    Identity,
    JobContext,
    JobSystem,
    Settings,
    asgi_app,
    job_type,
)


@job_type("pack")
async def pack(context: JobContext) -> dict[str, Any]:
    """Pack what was ordered."""
    await context.report(percent=50, message="wrapping")
    return {"packed": context.options["item"]}


async def find_user(request: AsgiRequest) -> Identity | None:
    """Tell who calls the API of the jobs, as the application's own routes do."""
    name = request.headers.get("X-User")
    return Identity(name) if name else None


async def order(request: Request) -> Response:
    """Submit a job; it is durable before the answer is sent."""
    name, item = request.headers.get("X-User"), request.query_params.get("item")
    if name is None or item is None:
        return JSONResponse({"detail": "who orders what?"}, 400)
    jobs: JobSystem = request.app.state.jobs
    job = await jobs.submit(name, "orders", job_type="pack", options={"item": item})
    return JSONResponse(job.document(prefix="/jobs/api"), 202)


def make_app(data_dir: Path = Path("data")) -> Starlette:
    """Build the application."""
    jobs = JobSystem(Settings(data_dir=data_dir), [pack])

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with jobs:
            yield

    routes = [
        Route("/orders", order, methods=["POST"]),
        Mount("/jobs", app=asgi_app(jobs, authenticate=find_user)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.jobs = jobs
    return app
