"""An aiohttp application with durable jobs in it: its own users, its own routes, our API.

Run ``python aiohttp_app.py`` and then::

    curl -H 'X-User: alice' -X POST localhost:8080/reports -d '{"month": "2026-01"}'
    curl -H 'X-User: alice' 'localhost:8080/api/jobs/JOB_ID?wait=30'
"""

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from cidx_jobs import Identity, JobContext, JobSystem, JobType, Settings, setup

JOBS = web.AppKey("jobs", JobSystem)


async def make_report(context: JobContext) -> dict[str, Any]:
    """Make a monthly report, in as many steps as the month has weeks."""
    async with context.phase("gathering", weight=1.0) as phase:
        for week in range(1, 5):
            await phase.report(done=week, total=4, unit="weeks")
            await asyncio.sleep(context.options.get("pause_seconds", 0.1))
    return {"title": f"Report of {context.options['month']}"}


async def find_user(request: web.Request) -> Identity | None:
    """Tell who calls, as this application does anyway; None is answered with a 401."""
    name = request.headers.get("X-User")
    return Identity(user_id=name) if name else None


async def order_report(request: web.Request) -> web.Response:
    """Submit a job from a route of our own; it is durable before the answer is sent."""
    caller = await find_user(request)
    if caller is None:
        raise web.HTTPUnauthorized
    options = await request.json()
    job = await request.app[JOBS].submit(
        caller.user_id, "reports", job_type="report", options=options
    )
    return web.json_response({"job_id": job.job_id}, status=web.HTTPAccepted.status_code)


def make_app(data_dir: Path) -> web.Application:
    """Build the application; the job system is opened when it starts and closed when it ends."""
    jobs = JobSystem(Settings(data_dir=data_dir), [JobType("report", make_report)])
    app = web.Application()
    app[JOBS] = jobs
    app.router.add_post("/reports", order_report)
    setup(app, jobs, prefix="/api", authenticate=find_user)
    return app


if __name__ == "__main__":
    web.run_app(make_app(Path("data")), host="127.0.0.1", port=8080)
