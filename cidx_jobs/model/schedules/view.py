"""A schedule as its user sees it: what it says, when it comes next, what became of it last."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs
import msgspec

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus, JsonObject
from cidx_jobs.model.schedules.schedule import CatchUp, Schedule, ScheduleState, Times

SHOWN_TIMES = 5
"""How many of the times to come are shown."""

MEMBERS = tuple(attrs.fields_dict(Schedule))
"""The members of a schedule that its maker sets."""


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule at one moment; the members of `Schedule` have the same names here."""

    name: str
    user_id: str
    project_id: str
    job_type: str
    options: JsonObject
    priority: int | None
    labels: Mapping[str, str]
    max_attempts: int | None
    timeout_seconds: float | None
    notify: str | None
    cron: str | None
    every_seconds: int | None
    timezone: str
    jitter_seconds: int
    catch_up: CatchUp
    enabled: bool
    declared: bool
    """It stands in the application's code, and is changed and removed only there."""
    created_at: datetime
    updated_at: datetime
    """When it was made, or what it says was last changed."""
    next_at: tuple[datetime, ...]
    """The next five times, without the jitter; none when it is disabled."""
    last_at: datetime | None
    """The last time that was served by a job, or when it was last run by hand."""
    last_job_id: JobId | None
    last_status: JobStatus | None
    """Where that job stands; None without one, and once it is deleted."""
    last_error: str | None
    """Why the last time was refused, if it was."""
    missed: int
    """How many times made no job of their own."""

    @classmethod
    def of(
        cls, state: ScheduleState, times: Times, now: datetime, last_status: JobStatus | None
    ) -> "ScheduleView":
        """Return the view of a schedule."""
        schedule = state.schedule
        members: dict[str, Any] = {name: getattr(schedule, name) for name in MEMBERS}
        return cls(
            **members,
            declared=state.is_declared,
            created_at=state.created_at,
            updated_at=state.changed_at,
            next_at=_next_times(state, times, now) if schedule.enabled else (),
            last_at=state.last_at,
            last_job_id=state.last_job_id,
            last_status=last_status,
            last_error=state.last_error,
            missed=state.missed,
        )


def _next_times(state: ScheduleState, times: Times, now: datetime) -> tuple[datetime, ...]:
    found: list[datetime] = []
    # A time that waits for the end of its jitter is still to come.
    moment = times.find_next(max(state.settled_at, now - state.schedule.delay))
    while moment is not None and len(found) < SHOWN_TIMES:
        found.append(moment)
        moment = times.find_next(moment)
    return tuple(found)
