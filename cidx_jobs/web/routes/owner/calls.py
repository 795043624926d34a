"""The route by which other processes ask the owner of their directory."""

from functools import partial
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from cidx_jobs.interfaces.door import JobDoor
from cidx_jobs.model.errors import CidxJobsError, StoppingError
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.system import JobSystem
from cidx_jobs.web.access.member_word import WORD
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.routes.owner.messages import (
    PATH,
    Asked,
    Failed,
    describe_error,
    encode_message,
)

MAX_SECONDS = 20.0
"""So long one call waits at the most; who wants to wait longer asks again."""


async def answer_call(call: Call) -> web.Response:
    """Answer with what the method gives, or with the error that it raises."""
    asked = msgspec.json.decode(await call.request.read(), type=Asked)
    if asked.method == "wake":
        call.api.waiters.wake(partial(_is_of_member, asked.name))
        return call.answer_bytes(encode_message(value=True))
    try:
        value: Any = await _ask(call.api.jobs, asked)
    except CidxJobsError as error:
        value = describe_error(error)
    status = 422 if isinstance(value, Failed) else 200
    return call.answer_bytes(encode_message(value), status=status)


async def wake_waiters(session: aiohttp.ClientSession, token: str, member: str) -> None:
    """Ask the owner to answer at once all that wait for a member.

    Raises:
        aiohttp.ClientError, OSError: it does not answer.
    """
    asked = Asked(method="wake", name=member)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    async with session.post(f"http://local{PATH}", data=encode_message(asked), headers=headers):
        pass


def _is_of_member(member: str | None, request: web.Request) -> bool:
    word = request.get(WORD)
    return word is not None and word.member == member


async def _ask(jobs: JobSystem, asked: Asked) -> Any:
    if not jobs.is_open:
        raise StoppingError
    door = jobs.own_door
    job_id = asked.job_id or JobId("")
    match asked.method:
        case "ping":
            return True
        case "create_jobs":
            return await door.create_jobs(asked.submits)
        case "get_job":
            return await door.get_job(job_id)
        case "query_jobs" if asked.query is not None:
            return await door.query_jobs(asked.query)
        case "query_events" if asked.events is not None:
            return await door.query_events(asked.events)
        case "cancel_job":
            return await door.cancel_job(job_id, asked.text)
        case "retry_job":
            return await door.retry_job(job_id, from_start=asked.flag)
        case "start_job":
            return await door.start_job(job_id)
        case "revise_job":
            return await door.revise_job(
                job_id, priority=asked.priority, labels=asked.labels, if_version=asked.if_version
            )
        case "wait_for":
            return await _wait(jobs, door, job_id, asked)
        case _:
            return await _steer(door, asked)


async def _steer(door: JobDoor, asked: Asked) -> Any:
    match asked.method:
        case "change_limits":
            return await door.change_limits(asked.limits)
        case "set_pause":
            return await door.set_pause(
                user_id=asked.user_id, job_type=asked.name, is_paused=asked.flag
            )
        case "remove_project":
            user_id, project_id = UserId(asked.user_id or ""), ProjectId(asked.name or "")
            return await door.remove_project(user_id, project_id)
        case _:
            return await _schedule(door, asked)


async def _schedule(door: JobDoor, asked: Asked) -> Any:
    user_id, name = asked.user_id or "", asked.name or ""
    match asked.method:
        case "add_schedule" if asked.schedule is not None:
            return await door.add_schedule(asked.schedule)
        case "get_schedule":
            return await door.get_schedule(user_id, name)
        case "list_schedules":
            return await door.list_schedules(asked.user_id, asked.after, asked.number)
        case "change_schedule":
            return await door.change_schedule(user_id, name, asked.members)
        case "remove_schedule":
            return await door.remove_schedule(user_id, name)
        case "run_schedule":
            return await door.run_schedule(user_id, name, asked.text)
        case _:
            message = f"the owner of the directory knows no call {asked.method}"
            raise CidxJobsError(message)


async def _wait(jobs: JobSystem, door: JobDoor, job_id: JobId, asked: Asked) -> Any:
    seconds = min(asked.seconds, MAX_SECONDS)
    job, is_there = await door.wait_for(job_id, asked.until, asked.since, seconds)
    if jobs.is_stopping and not job.done:
        # Whoever waits goes on at the next owner.
        raise StoppingError
    return job, is_there
