"""A page asks over HTTP how far a running job is."""

import asyncio

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from cidx_jobs import JobContext, JobSystem, Settings, job_type, setup

HALF = 50
seen = asyncio.Event()


@job_type("export")
async def export(context: JobContext) -> None:
    """Write the first half, and go on when the page has seen it."""
    await context.report(percent=HALF)
    await seen.wait()


async def main() -> None:
    """Serve the page's requests while the job runs."""
    jobs = JobSystem(Settings(data_dir="data", auth="none"), [export])
    app = web.Application()
    setup(app, jobs)
    async with TestClient(TestServer(app)) as page:
        job = await jobs.submit("anonymous", "books", job_type=export)
        progress = 0
        while progress < HALF:
            answer = await page.get(f"/api/jobs/{job.job_id}")
            progress = (await answer.json())["progress"]
        print(progress)
        seen.set()


asyncio.run(main())
