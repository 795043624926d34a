"""What every `ScheduleStore` promises."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.interfaces.store.schedules import ScheduleStore
from cidx_jobs.model.errors import StaleScheduleError
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import JobQuery, Project
from cidx_jobs.model.schedules.schedule import CatchUp, Schedule, ScheduleState
from tests.stored import NOON, UNKNOWN, submitted


def state_of(user: str = "alice", name: str = "nightly", **members: Any) -> ScheduleState:
    """Return a schedule as it might be stored."""
    schedule = Schedule(name, user, "code", job_type="reindex", every_seconds=60)
    values = {"schedule": schedule, "created_at": NOON, "changed_at": NOON, "settled_at": NOON}
    return ScheduleState(**{**values, **members})


async def test_a_schedule_comes_back_as_it_was_stored(schedules: ScheduleStore) -> None:
    """Every member comes back equal, times to the microsecond."""
    schedule = Schedule(
        "nightly",
        "alice",
        "code",
        job_type="reindex",
        options={"names": ["a"], "deep": {"n": 1.5}},
        priority=7,
        labels={"origin": "cron"},
        max_attempts=2,
        timeout_seconds=12.5,
        cron="30 2 * * MON",
        timezone="Europe/Berlin",
        jitter_seconds=90,
        catch_up=CatchUp.SKIP,
        enabled=False,
    )
    state = state_of(
        schedule=schedule,
        is_declared=True,
        owed_at=NOON + timedelta(seconds=1),
        missed=3,
        last_at=NOON - timedelta(seconds=1),
        last_job_id=UNKNOWN,
        last_error="it is refused",
    )

    await schedules.save_schedule(state)

    assert list(await schedules.load_schedules()) == [state]


async def test_a_change_is_made_to_what_was_read(schedules: ScheduleStore) -> None:
    """A write that is not one version further, or meets none or another, stores nothing."""
    first = state_of()
    second = replace(first, version=2, missed=1)
    await schedules.save_schedule(first)

    with pytest.raises(StaleScheduleError):
        await schedules.save_schedule(first)
    await schedules.save_schedule(second)
    with pytest.raises(StaleScheduleError):
        await schedules.save_schedule(second)
    with pytest.raises(StaleScheduleError):
        await schedules.save_schedule(state_of(name="other", version=2))

    assert list(await schedules.load_schedules()) == [second]


async def test_schedules_are_in_order_until_they_are_deleted(schedules: ScheduleStore) -> None:
    """They come by user and name; a deleted one is gone, and can be made anew."""
    told: list[str] = []
    for user, name in (("bob", "a"), ("alice", "b"), ("alice", "a")):
        await schedules.save_schedule(state_of(user, name), lambda: told.append("saved"))

    keys = [state.key for state in await schedules.load_schedules()]
    was_there = await schedules.delete_schedule(keys[0], lambda: told.append("deleted"))
    is_there = await schedules.delete_schedule(keys[0])
    await schedules.save_schedule(state_of("alice", "a"))

    assert keys == [("alice", "a"), ("alice", "b"), ("bob", "a")]
    assert (was_there, is_there) == (True, False)
    assert told == ["saved"] * 3 + ["deleted"]


async def test_a_firing_and_its_job_are_stored_together(persistence: Persistence) -> None:
    """Where the schedule has moved on, the job is not stored either; and the job can be found."""
    first = state_of()
    change = submitted(schedule="nightly", scheduled_at=NOON)
    await persistence.schedules.save_schedule(first)

    await persistence.jobs.save_changes([change], schedule=replace(first, version=2))
    with pytest.raises(StaleScheduleError):
        await persistence.jobs.save_changes([submitted()], schedule=replace(first, version=2))

    stored = await persistence.schedules.load_schedules()
    mine = await persistence.jobs.query_jobs(JobQuery(schedule="nightly"))
    others = await persistence.jobs.query_jobs(JobQuery(schedule="weekly"))
    everything = await persistence.jobs.query_jobs(JobQuery())
    assert [state.version for state in stored] == [2]
    assert mine.jobs == everything.jobs == (change.job,)
    assert (mine.total, others.total) == (1, 0)


async def test_a_job_that_is_refused_leaves_the_schedule(persistence: Persistence) -> None:
    """Where the job is stored already, the time is not settled."""
    first = state_of()
    change = submitted()
    await persistence.schedules.save_schedule(first)
    await persistence.jobs.save_changes([change])

    with pytest.raises(Exception, match=change.job.job_id):
        await persistence.jobs.save_changes([change], schedule=replace(first, version=2))

    assert list(await persistence.schedules.load_schedules()) == [first]


async def test_schedules_go_with_their_project(persistence: Persistence) -> None:
    """Those of the project are gone at once; others', other projects' and declared ones stay."""
    told: list[str] = []
    alice, code = UserId("alice"), ProjectId("code")
    elsewhere = Schedule("elsewhere", "alice", "docs", every_seconds=60)
    await persistence.projects.save_project(Project(user_id=alice, project_id=code))
    for state in (
        state_of(),
        state_of("bob"),
        state_of(name="declared", is_declared=True),
        state_of(schedule=elsewhere),
    ):
        await persistence.schedules.save_schedule(state)

    await persistence.projects.delete_project(alice, code, lambda: told.append("deleted"))
    await persistence.projects.delete_project(alice, code, lambda: told.append("again"))

    left = [state.key for state in await persistence.schedules.load_schedules()]
    assert left == [("alice", "declared"), ("alice", "elsewhere"), ("bob", "nightly")]
    assert told == ["deleted"]
