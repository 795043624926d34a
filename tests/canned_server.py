"""A small server that answers as the API says, and misbehaves when it is told to.

For the client's view of faults that a real server does not have on demand; everything else about
the client is tested against the real one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

JOB_ID = "019a0000-0000-7000-8000-000000000001"


def job_document(**members: Any) -> dict[str, Any]:
    """Give a job as the API shows it, running unless *members* say otherwise."""
    status = members.get("status", "running")
    done = status in {"completed", "failed", "cancelled"}
    job_id = members.get("job_id", JOB_ID)
    return {
        "job_id": job_id,
        "job_type": "repository_sync",
        "user_id": "local",
        "project_id": "project",
        "status": status,
        "done": done,
        "version": 3,
        "priority": 5,
        "labels": {},
        "attempt": 1,
        "max_attempts": 3,
        "options": {},
        "progress": 100 if status == "completed" else 0,
        "phase": None,
        "message": None,
        "progress_detail": {
            "done": None,
            "total": None,
            "unit": None,
            "current_item": None,
            "rate_per_second": None,
            "eta_seconds": None,
            "progress_at": None,
            "waiting_for": None,
        },
        "phases": [],
        "queue": None,
        "created_at": "2030-01-01T00:00:00Z",
        "queued_at": "2030-01-01T00:00:00Z",
        "start_at": None,
        "started_at": "2030-01-01T00:00:01Z",
        "finished_at": "2030-01-01T00:00:05Z" if done else None,
        "updated_at": "2030-01-01T00:00:05Z",
        "timeout_seconds": 3600,
        "cancel_requested_at": None,
        "cancel_reason": None,
        "checkpoint": None,
        "result": {} if status == "completed" else None,
        "error": None,
        "warnings": [],
        "attempts": [],
        "links": {
            "self": f"/api/jobs/{job_id}",
            "events": f"/api/jobs/{job_id}/events",
            "cancel": f"/api/jobs/{job_id}/cancel",
        },
    } | members


def error_document(code: str = "GIT-002", category: str = "git_operation") -> dict[str, Any]:
    """Give the error of a failed job."""
    return {
        "code": code,
        "category": category,
        "severity": "persistent",
        "retryable": False,
        "message": "the repository has no branch nope",
        "phase": "git_sync",
        "occurred_at": "2030-01-01T00:00:05Z",
        "actions": ["Check the branch name."],
    }


def problem(status: int, code: str, detail: str, **members: Any) -> web.Response:
    """Give a problem answer (RFC 9457)."""
    body = {
        "type": "about:blank",
        "title": "Problem",
        "status": status,
        "detail": detail,
        "code": code,
        "instance": "/",
        "request_id": "r-1",
    }
    return web.json_response(
        body | members,
        status=status,
        content_type="application/problem+json",
        headers={"Retry-After": "0"} if status in {429, 503} else {},
    )


Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CannedServer:
    """One job behind the routes that the client uses, and a list of faults to come first."""

    def __init__(self) -> None:
        """Begin with a running job at version 3."""
        self.job = job_document()
        self.faults: list[Fault] = []
        self.requests: list[web.Request] = []
        self.asked_at: list[float] = []
        self.bodies: list[Any] = []
        self.can_wait = True
        self.version = "9.8"
        self._changed = asyncio.Event()
        self._arrived = asyncio.Event()

    def make_app(self) -> web.Application:
        """Give the application to serve."""
        app = web.Application(middlewares=[self._first_the_faults])
        app.router.add_get("/api/jobs/{job_id}", self._get_job)
        app.router.add_get("/api/jobs", self._list_jobs)
        app.router.add_get("/openapi.json", self._describe)
        app.router.add_post("/api/jobs", self._submit)
        app.router.add_post("/api/sync", self._submit)
        app.router.add_post("/api/jobs/{job_id}/cancel", self._cancel)
        return app

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response({"openapi": "3.1.0", "info": {"version": self.version}})

    def change(self, **members: Any) -> None:
        """Let the job become another, and tell who waits."""
        self.job = job_document(**(self.job | {"version": self.job["version"] + 1} | members))
        self.job["done"] = self.job["status"] in {"completed", "failed", "cancelled"}
        self._changed.set()
        self._changed = asyncio.Event()

    def end(self, status: str = "completed", **members: Any) -> None:
        """Let the job end."""
        self.change(
            status=status,
            progress=100 if status == "completed" else self.job["progress"],
            finished_at="2030-01-01T00:00:09Z",
            result={} if status == "completed" else None,
            **members,
        )

    async def asked(self, count: int) -> None:
        """Wait until *count* requests have come in all, for at most five seconds."""
        async with asyncio.timeout(5):
            while len(self.requests) < count:
                self._arrived.clear()
                await self._arrived.wait()

    @web.middleware
    async def _first_the_faults(
        self, request: web.Request, handler: Callable[..., Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests.append(request)
        self._arrived.set()
        self.asked_at.append(asyncio.get_running_loop().time())
        if request.can_read_body:
            self.bodies.append(await request.json())
        if self.faults:
            return await self.faults.pop(0)(request)
        return await handler(request)

    async def _get_job(self, request: web.Request) -> web.Response:
        if request.match_info["job_id"] != self.job["job_id"]:
            return problem(404, "job_not_found", f"Job not found: {request.match_info['job_id']}")
        wait = float(request.query.get("wait", "0"))
        known = request.headers.get("If-None-Match")
        is_known = known == self._tag or request.query.get("since") == str(self.job["version"])
        waits_for_end = request.query.get("until") == "done"
        if wait and self.can_wait and (is_known or waits_for_end):
            await self._wait(wait, is_enough=lambda: self.job["done"] or not waits_for_end)
        if known == self._tag:
            return web.Response(status=304, headers=self._headers)
        return web.json_response(self.job, headers=self._headers)

    async def _wait(self, seconds: float, *, is_enough: Callable[[], bool]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.job["done"]:
                    await self._changed.wait()
                    if is_enough():
                        return

    async def _list_jobs(self, _: web.Request) -> web.Response:
        listed = self.job | {
            "operation_type": self.job["job_type"],
            "username": self.job["user_id"],
            "completed_at": self.job["finished_at"],
        }
        return web.json_response(
            {
                "jobs": [listed],
                "total": 1,
                "total_is_exact": True,
                "limit": 50,
                "offset": 0,
                "next_cursor": None,
            }
        )

    async def _submit(self, _: web.Request) -> web.Response:
        return web.json_response(self.job, status=202, headers=self._headers)

    async def _cancel(self, _: web.Request) -> web.Response:
        self.end("cancelled", error=error_document("CANCELLED", "system"))
        return web.json_response(self.job)

    @property
    def _tag(self) -> str:
        return f'W/"{self.job["version"]}"'

    @property
    def _headers(self) -> dict[str, str]:
        return {"ETag": self._tag} | ({} if self.job["done"] else {"Retry-After": "1"})


async def cut(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def answer_with(status: int, code: str, detail: str | None = None, **members: Any) -> Fault:
    """Give a fault that answers with a problem."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return problem(status, code, detail or f"canned {code}", **members)

    return answer
