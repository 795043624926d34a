"""The route by which other processes ask the owner of their directory."""

from functools import partial
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from msgspec.structs import replace

from cidx_jobs.interfaces.door import WaitForJob
from cidx_jobs.model.errors import CidxJobsError, StoppingError
from cidx_jobs.model.job.job import Job
from cidx_jobs.system import JobSystem
from cidx_jobs.web.access.member_word import word_of
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.routes.owner.messages import (
    PATH,
    Asked,
    Failed,
    Ping,
    WakeWaiters,
    describe_error,
    encode_message,
)

MAX_SECONDS = 20.0
"""So long one call waits at the most; who wants to wait longer asks again."""


async def answer_call(call: Call) -> web.Response:
    """Answer with what the command gives, or with the error that it raises."""
    try:
        value: Any = await _ask(call, await call.request.read())
    except CidxJobsError as error:
        value = describe_error(error)
    status = 422 if isinstance(value, Failed) else 200
    return call.answer_bytes(encode_message(value), status=status)


async def wake_waiters(session: aiohttp.ClientSession, token: str, member: str) -> None:
    """Ask the owner to answer at once all that wait for a member.

    Raises:
        aiohttp.ClientError, OSError: it does not answer.
    """
    asked = WakeWaiters(member=member)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    async with session.post(f"http://local{PATH}", data=encode_message(asked), headers=headers):
        pass


async def _ask(call: Call, body: bytes) -> Any:
    try:
        asked: Any = msgspec.json.decode(body, type=Asked)
    except msgspec.DecodeError as error:
        # Another version of the package runs there.
        message = "the owner of the directory does not know what is asked"
        raise CidxJobsError(message) from error
    if isinstance(asked, WakeWaiters):
        call.api.waiters.wake(partial(_is_of_member, asked.member))
        return True
    jobs = call.api.jobs
    if not jobs.is_open:
        raise StoppingError
    match asked:
        case Ping():
            return True
        case WaitForJob():
            return await _wait(jobs, asked)
        case _:
            return await jobs.own_door.ask(asked)


def _is_of_member(member: str, request: web.Request) -> bool:
    word = word_of(request)
    return word is not None and word.member == member


async def _wait(jobs: JobSystem, asked: WaitForJob) -> tuple[Job, bool]:
    seconds = min(asked.seconds, MAX_SECONDS)
    job, is_there = await jobs.own_door.ask(replace(asked, seconds=seconds))
    if jobs.is_stopping and not job.done:
        # Whoever waits goes on at the next owner.
        raise StoppingError
    return job, is_there
