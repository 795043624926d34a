"""A server of the API for tests: its users, its job types, and how to ask it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
from aiohttp import web
from aiohttp.test_utils import TestClient

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import Fatal
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.tokens import make_token
from cidx_jobs.system import JobSystem
from cidx_jobs.web.app import create_app
from cidx_jobs.web.keys import API
from tests.fakes import WAIT_SECONDS, Gate

AioClient = Callable[[web.Application], Awaitable[TestClient[Any, Any]]]

REPOSITORY = "https://example.com/a/b.git"
NO_JOB = "019a0000-0000-7000-8000-000000000000"
USERS = {"alice": "write", "bob": "write", "rita": "read", "audrey": "audit", "root": "admin"}
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@attrs.define
class House:
    """A running server with tokens: one user of each kind, a gate, and job types that end."""

    jobs: JobSystem
    client: TestClient[Any, Any]
    gate: Gate
    tokens: dict[str, str]

    async def ask(
        self, method: str, path: str, *, user: str | None = "alice", **more: Any
    ) -> aiohttp.ClientResponse:
        """Send a request as a user (None: without a token); the body is read already."""
        headers = dict(more.pop("headers", {}))
        if user is not None:
            headers.setdefault("Authorization", f"Bearer {self.tokens[user]}")
        answer = await self.client.request(method, path, headers=headers, **more)
        await answer.read()
        return answer

    async def submit(self, user: str = "alice", **members: Any) -> dict[str, Any]:
        """Submit a gated job, unless *members* say else; give its document."""
        body = {"job_type": "gated", "project_id": "p"} | members
        answer = await self.ask("POST", "/api/jobs", user=user, json=body)
        assert answer.status in {200, 202}, await answer.text()
        document: dict[str, Any] = await answer.json()
        return document

    async def submit_running(self, user: str = "alice", **members: Any) -> dict[str, Any]:
        """Submit a gated job and wait until its run is at the gate."""
        before = len(self.gate.contexts)
        job = await self.submit(user, **members)
        await self.gate.arrived(before + 1)
        return job

    async def submit_ended(self, job_type: str = "quick", user: str = "alice") -> Job:
        """Submit a job that ends by itself, and wait for that."""
        job = await self.submit(user, job_type=job_type)
        return await self.jobs.wait(job["job_id"], timeout=WAIT_SECONDS)

    async def until(self, job_id: str, status: JobStatus) -> Job:
        """Wait until the job has the status."""
        async with asyncio.timeout(WAIT_SECONDS):
            job = await self.jobs.get(job_id)
            while job.status is not status:
                job = await self.jobs.wait(job_id, until="change")
        return job

    async def until_version(self, job_id: str, version: int) -> Job:
        """Wait until the job is at the version or beyond."""
        async with asyncio.timeout(WAIT_SECONDS):
            job = await self.jobs.get(job_id)
            while job.version < version:
                job = await self.jobs.wait(job_id, until="change")
        return job

    async def parked(self, count: int) -> None:
        """Wait until so many requests wait in the server."""
        waiters = self.client.app[API].waiters
        await eventually(lambda: waiters.count >= count)


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that nobody tells of."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - a count in the server is no event
            await asyncio.sleep(0.001)


async def quick(context: JobContext) -> dict[str, Any]:
    """Report once and end."""
    await context.report(percent=50, message="half")
    return {"seen": dict(context.options)}


async def broken(_: JobContext) -> dict[str, Any]:
    """Fail for good."""
    message = "it broke"
    raise Fatal(message)


def job_types(gate: Gate) -> list[JobType]:
    """Give the types that a house has besides ``repository_sync``."""
    return [gate.job_type, JobType("quick", quick), JobType("broken", broken)]


@asynccontextmanager
async def open_house(
    aiohttp_client: AioClient,
    data_dir: Path,
    more_types: Sequence[JobType] = (),
    store: Persistence | None = None,
    /,
    **settings: Any,
) -> AsyncIterator[House]:
    """Open a server with tokens on a store in memory, an empty one if none is given."""
    gate = Gate()
    values: dict[str, Any] = {"auth": "tokens", "shutdown_grace_seconds": 0} | settings
    types = [*job_types(gate), *more_types]
    system = JobSystem(
        Settings(data_dir=data_dir, **values),
        types,
        persistence=store or MemoryPersistence(),
    )
    async with system as jobs:
        tokens = {user: await _token(jobs, user, scope) for user, scope in USERS.items()}
        client = await aiohttp_client(create_app(jobs))
        try:
            yield House(jobs=jobs, client=client, gate=gate, tokens=tokens)
        finally:
            gate.open()
            await client.close()


async def _token(jobs: JobSystem, user: str, scope: str) -> str:
    text, token = make_token(UserId(user), scope, now=jobs.clock.now())
    await jobs.persistence.tokens.save_token(token)
    return text


def problem_of(answer: aiohttp.ClientResponse, body: Any) -> dict[str, Any]:
    """Give the problem document of an answer, after checking what all of them have."""
    assert answer.content_type == "application/problem+json"
    assert body["status"] == answer.status
    assert all(isinstance(body[name], str) for name in ("type", "title", "detail", "code"))
    assert body["instance"] == answer.url.raw_path
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert "Traceback" not in str(body)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    document: dict[str, Any] = body
    return document
