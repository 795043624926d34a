"""Calls on schedules: what an application asks of them, wherever the jobs run."""

from collections.abc import Callable, Sequence
from typing import Any

from cidx_jobs.interfaces.door import (
    AddSchedule,
    ChangeSchedule,
    GetSchedule,
    JobDoor,
    ListSchedules,
    RemoveSchedule,
    RunSchedule,
)
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.model.schedules.view import ScheduleView


class ScheduleCalls:
    """Adds schedules, reads, changes, removes and runs them; every change is stored first."""

    def __init__(self, find_door: Callable[[], JobDoor]) -> None:
        """Ask *find_door* for the door at each call."""
        self._find_door = find_door

    async def add(self, schedule: Schedule) -> ScheduleView:
        """Store a new schedule; it fires from now on, if it is enabled.

        Raises:
            ValidationError: its job type is unknown, or would not take what it submits.
            ScheduleExistsError: its user has one of that name.
            TooManySchedulesError: its user has as many as there may be.
        """
        return await self._find_door().ask(AddSchedule(schedule=schedule))

    async def get(self, user_id: str, name: str) -> ScheduleView:
        """Return the user's schedule.

        Raises:
            ScheduleNotFoundError: there is none of that name.
        """
        return await self._find_door().ask(GetSchedule(user_id=user_id, name=name))

    async def list(
        self,
        user_id: str | None = None,
        *,
        after: tuple[str, str] | None = None,
        limit: int = 1000,
    ) -> Sequence[ScheduleView]:
        """Return at most *limit* schedules of a user, or of all, by user and name.

        Args:
            user_id: whose; everybody's if None.
            after: the user and the name that they come behind.
            limit: how many at most.
        """
        return await self._find_door().ask(
            ListSchedules(user_id=user_id, after=after, limit=limit)
        )

    async def change(self, user_id: str, name: str, **members: Any) -> ScheduleView:
        """Change what a schedule says; even intervals count from this change on.

        Of ``cron`` and ``every_seconds`` the one that is given takes the place of the other.

        Raises:
            ScheduleNotFoundError: there is none of that name.
            ScheduleDeclaredError: it stands in the application's code.
            ValidationError: a member is wrong, or none that can be changed.
        """
        return await self._find_door().ask(
            ChangeSchedule(user_id=user_id, name=name, members=members)
        )

    async def remove(self, user_id: str, name: str) -> None:
        """Remove a schedule; the jobs that it submitted stay.

        Raises:
            ScheduleNotFoundError: there is none of that name.
            ScheduleDeclaredError: it stands in the application's code.
        """
        await self._find_door().ask(RemoveSchedule(user_id=user_id, name=name))

    async def run(self, user_id: str, name: str, *, actor: str | None = None) -> Job:
        """Submit the job of a schedule now, also of one that is disabled; return the job.

        The log names the *actor* who asked for it; the schedule's user if None.

        Raises: what `SyncJobManager.create_job` raises, and

            ScheduleNotFoundError: there is none of that name.
        """
        return await self._find_door().ask(RunSchedule(user_id=user_id, name=name, actor=actor))
