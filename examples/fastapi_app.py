"""A FastAPI application with durable jobs beside it, on the same loop.

Run ``uvicorn --factory fastapi_app:make_app`` and then::

    curl -X POST 'localhost:8000/thumbnails?picture=cat.png'
    curl 'localhost:8000/thumbnails/JOB_ID'
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request

from cidx_jobs import JobContext, JobNotFoundError, JobSystem, JobType, Settings

USER = "web"


async def make_thumbnail(context: JobContext) -> dict[str, Any]:
    """Make a picture small, in three sizes."""
    sizes = (64, 128, 256)
    for done, size in enumerate(sizes, 1):
        await context.report(done=done, total=len(sizes), current_item=f"{size} pixels")
    return {"picture": context.options["picture"], "sizes": list(sizes)}


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the job system for as long as the application lives."""
    settings = Settings(data_dir=app.state.data_dir)
    async with JobSystem.open(settings, [JobType("thumbnail", make_thumbnail)]) as jobs:
        app.state.jobs = jobs
        yield


async def find_jobs(request: Request) -> JobSystem:
    """Give the job system to a route; async, since a plain function would run in a thread."""
    jobs: JobSystem = request.app.state.jobs
    return jobs


Jobs = Annotated[JobSystem, Depends(find_jobs)]


async def order(picture: str, jobs: Jobs) -> dict[str, str]:
    """Submit a job; it is durable before the answer is sent."""
    job = await jobs.submit(USER, picture, job_type="thumbnail", options={"picture": picture})
    return {"job_id": job.job_id}


async def show(job_id: str, jobs: Jobs, wait: float = 0) -> dict[str, Any]:
    """Tell how the job stands, at its end or after *wait* seconds."""
    try:
        # A time-out is no fault: the job goes on, and the caller may ask again.
        with contextlib.suppress(TimeoutError):
            await jobs.wait(job_id, timeout=wait)
        job = await jobs.get(job_id)
    except JobNotFoundError as error:
        raise HTTPException(404, str(error)) from error
    return {"status": job.status, "progress": job.progress, "result": job.result}


def make_app(data_dir: Path = Path("data")) -> FastAPI:
    """Build the application."""
    app = FastAPI(lifespan=lifespan)
    app.state.data_dir = data_dir
    app.post("/thumbnails", status_code=202)(order)
    app.get("/thumbnails/{job_id}")(show)
    return app
