"""What becomes of the times of a schedule that have come: one is served, the others are missed."""

from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.schedules.schedule import CatchUp, ScheduleState, Times

GRACE = timedelta(seconds=5)
"""A time that is noticed later than this was missed: the server slept, or its clock was set."""


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """That a schedule submits a job: stored in the transaction of the job, or not at all."""

    state: ScheduleState
    """The schedule as it will be stored, but for what the job adds."""
    scheduled_at: datetime | None
    """The time that the job stands for; None when somebody asked for it by hand."""
    served_at: datetime

    def end(self, job_id: JobId, *, is_joined: bool) -> ScheduleState:
        """Return the schedule once it is served by this job: a new one, or one that it joined."""
        made_none = is_joined and self.scheduled_at is not None
        return replace(
            self.state,
            missed=self.state.missed + made_none,
            last_at=self.served_at,
            last_job_id=job_id,
            last_error=None,
        )


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How the times that have come are settled."""

    state: ScheduleState
    """The schedule as it will be stored, where nothing is submitted."""
    serves: datetime | None
    """The time that a job is submitted for; None when none is."""

    @property
    def firing(self) -> Firing | None:
        """What is stored with the job, if one is submitted."""
        if self.serves is None:
            return None
        return Firing(state=self.state, scheduled_at=self.serves, served_at=self.serves)

    def refuse(self, reason: str) -> ScheduleState:
        """Return the schedule whose job was refused: its time is missed, too."""
        return replace(self.state, missed=self.state.missed + 1, last_error=reason)


def settle(
    state: ScheduleState, times: Times, now: datetime, *, since: datetime, is_paused: bool
) -> Settlement | None:
    """Settle all times that have come; None when there are none.

    Of several times the last is served, and the others are missed: one job is enough to catch up
    with a stop, and a time that was missed for its lateness alone is skipped where the schedule
    says so.

    Args:
        state: the schedule as it is stored.
        times: when it fires.
        now: the wall clock's time.
        since: when the server began; times before it passed while it was down.
        is_paused: nothing may be submitted now; all times are missed, and the last is owed.
    """
    until = now - state.schedule.delay
    count = times.count(state.settled_at, until)
    last = times.find_last(until) if count else None
    owed = None if is_paused else state.owed_at
    if last is None:
        return None if owed is None else _settled(state, missed=-1, serves=owed)
    state = replace(state, settled_at=last)
    catches_up = state.schedule.catch_up == CatchUp.ONCE
    if is_paused:
        return _settled(state, missed=count, owed=last if catches_up else None)
    due = last + state.schedule.delay
    is_late = due < since or now - due > GRACE
    if is_late and not catches_up:
        return _settled(state, missed=count)
    return _settled(state, missed=count - 1, serves=last)


def _settled(
    state: ScheduleState,
    *,
    missed: int,
    serves: datetime | None = None,
    owed: datetime | None = None,
) -> Settlement:
    settled = replace(state, version=state.version + 1, missed=state.missed + missed, owed_at=owed)
    return Settlement(state=settled, serves=serves)
