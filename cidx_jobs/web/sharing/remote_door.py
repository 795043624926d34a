"""The door to jobs that run in another process: asked over the socket in the data directory."""

import math
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
from msgspec.structs import replace

from cidx_jobs.interfaces.door import JobDoor, Until
from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.job.submit import RequestKey, Submission, SubmitRequest
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import EventQuery, JobPage, JobQuery
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.model.schedules.view import ScheduleView
from cidx_jobs.settings import DataDirectory
from cidx_jobs.web.owner_connection import OwnerConnection
from cidx_jobs.web.routes.owner.calls import MAX_SECONDS
from cidx_jobs.web.routes.owner.messages import (
    PATH,
    RESULTS,
    Asked,
    Failed,
    encode_message,
    make_error,
)

_ANSWER_SECONDS = 30.0
_OK = 200
_TOLD = 422


class OwnerGoneError(CidxJobsError):
    """Nobody answers at the socket, or the answer broke off."""

    code = "owner_gone"

    def __init__(self, *, was_asked: bool) -> None:
        """Build the one text there is.

        Args:
            was_asked: the question may have arrived, and what it asks may have been done.
        """
        super().__init__("no process that owns the data directory answers")
        self.was_asked = was_asked


class RemoteDoor(JobDoor):
    """Asks the owner; each call raises `OwnerGoneError` where it does not answer."""

    def __init__(self, directory: DataDirectory) -> None:
        """Belong to a directory; nothing is opened yet."""
        self._owner = OwnerConnection(directory)

    async def close(self) -> None:
        """Close the connections; the next call opens them anew."""
        await self._owner.close()

    async def ping(self) -> None:
        """Return once the owner has answered.

        Raises:
            OwnerGoneError: it does not.
        """
        await self._ask(Asked(method="ping"))

    async def create_job(self, request: SubmitRequest) -> Submission:
        """Store the job that is asked for, or find the one that serves the request already."""
        return (await self.create_jobs([request]))[0]

    async def create_jobs(self, requests: Sequence[SubmitRequest]) -> Sequence[Submission]:
        """Store the jobs that are asked for, all or none."""
        made: Sequence[Submission] = await self._ask(
            Asked(method="create_jobs", submits=tuple(requests))
        )
        return made

    async def get_job(self, job_id: JobId) -> Job:
        """Return the job; `JobNotFoundError` when there is none."""
        job: Job = await self._ask(Asked(method="get_job", job_id=job_id))
        return job

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Return one page of the jobs that fit."""
        page: JobPage = await self._ask(Asked(method="query_jobs", query=query))
        return page

    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        """Return rows of the transition log, oldest first."""
        rows: Sequence[Transition] = await self._ask(Asked(method="query_events", events=query))
        return rows

    async def cancel_job(self, job_id: JobId, reason: str | None = None) -> Job:
        """Cancel a job that waits, at once; tell one that runs to stop."""
        job: Job = await self._ask(Asked(method="cancel_job", job_id=job_id, text=reason))
        return job

    async def retry_job(self, job_id: JobId, *, from_start: bool = False) -> Job:
        """Queue a failed or cancelled job again."""
        job: Job = await self._ask(Asked(method="retry_job", job_id=job_id, flag=from_start))
        return job

    async def start_job(self, job_id: JobId) -> Job:
        """Release a held job, one whose time has not come, or one in its back-off."""
        job: Job = await self._ask(Asked(method="start_job", job_id=job_id))
        return job

    async def revise_job(
        self,
        job_id: JobId,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        if_version: int | None = None,
    ) -> Job:
        """Change the priority or the labels of a job that waits."""
        job: Job = await self._ask(
            Asked(
                method="revise_job",
                job_id=job_id,
                priority=priority,
                labels=None if labels is None else dict(labels),
                if_version=if_version,
            )
        )
        return job

    async def wait_for(
        self, job_id: JobId, until: Until, since: int | None, seconds: float
    ) -> tuple[Job, bool]:
        """Return the job once it is as it is waited for, or after 20 seconds at the most."""
        slice_ = min(seconds, MAX_SECONDS)
        found: tuple[Job, bool] = await self._ask(
            Asked(method="wait_for", job_id=job_id, until=until, since=since, seconds=slice_),
            seconds=slice_,
        )
        return found

    def follow(self, job_id: JobId) -> AsyncIterator[Transition]:
        """Go through the job's transitions, to its end."""
        return follow_remote(self, job_id)

    async def change_limits(self, changes: Mapping[str, Any]) -> Limits:
        """Put other limits in force, and keep them; return all that are in force then."""
        limits: Limits = await self._ask(Asked(method="change_limits", limits=dict(changes)))
        return limits

    async def set_pause(
        self, *, user_id: str | None, job_type: str | None, is_paused: bool
    ) -> Pauses:
        """Keep everything, a user's jobs or those of a type from starting, or let them again."""
        pauses: Pauses = await self._ask(
            Asked(method="set_pause", user_id=user_id, name=job_type, flag=is_paused)
        )
        return pauses

    async def remove_project(self, user_id: UserId, project_id: ProjectId) -> None:
        """Remove a project: its copy, its index, and what is known of it."""
        await self._ask(Asked(method="remove_project", user_id=user_id, name=project_id))

    async def add_schedule(self, schedule: Schedule) -> ScheduleView:
        """Store a new schedule; it fires from now on, if it is enabled."""
        view: ScheduleView = await self._ask(Asked(method="add_schedule", schedule=schedule))
        return view

    async def get_schedule(self, user_id: str, name: str) -> ScheduleView:
        """Return the user's schedule; `ScheduleNotFoundError` when there is none."""
        asked = Asked(method="get_schedule", user_id=user_id, name=name)
        view: ScheduleView = await self._ask(asked)
        return view

    async def list_schedules(
        self, user_id: str | None, after: tuple[str, str] | None, limit: int
    ) -> Sequence[ScheduleView]:
        """Return at most *limit* schedules of a user, or of all, by user and name."""
        asked = Asked(method="list_schedules", user_id=user_id, after=after, number=limit)
        views: Sequence[ScheduleView] = await self._ask(asked)
        return views

    async def change_schedule(
        self, user_id: str, name: str, members: Mapping[str, Any]
    ) -> ScheduleView:
        """Change what a schedule says."""
        asked = Asked(method="change_schedule", user_id=user_id, name=name, members=dict(members))
        view: ScheduleView = await self._ask(asked)
        return view

    async def remove_schedule(self, user_id: str, name: str) -> None:
        """Remove a schedule; the jobs that it submitted stay."""
        await self._ask(Asked(method="remove_schedule", user_id=user_id, name=name))

    async def run_schedule(self, user_id: str, name: str, actor: str | None) -> Job:
        """Submit the job of a schedule now; return the job."""
        asked = Asked(method="run_schedule", user_id=user_id, name=name, text=actor)
        job: Job = await self._ask(asked)
        return job

    async def _ask(self, asked: Asked, seconds: float = 0.0) -> Any:
        try:
            session, token = await self._owner.open(), await self._owner.read_token()
            async with session.post(
                f"http://local{PATH}",
                data=encode_message(asked),
                headers={
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {token}",
                },
                timeout=aiohttp.ClientTimeout(total=seconds + _ANSWER_SECONDS),
            ) as answer:
                body, status = await answer.read(), answer.status
        except (aiohttp.ClientConnectorError, FileNotFoundError) as error:
            raise OwnerGoneError(was_asked=False) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Others may be asking over the same session; its broken connections are dropped.
            raise OwnerGoneError(was_asked=True) from error
        if status == _OK:
            return msgspec.json.decode(body, type=RESULTS[asked.method])
        if status == _TOLD:
            raise make_error(msgspec.json.decode(body, type=Failed))
        self._owner.forget_token()
        raise OwnerGoneError(was_asked=False)


def keyed(request: SubmitRequest) -> SubmitRequest:
    """Return the request with a key of its own, so that to ask it again makes no second job."""
    if request.request_key is not None:
        return request
    return replace(request, request_key=RequestKey(key=f"shared-{uuid.uuid4()}", fingerprint="-"))


async def follow_remote(door: JobDoor, job_id: JobId) -> AsyncIterator[Transition]:
    """Go through the transitions that were, then those to come, until the job's end."""
    version = (await door.get_job(job_id)).version
    last = 0
    while True:
        rows = await door.query_events(EventQuery(job_id=job_id, after_sequence=last))
        for row in rows:
            last, version = row.sequence, max(version, row.version)
            yield row
            is_end = row.to_status.is_final
            if is_end and (await door.get_job(job_id)).end_version <= row.version:
                return
        if not rows:
            job, _ = await door.wait_for(job_id, "change", version, math.inf)
            version = job.version
