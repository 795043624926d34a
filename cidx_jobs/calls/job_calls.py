"""Calls on jobs: what an application asks of a job system, wherever the jobs run.

Wrong arguments of any kind are `ValidationError`, with the argument's name as pointer.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar, get_args, overload

from msgspec import UNSET, UnsetType

from cidx_jobs.calls.arguments import (
    MAX_LISTED,
    MAX_NUMBER,
    between,
    one_of,
    plain,
    read,
    read_id,
    read_labels,
    read_seconds,
    read_statuses,
    read_submit,
    read_submits,
    read_text,
    read_time,
)
from cidx_jobs.calls.job_events import follow
from cidx_jobs.calls.schedule_calls import ScheduleCalls
from cidx_jobs.interfaces.door import (
    CancelJob,
    ChangeLimits,
    CreateJob,
    CreateJobs,
    GetJob,
    JobDoor,
    QueryJobs,
    RemoveProject,
    RetryJob,
    ReviseJob,
    SetPause,
    StartJob,
    Until,
    WaitForJob,
)
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, JsonObject, Transition
from cidx_jobs.model.job.outcome import find_result
from cidx_jobs.model.job.submit import JobTypeLike, OnConflict, name_of_type
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.wire.request_bodies import REPOSITORY_SYNC

OnConflictName = Literal["coalesce", "reject", "replace"]
StatusName = Literal["created", "queued", "running", "completed", "failed", "cancelled"]
ResultT = TypeVar("ResultT")

_UNTIL: tuple[str, ...] = get_args(Until)


class JobCalls(ABC):
    """Submit, read, wait, steer: the methods that every job system has."""

    @property
    @abstractmethod
    def _door(self) -> JobDoor:
        """Where the jobs are asked for."""

    @property
    def schedules(self) -> ScheduleCalls:
        """What submits jobs by itself: add, get, list, change, remove and run schedules."""
        return ScheduleCalls(lambda: self._door)

    async def submit(
        self,
        user_id: str,
        project_id: str,
        *,
        job_type: str | JobTypeLike[Any] = REPOSITORY_SYNC,
        options: object = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        start_at: datetime | None = None,
        hold: bool = False,
        on_conflict: OnConflict | OnConflictName = OnConflict.COALESCE,
        labels: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        notify: str | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> Job:
        """Store a job, or join the one that serves it already; durable when this returns.

        Args:
            user_id: whose job it is.
            project_id: which project of the user's.
            job_type: a registered type, internal ones among them: its name, or the `JobType`.
            options: a JSON object, or an instance of the type's class of options.
            priority: 0 to 9, 9 first; the default of the user or the server if None.
            max_attempts: how often it is tried; its type's or the server's if None.
            timeout_seconds: the longest a run may take; its type's or the server's if None.
            start_at: not to start before this time, which has a time zone.
            hold: not to start before `release`.
            on_conflict: what to do while an exclusive job of the project is active.
            labels: the caller's own marks.
            limits: keys, and how many of the user's jobs with each may run at a time; the newest
                number counts.
            notify: a URL that the job's end is posted to, signed with the user's secret
                (`end_notices.make_secret`); its host is one of `webhook_allowed_hosts`.
            traceparent: the trace context that the job belongs to (W3C Trace Context); that of
                the current span where the program uses OpenTelemetry, if None.
            idempotency_key: the same key with the same request gives the one job, for 24 hours.

        Raises: what `SyncJobManager.create_job` raises.
        """
        request = read_submit(
            user_id=user_id,
            project_id=project_id,
            job_type=job_type,
            options=options,
            priority=priority,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            start_at=start_at,
            hold=hold,
            on_conflict=on_conflict,
            labels=labels,
            limits=limits,
            notify=notify,
            idempotency_key=idempotency_key,
            traceparent=traceparent,
        )
        return (await self._door.ask(CreateJob(request=request))).job

    @overload
    async def run(
        self,
        user_id: str,
        project_id: str,
        *,
        job_type: JobTypeLike[ResultT],
        options: object = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as in `wait`
        **request: Any,
    ) -> ResultT: ...

    @overload
    async def run(
        self,
        user_id: str,
        project_id: str,
        *,
        job_type: str = REPOSITORY_SYNC,
        options: object = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as in `wait`
        **request: Any,
    ) -> JsonObject: ...

    async def run(
        self,
        user_id: str,
        project_id: str,
        *,
        job_type: str | JobTypeLike[Any] = REPOSITORY_SYNC,
        options: object = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as in `wait`
        **request: Any,
    ) -> Any:
        """Submit a job, wait for its end, and return its result, as `wait_result` does.

        The job is stored before it is waited for: it goes on when the waiting ends early.

        Args:
            user_id: whose job it is.
            project_id: which project of the user's.
            job_type: a registered type: its name, or the `JobType`.
            options: a JSON object, or an instance of the type's class of options.
            timeout: how many seconds to wait at the most; without limit if None.
            request: what else `submit` takes.

        Raises: what `submit` and `wait_result` raise.
        """
        job = await self.submit(user_id, project_id, job_type=job_type, options=options, **request)
        return find_result(await self.wait(job.job_id, timeout=timeout), job_type)

    async def submit_many(self, user_id: str, jobs: Iterable[Mapping[str, Any]]) -> Sequence[Job]:
        """Store jobs in one transaction, all or none; durable when this returns.

        Args:
            user_id: whose jobs they are.
            jobs: for each job what `submit` takes by name, but for an idempotency key; at most
                10,000.

        Returns one job for each, in their order. Of several for the same line of an exclusive
        type the later ones join the first.

        Raises: what `submit` raises; pointers begin with the number of the job, from 0.
        """
        requests = read_submits(user_id, jobs)
        if not requests:
            return ()
        if len(requests) == 1:
            return [(await self._door.ask(CreateJob(request=requests[0]))).job]
        return [made.job for made in await self._door.ask(CreateJobs(requests=requests))]

    async def sync(
        self,
        user_id: str,
        project_id: str,
        *,
        repository_url: str | None = None,
        branch: str | UnsetType | None = UNSET,
        full_reindex: bool = False,
        skip_indexing: bool = False,
        **request: Any,
    ) -> Job:
        """Submit the sync of a repository, a ``repository_sync``.

        Args:
            user_id: whose project it is.
            project_id: which project.
            repository_url: that of the last sync if None.
            branch: that of the last sync where nothing is given; None is the remote's default.
            full_reindex: make the index anew.
            skip_indexing: only fetch, and count the changes.
            request: what else `submit` takes.

        Raises: what `submit` raises.
        """
        options: dict[str, Any] = {"full_reindex": full_reindex, "skip_indexing": skip_indexing}
        if repository_url is not None:
            options["repository_url"] = repository_url
        if branch is not UNSET:
            options["branch"] = branch
        return await self.submit(
            user_id, project_id, job_type=REPOSITORY_SYNC, options=options, **request
        )

    async def get(self, job_id: str) -> Job:
        """Return the job; `JobNotFoundError` when there is none."""
        return await self._door.ask(GetJob(job_id=read_id(job_id)))

    async def list(
        self,
        user_id: str | None = None,
        *,
        status: JobStatus | StatusName | Iterable[JobStatus | StatusName] | None = None,
        job_type: str | JobTypeLike[Any] | None = None,
        project_id: str | None = None,
        schedule: str | None = None,
        parent_id: str | None = None,
        label: str | Iterable[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        order: Literal["-created_at", "created_at"] = "-created_at",
        limit: int = 50,
        offset: int = 0,
    ) -> Sequence[Job]:
        """Return the jobs that fit, newest first unless asked otherwise.

        Args:
            user_id: only this user's; everybody's if None.
            status: only with one of these.
            job_type: only of this type.
            project_id: only of this project.
            schedule: only those that this schedule submitted.
            parent_id: only those that this job made.
            label: only with this label, as ``key:value``, or with all of several.
            created_after: only those that were submitted after this time.
            created_before: only those that were submitted before this time.
            order: newest or oldest first.
            limit: at most so many, 1 to 10,000.
            offset: how many to pass over.

        Raises:
            ValidationError: an argument is wrong.
        """
        query = read(
            JobQuery,
            user_id=user_id,
            statuses=read_statuses(status),
            job_type=None if job_type is None else name_of_type(job_type),
            project_id=project_id,
            schedule=schedule,
            parent_id=parent_id,
            labels=read_labels(label),
            created_after=read_time("created_after", created_after),
            created_before=read_time("created_before", created_before),
            newest_first=one_of("order", order, ("-created_at", "created_at")) == "-created_at",
            limit=between("limit", limit, 1, MAX_LISTED),
            offset=between("offset", offset, 0, MAX_NUMBER),
        )
        return (await self._door.ask(QueryJobs(query=query))).jobs

    async def cancel(self, job_id: str, reason: str | None = None) -> Job:
        """Cancel a waiting job, or tell a running one to stop.

        Raises:
            JobNotFoundError: there is none.
            AlreadyFinishedError: it is completed or failed.
        """
        text = read_text("reason", reason)
        return await self._door.ask(CancelJob(job_id=read_id(job_id), reason=text))

    async def retry(self, job_id: str, *, from_start: bool = False) -> Job:
        """Queue a failed or cancelled job again, from its checkpoint unless *from_start*.

        Raises:
            JobNotFoundError: there is none.
            InvalidTransitionError: it is neither failed nor cancelled.
            OptionsRemovedError: its options are no longer kept.
            ProjectBusyError: another exclusive job of its project is active.
        """
        return await self._door.ask(RetryJob(job_id=read_id(job_id), from_start=bool(from_start)))

    async def release(self, job_id: str) -> Job:
        """Let a held job start now, also one whose time has not come, or one in its back-off.

        Raises:
            JobNotFoundError: there is none.
            InvalidTransitionError: it waits for none of these, or follows a running job.
        """
        return await self._door.ask(StartJob(job_id=read_id(job_id)))

    async def revise(
        self,
        job_id: str,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        if_version: int | None = None,
    ) -> Job:
        """Change the priority or the labels (replaced whole) of a job that waits.

        Raises:
            JobNotFoundError: there is none.
            VersionMismatchError: it is not at *if_version*.
            InvalidTransitionError: it does not wait.
            ValidationError: the new value is wrong.
        """
        command = read(
            ReviseJob,
            job_id=read_id(job_id),
            priority=priority,
            labels=plain(labels),
            if_version=if_version,
        )
        return await self._door.ask(command)

    async def wait(
        self,
        job_id: str,
        until: Until = "done",
        since: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the contract's name
    ) -> Job:
        """Wait for the job's end, its next status, or its next change.

        Where the system stops first, it returns the job as it is then: not done, perhaps.

        Args:
            job_id: which job.
            until: ``done``, ``status`` or ``change``.
            since: the version from which the next status or change counts; that of now if None.
            timeout: in seconds; without limit if None.

        Raises:
            TimeoutError: the time is up.
            JobNotFoundError: there is none.
            ValidationError: an argument is wrong.
        """
        one_of("until", until, _UNTIL)
        if since is not None:
            between("since", since, 0, MAX_NUMBER)
        seconds = math.inf if timeout is None else read_seconds(timeout)
        asked = WaitForJob(job_id=read_id(job_id), until=until, since=since, seconds=seconds)
        job, is_there = await self._door.ask(asked)
        if is_there:
            return job
        message = f"job {job_id} is {job.status} after {timeout} seconds"
        raise TimeoutError(message)

    @overload
    async def wait_result(
        self,
        job_id: str,
        *,
        job_type: JobTypeLike[ResultT],
        timeout: float | None = None,  # noqa: ASYNC109 - as in `wait`
    ) -> ResultT: ...

    @overload
    async def wait_result(
        self,
        job_id: str,
        *,
        job_type: None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as in `wait`
    ) -> JsonObject: ...

    async def wait_result(
        self,
        job_id: str,
        *,
        job_type: JobTypeLike[Any] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as in `wait`
    ) -> Any:
        """Wait for the job's end, and return its result.

        Args:
            job_id: which job.
            job_type: its `JobType`, where the result shall be an instance of the class that this
                has for results; else it is the JSON object.
            timeout: in seconds; without limit if None.

        Raises:
            JobFailedError: the job failed; its member `job` is the job.
            JobCancelledError: it was cancelled.
            TimeoutError: the time is up; the job goes on.
            StoppingError: the system stops before the job is done.
            ResultRemovedError: its result is no longer kept.
            ValidationError: an argument is wrong, or the result does not fit the class.
            JobNotFoundError: there is none.
        """
        return find_result(await self.wait(job_id, timeout=timeout), job_type)

    async def events(self, job_id: str) -> AsyncIterator[Transition]:
        """Go through the job's transitions, those that were and those to come, to its end.

        Raises:
            JobNotFoundError: there is none.
        """
        async for row in follow(self._door, read_id(job_id)):
            yield row

    async def limits(self, **changes: Any) -> Limits:
        """Return the limits in force; those that are named are changed before, and kept.

        Raises:
            ValidationError: there is no such limit, or a value is out of its range.
        """
        for name in changes:
            one_of(name, name, Limits.__struct_fields__)
        given = {name: value for name, value in changes.items() if value is not None}
        return await self._door.ask(ChangeLimits(changes=given))

    async def pause(
        self, *, user_id: str | None = None, job_type: str | JobTypeLike[Any] | None = None
    ) -> Pauses:
        """Keep everything, a user's jobs, or those of a type from starting; what runs goes on.

        Returns what is paused now.
        """
        return await self._set_pause(user_id, job_type, is_paused=True)

    async def resume(
        self, *, user_id: str | None = None, job_type: str | JobTypeLike[Any] | None = None
    ) -> Pauses:
        """Let them start again; return what is still paused."""
        return await self._set_pause(user_id, job_type, is_paused=False)

    async def _set_pause(
        self, user_id: str | None, job_type: str | JobTypeLike[Any] | None, *, is_paused: bool
    ) -> Pauses:
        name = None if job_type is None else name_of_type(job_type)
        command = SetPause(
            user_id=read_text("user_id", user_id),
            job_type=read_text("job_type", name),
            is_paused=is_paused,
        )
        return await self._door.ask(command)

    async def remove_project(self, user_id: str, project_id: str) -> None:
        """Remove a project: its copy, its index, and what is known of it.

        Raises:
            ProjectNotFoundError: there is none.
            ProjectBusyError: a job of the project is not done.
        """
        user = read_text("user_id", user_id) or ""
        project = read_text("project_id", project_id) or ""
        await self._door.ask(RemoveProject(user_id=UserId(user), project_id=ProjectId(project)))
