"""Membership: a process's part in a directory that several share: it owns it, or asks its owner.

The first process to take the directory's lock owns it and runs the jobs. Each other one asks it,
and tries again and again to take the lock: when the owner ends, one of them goes on.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from cidx_jobs.interfaces.door import (
    AddSchedule,
    Command,
    CreateJob,
    CreateJobs,
    GetJob,
    JobDoor,
    RemoveSchedule,
    RunSchedule,
    WaitForJob,
)
from cidx_jobs.model.errors import (
    AlreadyOwnedError,
    CidxJobsError,
    StoppingError,
    StorageUnavailableError,
)
from cidx_jobs.model.job.job import Job
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.shielded import end_tasks
from cidx_jobs.settings import DataDirectory
from cidx_jobs.system import JobSystem
from cidx_jobs.web.access.authenticators import adapt, make_token_authenticator
from cidx_jobs.web.app import create_app
from cidx_jobs.web.owner_connection import AGAIN_SECONDS, GONE_SECONDS
from cidx_jobs.web.server import listening_locally
from cidx_jobs.web.server_files import ensure_admin_token
from cidx_jobs.web.sharing.remote_door import OwnerGoneError, RemoteDoor, keyed

TAKE_SECONDS = 0.25
"""How often a process that does not own the directory tries to."""
JOIN_SECONDS = 10.0
"""So long a start waits for an owner that does not answer yet."""

R = TypeVar("R")

_ONCE = (CreateJobs, AddSchedule, RemoveSchedule, RunSchedule)
"""What must not be asked again where an owner may have heard it: it would be done twice."""

_log = get_logger("sharing")


class SharedDoor(JobDoor):
    """Hands each command to the owner of the moment, and again where that ends meanwhile."""

    def __init__(self, find: Callable[[], JobDoor]) -> None:
        """Ask *find* for the door at each try."""
        self._find = find

    async def ask(self, command: Command[R]) -> R:
        """Do what is asked, and return the command's answer.

        Raises:
            StorageUnavailableError: nobody has answered in time, or it may have been done by an
                owner that ended then, and would be done twice.
        """
        answer: R = await self._begin(command)
        return answer

    def _begin(self, command: Command[Any]) -> Awaitable[Any]:
        match command:
            case CreateJob():
                return self._ask(replace(command, request=keyed(command.request)))
            case WaitForJob():
                return self._wait(command)
            case _:
                return self._ask(command)

    async def _wait(self, asked: WaitForJob) -> tuple[Job, bool]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + asked.seconds
        if asked.since is None:
            # It counts from the same version however often the owner changes meanwhile.
            now = await self._ask(GetJob(job_id=asked.job_id))
            asked = replace(asked, since=now.version)
        while True:
            left = max(0.0, deadline - loop.time())
            job, is_there = await self._ask(replace(asked, seconds=left))
            if is_there or math.isclose(left, 0.0):
                return job, is_there

    async def _ask(self, command: Command[R]) -> R:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GONE_SECONDS
        while True:
            try:
                return await self._find().ask(command)
            except OwnerGoneError as error:
                is_done_perhaps = error.was_asked and isinstance(command, _ONCE)
                if is_done_perhaps or loop.time() > deadline:
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
            await end_tasks([successor])
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
