"""A Quart application with the whole HTTP API of its jobs below ``/jobs``.

Run ``uvicorn --factory quart_app:make_app`` and then::

    curl -X POST -H 'X-User: alice' 'localhost:8000/orders?item=tea'
    curl -H 'X-User: alice' 'localhost:8000/jobs/api/jobs?limit=1'
"""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from quart import Quart, request

from cidx_jobs import (
    AsgiRequest,
    Identity,
    JobContext,
    JobSystem,
    Settings,
    asgi_app,
    job_type,
)

MOUNT = "/jobs"


@job_type("pack")
async def pack(context: JobContext) -> dict[str, Any]:
    """Pack what was ordered."""
    await context.report(percent=50, message="wrapping")
    return {"packed": context.options["item"]}


async def find_user(asked: AsgiRequest) -> Identity | None:
    """Tell who calls the API of the jobs, as the application's own routes do."""
    name = asked.headers.get("X-User")
    return Identity(name) if name else None


class JobsBeside:
    """Hands requests below the mount to the API of the jobs, and all others to Quart."""

    def __init__(self, app: Any, api: Any) -> None:
        """Take both."""
        self._app = app
        self._api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or follow the lifespan."""
        if scope["type"] == "http" and scope["path"].startswith(f"{MOUNT}/"):
            await self._api({**scope, "root_path": MOUNT}, receive, send)
        else:
            await self._app(scope, receive, send)


def make_app(data_dir: Path = Path("data")) -> Quart:
    """Build the application."""
    jobs = JobSystem(Settings(data_dir=data_dir), [pack])
    app = Quart("orders")

    @app.while_serving
    async def lifespan() -> AsyncGenerator[None, None]:
        async with jobs:
            yield

    @app.post("/orders")
    async def order() -> tuple[dict[str, Any], int]:
        name, item = request.headers.get("X-User"), request.args.get("item")
        if name is None or item is None:
            return {"detail": "who orders what?"}, 400
        job = await jobs.submit(name, "orders", job_type="pack", options={"item": item})
        return job.document(prefix=f"{MOUNT}/api"), 202

    api = asgi_app(jobs, authenticate=find_user)
    app.asgi_app = JobsBeside(app.asgi_app, api)  # type: ignore[method-assign] # as Quart says
    return app
