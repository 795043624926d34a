"""Everything that is asked of jobs, as commands, and the one door that takes them.

A command is a value: it is carried out here, or goes as it is to the process that runs the jobs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.job.submit import Submission, SubmitRequest
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import EventQuery, JobPage, JobQuery
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.model.schedules.view import ScheduleView

R = TypeVar("R")

Until = Literal["done", "status", "change"]
"""What to wait for: the job's end, another status, any stored change."""


class Command(msgspec.Struct, Generic[R], frozen=True, omit_defaults=True, tag=True):
    """Something that is asked of jobs; *R* is the type of its answer."""


class CreateJob(Command[Submission], frozen=True, kw_only=True):
    """Store the job that is asked for, or find the one that serves the request already."""

    request: SubmitRequest


class CreateJobs(Command[Sequence[Submission]], frozen=True, kw_only=True):
    """Store the jobs that are asked for in one transaction: all of them, or none."""

    requests: Sequence[SubmitRequest]


class GetJob(Command[Job], frozen=True, kw_only=True):
    """Return the job; `JobNotFoundError` when there is none."""

    job_id: JobId


class QueryJobs(Command[JobPage], frozen=True, kw_only=True):
    """Return one page of the jobs that fit."""

    query: JobQuery


class QueryEvents(Command[Sequence[Transition]], frozen=True, kw_only=True):
    """Return rows of the transition log, oldest first."""

    query: EventQuery


class CancelJob(Command[Job], frozen=True, kw_only=True):
    """Cancel a job that waits, at once; tell one that runs to stop."""

    job_id: JobId
    reason: str | None = None


class RetryJob(Command[Job], frozen=True, kw_only=True):
    """Queue a failed or cancelled job again."""

    job_id: JobId
    from_start: bool = False


class StartJob(Command[Job], frozen=True, kw_only=True):
    """Release a held job, one whose time has not come, or one in its back-off."""

    job_id: JobId


class ReviseJob(Command[Job], frozen=True, kw_only=True):
    """Change the priority or the labels of a job that waits."""

    job_id: JobId
    priority: int | None = None
    labels: Mapping[str, str] | None = None
    if_version: int | None = None


class WaitForJob(Command[tuple[Job, bool]], frozen=True, kw_only=True):
    """Return the job once it is as it is waited for, or as it is when the time is up.

    The second value is True when it is as it was waited for, and where the server stops.
    """

    job_id: JobId
    until: Until
    since: int | None = None
    """The version from which the next status or change counts; that of now if None."""
    seconds: float


class ChangeLimits(Command[Limits], frozen=True, kw_only=True):
    """Put other limits in force, and keep them; return all that are in force then."""

    changes: Mapping[str, Any]


class SetPause(Command[Pauses], frozen=True, kw_only=True):
    """Keep everything, a user's jobs or those of a type from starting, or let them again."""

    user_id: str | None
    job_type: str | None
    is_paused: bool


class RemoveProject(Command[None], frozen=True, kw_only=True):
    """Remove a project: its copy, its index, and what is known of it."""

    user_id: UserId
    project_id: ProjectId


class AddSchedule(Command[ScheduleView], frozen=True, kw_only=True):
    """Store a new schedule; it fires from now on, if it is enabled."""

    schedule: Schedule


class GetSchedule(Command[ScheduleView], frozen=True, kw_only=True):
    """Return the user's schedule; `ScheduleNotFoundError` when there is none."""

    user_id: str
    name: str


class ListSchedules(Command[Sequence[ScheduleView]], frozen=True, kw_only=True):
    """Return at most *limit* schedules of a user, or of all, by user and name."""

    user_id: str | None
    after: tuple[str, str] | None
    limit: int


class ChangeSchedule(Command[ScheduleView], frozen=True, kw_only=True):
    """Change what a schedule says."""

    user_id: str
    name: str
    members: Mapping[str, Any]


class RemoveSchedule(Command[None], frozen=True, kw_only=True):
    """Remove a schedule; the jobs that it submitted stay."""

    user_id: str
    name: str


class RunSchedule(Command[Job], frozen=True, kw_only=True):
    """Submit the job of a schedule now; return the job."""

    user_id: str
    name: str
    actor: str | None


class JobDoor(Protocol):
    """The one door to the jobs of a data directory; each answer is as it was last committed."""

    async def ask(self, command: Command[R]) -> R:
        """Do what is asked, and return the command's answer."""
