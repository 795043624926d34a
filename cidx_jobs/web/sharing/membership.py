"""Membership: a process's part in a directory that several share: it owns it, or asks its owner.

The first process to take the directory's lock owns it and runs the jobs. Each other one asks it,
and tries again and again to take the lock: when the owner ends, one of them goes on.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from cidx_jobs.interfaces.door import JobDoor, Until
from cidx_jobs.model.errors import (
    AlreadyOwnedError,
    CidxJobsError,
    StoppingError,
    StorageUnavailableError,
)
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.job.submit import Submission, SubmitRequest
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import EventQuery, JobPage, JobQuery
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.model.schedules.view import ScheduleView
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.settings import DataDirectory
from cidx_jobs.system import JobSystem
from cidx_jobs.web.access.authenticators import adapt, make_token_authenticator
from cidx_jobs.web.app import create_app
from cidx_jobs.web.owner_connection import AGAIN_SECONDS, GONE_SECONDS
from cidx_jobs.web.server import listening_locally
from cidx_jobs.web.server_files import ensure_admin_token
from cidx_jobs.web.sharing.remote_door import OwnerGoneError, RemoteDoor, follow_remote, keyed

TAKE_SECONDS = 0.25
"""How often a process that does not own the directory tries to."""
JOIN_SECONDS = 10.0
"""So long a start waits for an owner that does not answer yet."""

T = TypeVar("T")

_log = get_logger("sharing")


class SharedDoor(JobDoor):
    """Hands each call to the owner of the moment, and again where that ends meanwhile."""

    def __init__(self, find: Callable[[], JobDoor]) -> None:
        """Ask *find* for the door at each try."""
        self._find = find

    async def create_job(self, request: SubmitRequest) -> Submission:
        """Store the job that is asked for, or find the one that serves the request already."""
        safe = keyed(request)
        return await self._ask(lambda door: door.create_job(safe))

    async def create_jobs(self, requests: Sequence[SubmitRequest]) -> Sequence[Submission]:
        """Store the jobs that are asked for, all or none."""
        if len(requests) == 1:
            return [await self.create_job(requests[0])]
        return await self._ask_once(lambda door: door.create_jobs(requests))

    async def get_job(self, job_id: JobId) -> Job:
        """Return the job; `JobNotFoundError` when there is none."""
        return await self._ask(lambda door: door.get_job(job_id))

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Return one page of the jobs that fit."""
        return await self._ask(lambda door: door.query_jobs(query))

    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        """Return rows of the transition log, oldest first."""
        return await self._ask(lambda door: door.query_events(query))

    async def cancel_job(self, job_id: JobId, reason: str | None = None) -> Job:
        """Cancel a job that waits, at once; tell one that runs to stop."""
        return await self._ask(lambda door: door.cancel_job(job_id, reason))

    async def retry_job(self, job_id: JobId, *, from_start: bool = False) -> Job:
        """Queue a failed or cancelled job again."""
        return await self._ask(lambda door: door.retry_job(job_id, from_start=from_start))

    async def start_job(self, job_id: JobId) -> Job:
        """Release a held job, one whose time has not come, or one in its back-off."""
        return await self._ask(lambda door: door.start_job(job_id))

    async def revise_job(
        self,
        job_id: JobId,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        if_version: int | None = None,
    ) -> Job:
        """Change the priority or the labels of a job that waits."""
        return await self._ask(
            lambda door: door.revise_job(
                job_id, priority=priority, labels=labels, if_version=if_version
            )
        )

    async def wait_for(
        self, job_id: JobId, until: Until, since: int | None, seconds: float
    ) -> tuple[Job, bool]:
        """Return the job once it is as it is waited for, or as it is when the time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        # It counts from the same version however often the owner changes meanwhile.
        version = (await self.get_job(job_id)).version if since is None else since
        while True:
            left = max(0.0, deadline - loop.time())
            job, is_there = await self._ask(
                lambda door, left=left: door.wait_for(job_id, until, version, left)  # type: ignore[misc]
            )
            if is_there or math.isclose(left, 0.0):
                return job, is_there

    def follow(self, job_id: JobId) -> AsyncIterator[Transition]:
        """Go through the job's transitions, to its end."""
        return follow_remote(self, job_id)

    async def change_limits(self, changes: Mapping[str, Any]) -> Limits:
        """Put other limits in force, and keep them; return all that are in force then."""
        return await self._ask(lambda door: door.change_limits(changes))

    async def set_pause(
        self, *, user_id: str | None, job_type: str | None, is_paused: bool
    ) -> Pauses:
        """Keep everything, a user's jobs or those of a type from starting, or let them again."""
        return await self._ask(
            lambda door: door.set_pause(user_id=user_id, job_type=job_type, is_paused=is_paused)
        )

    async def remove_project(self, user_id: UserId, project_id: ProjectId) -> None:
        """Remove a project: its copy, its index, and what is known of it."""
        await self._ask(lambda door: door.remove_project(user_id, project_id))

    async def add_schedule(self, schedule: Schedule) -> ScheduleView:
        """Store a new schedule; it fires from now on, if it is enabled."""
        return await self._ask_once(lambda door: door.add_schedule(schedule))

    async def get_schedule(self, user_id: str, name: str) -> ScheduleView:
        """Return the user's schedule; `ScheduleNotFoundError` when there is none."""
        return await self._ask(lambda door: door.get_schedule(user_id, name))

    async def list_schedules(
        self, user_id: str | None, after: tuple[str, str] | None, limit: int
    ) -> Sequence[ScheduleView]:
        """Return at most *limit* schedules of a user, or of all, by user and name."""
        return await self._ask(lambda door: door.list_schedules(user_id, after, limit))

    async def change_schedule(
        self, user_id: str, name: str, members: Mapping[str, Any]
    ) -> ScheduleView:
        """Change what a schedule says."""
        return await self._ask(lambda door: door.change_schedule(user_id, name, members))

    async def remove_schedule(self, user_id: str, name: str) -> None:
        """Remove a schedule; the jobs that it submitted stay."""
        await self._ask_once(lambda door: door.remove_schedule(user_id, name))

    async def run_schedule(self, user_id: str, name: str, actor: str | None) -> Job:
        """Submit the job of a schedule now; return the job."""
        return await self._ask_once(lambda door: door.run_schedule(user_id, name, actor))

    def _ask(self, call: Callable[[JobDoor], Awaitable[T]]) -> Awaitable[T]:
        """Ask until somebody answers: asked twice, it does the same."""
        return self._ask_again(call, once=False)

    def _ask_once(self, call: Callable[[JobDoor], Awaitable[T]]) -> Awaitable[T]:
        """Ask until somebody has heard it: asked twice, it might be done twice."""
        return self._ask_again(call, once=True)

    async def _ask_again(self, call: Callable[[JobDoor], Awaitable[T]], *, once: bool) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GONE_SECONDS
        while True:
            try:
                return await call(self._find())
            except OwnerGoneError as error:
                if (once and error.was_asked) or loop.time() > deadline:
                    raise StorageUnavailableError from error
            except StoppingError as error:
                if loop.time() > deadline:
                    raise StorageUnavailableError from error
            await asyncio.sleep(AGAIN_SECONDS)


class Membership:
    """What a shared `JobSystem` does besides: it serves the others, or succeeds the owner."""

    def __init__(self, jobs: JobSystem, own: Callable[[], Awaitable[None]]) -> None:
        """Belong to a system; *own* opens its store, and raises where another owns it."""
        self._jobs = jobs
        self._own = own
        self._directory = DataDirectory(jobs.settings.data_dir)
        self._remote = RemoteDoor(self._directory)
        self._served = contextlib.AsyncExitStack()
        self._successor: asyncio.Task[None] | None = None
        self.door: SharedDoor = SharedDoor(self._find_door)

    async def join(self) -> None:
        """Own the directory, or find its owner.

        Raises:
            StartRefusedError: the directory cannot be served, or its owner does not answer: it is
                not shared.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + JOIN_SECONDS
        while True:
            try:
                await self._take()
            except AlreadyOwnedError:
                if await self._has_partner():
                    self._successor = asyncio.create_task(self._succeed(), name="successor")
                    return
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    async def _has_partner(self) -> bool:
        try:
            await self._remote.ping()
        except OwnerGoneError:
            return False
        return True

    async def leave(self) -> None:
        """Try no more to own it, and answer nobody any more; leaving twice is fine."""
        successor, self._successor = self._successor, None
        if successor is not None:
            successor.cancel()
            await asyncio.wait([successor])
        await self._remote.close()
        await self._served.aclose()

    def _find_door(self) -> JobDoor:
        return self._jobs.own_door if self._jobs.is_open else self._remote

    async def _take(self) -> None:
        await self._own()
        jobs = self._jobs
        await ensure_admin_token(self._directory, jobs.persistence.tokens, jobs.clock)
        way_in = None
        if jobs.settings.auth is None:
            # The host tells who calls, in each process; here it is the administrator's token.
            tokens = make_token_authenticator(jobs)
            self._served.push_async_callback(tokens.close)
            way_in = adapt(tokens, tokens, jobs.settings.data_dir)
        app = create_app(jobs, authenticate=way_in)
        await self._served.enter_async_context(
            listening_locally(app, self._directory.server_socket)
        )

    async def _succeed(self) -> None:
        while True:
            await asyncio.sleep(TAKE_SECONDS)
            try:
                await self._take()
            except AlreadyOwnedError:
                continue
            except CidxJobsError as error:
                _log.warning("directory_not_taken", code=error.code, message=error.message)
                continue
            _log.info("directory_taken", epoch=self._jobs.identity.epoch)
            return
