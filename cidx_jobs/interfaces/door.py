"""Everything that is asked of jobs, as one interface: here, or at the process that runs them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.job.submit import Submission, SubmitRequest
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import EventQuery, JobPage, JobQuery
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.model.schedules.view import ScheduleView

Until = Literal["done", "status", "change"]
"""What to wait for: the job's end, another status, any stored change."""


class JobDoor(Protocol):
    """The one door to the jobs of a data directory; each answer is as it was last committed."""

    async def create_job(self, request: SubmitRequest) -> Submission:
        """Store the job that is asked for, or find the one that serves the request already."""

    async def create_jobs(self, requests: Sequence[SubmitRequest]) -> Sequence[Submission]:
        """Store the jobs that are asked for in one transaction: all of them, or none."""

    async def get_job(self, job_id: JobId) -> Job:
        """Return the job; `JobNotFoundError` when there is none."""

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Return one page of the jobs that fit."""

    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        """Return rows of the transition log, oldest first."""

    async def cancel_job(self, job_id: JobId, reason: str | None = None) -> Job:
        """Cancel a job that waits, at once; tell one that runs to stop."""

    async def retry_job(self, job_id: JobId, *, from_start: bool = False) -> Job:
        """Queue a failed or cancelled job again."""

    async def start_job(self, job_id: JobId) -> Job:
        """Release a held job, one whose time has not come, or one in its back-off."""

    async def revise_job(
        self,
        job_id: JobId,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        if_version: int | None = None,
    ) -> Job:
        """Change the priority or the labels of a job that waits."""

    async def wait_for(
        self, job_id: JobId, until: Until, since: int | None, seconds: float
    ) -> tuple[Job, bool]:
        """Return the job once it is as it is waited for, or as it is when the time is up.

        The second value is True when it is as it was waited for, and where the server stops.
        """

    def follow(self, job_id: JobId) -> AsyncIterator[Transition]:
        """Go through the job's transitions, to its end."""

    async def change_limits(self, changes: Mapping[str, Any]) -> Limits:
        """Put other limits in force, and keep them; return all that are in force then."""

    async def set_pause(
        self, *, user_id: str | None, job_type: str | None, is_paused: bool
    ) -> Pauses:
        """Keep everything, a user's jobs or those of a type from starting, or let them again."""

    async def remove_project(self, user_id: UserId, project_id: ProjectId) -> None:
        """Remove a project: its copy, its index, and what is known of it."""

    async def add_schedule(self, schedule: Schedule) -> ScheduleView:
        """Store a new schedule; it fires from now on, if it is enabled."""

    async def get_schedule(self, user_id: str, name: str) -> ScheduleView:
        """Return the user's schedule; `ScheduleNotFoundError` when there is none."""

    async def list_schedules(
        self, user_id: str | None, after: tuple[str, str] | None, limit: int
    ) -> Sequence[ScheduleView]:
        """Return at most *limit* schedules of a user, or of all, by user and name."""

    async def change_schedule(
        self, user_id: str, name: str, members: Mapping[str, Any]
    ) -> ScheduleView:
        """Change what a schedule says."""

    async def remove_schedule(self, user_id: str, name: str) -> None:
        """Remove a schedule; the jobs that it submitted stay."""

    async def run_schedule(self, user_id: str, name: str, actor: str | None) -> Job:
        """Submit the job of a schedule now; return the job."""
