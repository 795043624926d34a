"""Schedules: they submit jobs by themselves, each time once."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import (
    ScheduleDeclaredError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    TooManySchedulesError,
    UnknownJobTypeError,
    ValidationError,
)
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import JobQuery, Project
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from cidx_jobs.testing import Gate, ManualClock, advance, open_for_tests, run_until_idle

MINUTE = timedelta(minutes=1)


async def _add(context: JobContext) -> Mapping[str, object]:
    return {"sum": context.options.get("a", 0) + context.options.get("b", 0)}


ADD = JobType("add", _add)


def every(seconds: int = 60, name: str = "often", **members: Any) -> Schedule:
    """Return a schedule of alice's."""
    values = {"job_type": "add", "every_seconds": seconds}
    return Schedule(name, "alice", "p", **{**values, **members})


async def jobs_of(jobs: JobSystem, name: str = "often") -> Sequence[Job]:
    """Return the jobs that alice's schedule submitted, oldest first."""
    query = JobQuery(user_id=UserId("alice"), schedule=name, newest_first=False, limit=1000)
    return (await jobs.manager.query_jobs(query)).jobs


@pytest.fixture
async def system() -> AsyncIterator[JobSystem]:
    """Yield a system in memory with a clock by hand."""
    async with open_for_tests([ADD]) as jobs:
        yield jobs


async def test_a_schedule_submits_a_job_at_each_of_its_times(system: JobSystem) -> None:
    """Each time makes one job with its name and its time, and what it was told."""
    begun = system.clock.now()
    await system.schedules.add(
        every(options={"a": 1, "b": 2}, labels={"origin": "cron"}, priority=7, max_attempts=2)
    )

    await advance(system, 185)

    found = await jobs_of(system)
    assert [job.scheduled_at for job in found] == [begun + MINUTE * n for n in (1, 2, 3)]
    assert {job.schedule for job in found} == {"often"}
    assert {job.status for job in found} == {JobStatus.COMPLETED}
    assert [job.result for job in found] == [{"sum": 3}] * 3
    assert [(job.priority, job.max_attempts, dict(job.labels)) for job in found] == [
        (7, 2, {"origin": "cron"})
    ] * 3
    seen = await system.schedules.get("alice", "often")
    assert seen.last_at == begun + MINUTE * 3
    assert (seen.last_job_id, seen.last_status) == (found[-1].job_id, JobStatus.COMPLETED)
    assert seen.next_at == tuple(begun + MINUTE * n for n in (4, 5, 6, 7, 8))
    assert seen.missed == 0


async def test_a_cron_line_fires_in_the_time_of_its_zone(system: JobSystem) -> None:
    """Half past two in Berlin is half past one in Greenwich, in winter."""
    nightly = every(
        name="nightly", every_seconds=None, cron="30 2 * * *", timezone="Europe/Berlin"
    )
    await system.schedules.add(nightly)

    await advance(system, 86_400)

    (job,) = await jobs_of(system, "nightly")
    assert job.scheduled_at == datetime(2026, 1, 3, 1, 30, tzinfo=UTC)
    assert job.created_at == job.scheduled_at


async def test_jitter_delays_a_time_and_does_not_change_it(system: JobSystem) -> None:
    """The job stands for the time before the jitter; all the schedules' delays are their own."""
    begun = system.clock.now()
    for number in range(20):
        await system.schedules.add(every(600, f"s{number}", jitter_seconds=300))

    await advance(system, 900)

    found = [job for n in range(20) for job in await jobs_of(system, f"s{n}")]
    assert {job.scheduled_at for job in found} == {begun + MINUTE * 10}
    delays = {(job.created_at - begun).total_seconds() - 600 for job in found}
    assert len(delays) == 20
    assert min(delays) >= 0
    assert max(delays) < 300


async def test_a_disabled_schedule_fires_only_by_hand(system: JobSystem) -> None:
    """It has no next times; enabled again it counts from then on."""
    await system.schedules.add(every(enabled=False))
    await advance(system, 300)
    before = await system.schedules.get("alice", "often")

    by_hand = await system.schedules.run("alice", "often")
    await system.schedules.change("alice", "often", enabled=True)
    enabled_at = system.clock.now()
    await advance(system, 61)

    first, second = await jobs_of(system)
    assert (before.next_at, before.missed, before.last_at) == ((), 0, None)
    assert (first.job_id, first.schedule, first.scheduled_at) == (by_hand.job_id, "often", None)
    assert second.scheduled_at == enabled_at + MINUTE


async def test_an_interval_counts_from_the_last_change(system: JobSystem) -> None:
    """A change moves the grid of an interval, and leaves the times of a cron line."""
    await system.schedules.add(every())
    await system.schedules.add(every(name="hourly", every_seconds=None, cron="0 * * * *"))
    await advance(system, 30)
    changed_at = system.clock.now()

    interval = await system.schedules.change("alice", "often", labels={"a": "b"})
    same = await system.schedules.change("alice", "often", labels={"a": "b"})
    line = await system.schedules.change("alice", "hourly", priority=9)

    assert interval.next_at[0] == same.next_at[0] == changed_at + MINUTE
    assert line.next_at[0] == datetime(2026, 1, 2, 4, tzinfo=UTC)


async def test_a_change_of_the_kind_of_times_replaces_it(system: JobSystem) -> None:
    """A cron line takes the place of an interval, and the other way round."""
    await system.schedules.add(every())

    line = await system.schedules.change("alice", "often", cron="@daily")
    interval = await system.schedules.change("alice", "often", every_seconds=7)

    assert (line.cron, line.every_seconds) == ("@daily", None)
    assert (interval.cron, interval.every_seconds) == (None, 7)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"cron": None, "every_seconds": None}, "/cron"),
        ({"cron": "@daily", "every_seconds": 5}, "/every_seconds"),
        ({"colour": "red"}, "/colour"),
        ({"job_type": "unknown"}, "/job_type"),
        ({"priority": 10}, "/priority"),
    ],
)
async def test_a_wrong_change_changes_nothing(
    system: JobSystem, changes: dict[str, Any], pointer: str
) -> None:
    """Each fault has its pointer."""
    before = await system.schedules.add(every())

    with pytest.raises(ValidationError) as caught:
        await system.schedules.change("alice", "often", **changes)

    assert caught.value.faults[0].pointer == pointer
    assert await system.schedules.get("alice", "often") == before


async def test_what_cannot_be_added(system: JobSystem) -> None:
    """A name twice, an unknown type, a priority that is not the user's."""
    await system.schedules.add(every())
    await system.manager.set_controls(limits=Limits(max_priority=6))

    with pytest.raises(ScheduleExistsError):
        await system.schedules.add(every(5))
    with pytest.raises(UnknownJobTypeError):
        await system.schedules.add(every(name="other", job_type="unknown"))
    with pytest.raises(ValidationError, match="/priority"):
        await system.schedules.add(every(name="other", priority=7))
    with pytest.raises(ValidationError, match="repository_url"):
        await system.schedules.add(every(name="other", job_type="repository_sync"))

    assert [seen.name for seen in await system.schedules.list()] == ["often"]


async def test_a_user_has_at_most_a_thousand_schedules(
    system: JobSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is each user's own."""
    monkeypatch.setattr("cidx_jobs.engine.schedules.schedules.MAX_SCHEDULES_PER_USER", 2)
    await system.schedules.add(every(name="a"))
    await system.schedules.add(every(name="b"))

    with pytest.raises(TooManySchedulesError):
        await system.schedules.add(every(name="c"))
    await system.schedules.add(Schedule("c", "bob", "p", job_type="add", every_seconds=60))

    assert [seen.name for seen in await system.schedules.list("alice", after=("alice", "a"))] == [
        "b"
    ]
    assert [seen.name for seen in await system.schedules.list(after=("alice", "a"))] == ["b", "c"]


async def test_a_removed_schedule_fires_no_more(system: JobSystem) -> None:
    """Its jobs stay, its name is free."""
    await system.schedules.add(every())
    await advance(system, 60)

    await system.schedules.remove("alice", "often")
    await advance(system, 600)

    assert len(await jobs_of(system)) == 1
    for ask in (system.schedules.get, system.schedules.remove, system.schedules.run):
        with pytest.raises(ScheduleNotFoundError):
            await ask("alice", "often")
    await system.schedules.add(every())


@pytest.mark.parametrize(("catch_up", "served"), [("once", 1), ("skip", 0)])
async def test_a_stop_is_caught_up_with_once_or_not_at_all(catch_up: str, served: int) -> None:
    """Of the times of a stop the last makes one job, or none does; all others are missed."""
    store, clock = MemoryPersistence(), ManualClock()
    async with open_for_tests([ADD], persistence=store, clock=clock) as jobs:
        await jobs.schedules.add(every(catch_up=catch_up))
        begun = clock.now()
    clock.advance(605)

    async with open_for_tests([ADD], persistence=store, clock=clock) as jobs:
        await run_until_idle(jobs)
        await advance(jobs, 60)

        found = await jobs_of(jobs)
        seen = await jobs.schedules.get("alice", "often")
    assert [job.scheduled_at for job in found] == [begun + MINUTE * 10] * served + [
        begun + MINUTE * 11
    ]
    assert seen.missed == 10 - served
    assert seen.next_at[0] == begun + MINUTE * 12


@pytest.mark.parametrize(
    "pauses",
    [
        Pauses(users=frozenset({UserId("alice")})),
        Pauses(everything=True),
        Pauses(job_types=frozenset({"add"})),
        Pauses(draining=True),
    ],
    ids=["user", "everything", "type", "draining"],
)
@pytest.mark.parametrize(("catch_up", "served"), [("once", 1), ("skip", 0)])
async def test_times_of_a_pause_are_missed(
    system: JobSystem, pauses: Pauses, catch_up: str, served: int
) -> None:
    """No jobs pile up for a paused user; when the pause ends one job catches up with it."""
    begun = system.clock.now()
    await system.schedules.add(every(catch_up=catch_up))
    await system.manager.set_controls(pauses=pauses)

    await advance(system, 185)
    paused = await system.schedules.get("alice", "often")
    await system.manager.set_controls(pauses=Pauses())
    await run_until_idle(system)

    after = await system.schedules.get("alice", "often")
    assert (paused.missed, paused.last_job_id) == (3, None)
    assert [job.scheduled_at for job in await jobs_of(system)] == [begun + MINUTE * 3] * served
    assert after.missed == 3 - served


async def test_a_busy_project_is_joined_or_followed() -> None:
    """Of many times during one run one job waits; a time that joins it makes none of its own."""
    gate = Gate("add", exclusive=True)
    async with open_for_tests([gate.job_type]) as jobs:
        await jobs.schedules.add(every())
        clock = jobs.clock
        assert isinstance(clock, ManualClock)
        for _ in range(4):
            clock.advance(60)
            jobs.find_next_due()
            await settled(jobs)

        found = await jobs_of(jobs)
        seen = await jobs.schedules.get("alice", "often")
        gate.open()
        await run_until_idle(jobs)
    assert [job.status for job in found] == [JobStatus.RUNNING, JobStatus.CREATED]
    assert (seen.missed, seen.last_job_id) == (2, found[1].job_id)


async def settled(jobs: JobSystem) -> None:
    """Settle what is due, though jobs run."""
    with pytest.raises(TimeoutError):
        await jobs.wait_until_idle(0.05)


async def test_a_full_queue_delays_a_time_and_loses_none() -> None:
    """It is tried again until there is room."""
    gate = Gate("add")
    async with open_for_tests(
        [gate.job_type], max_running_per_user=1, max_queued_per_user=1
    ) as jobs:
        clock = jobs.clock
        assert isinstance(clock, ManualClock)
        await jobs.schedules.add(every())
        begun = clock.now()
        for _ in range(3):
            clock.advance(60)
            await settled(jobs)
        full = await jobs.schedules.get("alice", "often")
        gate.open()
        await gate.arrived(2)
        await run_until_idle(jobs)
        clock.advance(10)
        await run_until_idle(jobs)

        found = await jobs_of(jobs)
        seen = await jobs.schedules.get("alice", "often")
    assert full.missed == 0
    assert [job.scheduled_at for job in found] == [begun + MINUTE * n for n in (1, 2, 3)]
    assert (seen.missed, seen.last_error) == (0, None)


async def test_what_is_refused_is_told_and_missed() -> None:
    """A type that is gone refuses each time; the schedule says why, and the doctor notes it."""
    store, clock = MemoryPersistence(), ManualClock()
    async with open_for_tests([ADD], persistence=store, clock=clock) as jobs:
        await jobs.schedules.add(every())

    async with open_for_tests(persistence=store, clock=clock) as jobs:
        await advance(jobs, 125)

        seen = await jobs.schedules.get("alice", "often")
        notes = [note.message for note in jobs.list_notes()]
        findings = await jobs.examine()
    assert seen.missed == 2
    assert seen.last_error is not None
    assert seen.last_error.startswith("unknown_job_type")
    assert notes == [f"schedule often of alice was refused: {seen.last_error}"]
    assert findings == []


async def test_a_clock_that_is_set_back_fires_no_time_twice(system: JobSystem) -> None:
    """After an hour back the next time is the one after the last, an hour later."""
    begun = system.clock.now()
    clock = system.clock
    assert isinstance(clock, ManualClock)
    await system.schedules.add(every(catch_up="skip"))
    await advance(system, 120)

    clock.step_wall_clock(-3600)
    await advance(system, 3000)
    back = len(await jobs_of(system))
    await advance(system, 661)

    assert back == 2
    times = [job.scheduled_at for job in await jobs_of(system)]
    assert times == [begun + MINUTE * n for n in (1, 2, 3)]


@pytest.mark.parametrize(("catch_up", "served"), [("once", 1), ("skip", 0)])
async def test_a_clock_that_is_set_forward_misses_the_times_between(
    system: JobSystem, catch_up: str, served: int
) -> None:
    """An hour forward is a stop of an hour."""
    clock = system.clock
    assert isinstance(clock, ManualClock)
    await system.schedules.add(every(catch_up=catch_up))

    clock.step_wall_clock(3630)
    await run_until_idle(system)

    seen = await system.schedules.get("alice", "often")
    assert len(await jobs_of(system)) == served
    assert seen.missed == 60 - served


async def test_a_schedule_of_a_project_is_gone_with_it(system: JobSystem) -> None:
    """Others stay."""
    await system.schedules.add(every())
    await system.schedules.add(_of("q"))
    project = Project(user_id=UserId("alice"), project_id=ProjectId("p"))
    await system.persistence.projects.save_project(project)

    await system.remove_project("alice", "p")
    await advance(system, 61)

    assert [seen.name for seen in await system.schedules.list()] == ["elsewhere"]
    assert len(await jobs_of(system)) == 0


def _of(project_id: str) -> Schedule:
    return Schedule("elsewhere", "alice", project_id, job_type="add", every_seconds=60)


async def test_declared_schedules_follow_the_code() -> None:
    """They are kept with their grid, changed and removed with the code, and say so."""
    store, clock = MemoryPersistence(), ManualClock()
    first = [every(name="kept"), every(name="changed"), every(name="dropped")]
    async with open_for_tests([ADD], schedules=first, persistence=store, clock=clock) as jobs:
        begun = clock.now()
        await jobs.schedules.add(every(name="by-hand"))
        declared = {seen.name: seen.declared for seen in await jobs.schedules.list("alice")}
    clock.advance(30)
    second = [every(name="kept"), every(120, name="changed"), every(name="by-hand")]

    async with open_for_tests([ADD], schedules=second, persistence=store, clock=clock) as jobs:
        after = {seen.name: seen for seen in await jobs.schedules.list("alice")}
        for ask in (jobs.schedules.change, jobs.schedules.remove):
            with pytest.raises(ScheduleDeclaredError):
                await ask("alice", "kept")
        ran = await jobs.schedules.run("alice", "kept")
        await run_until_idle(jobs)

    assert declared == {"by-hand": False, "kept": True, "changed": True, "dropped": True}
    assert sorted(after) == ["by-hand", "changed", "kept"]
    assert after["kept"].next_at[0] == begun + MINUTE
    assert after["changed"].next_at[0] == clock.now() + MINUTE * 2
    assert after["by-hand"].declared
    assert ran.schedule == "kept"


async def test_a_declaration_that_cannot_be_right_ends_the_opening() -> None:
    """Two of one name, or a job type that there is not."""
    with pytest.raises(ValidationError, match="one name"):
        async with open_for_tests([ADD], schedules=[every(), every(5)]):
            pass
    with pytest.raises(UnknownJobTypeError):
        async with open_for_tests(schedules=[every()]):
            pass
    other: Any = {"name": "often"}
    with pytest.raises(ValidationError, match="a Schedule is wanted"):
        async with open_for_tests([ADD], schedules=[other]):
            pass


async def test_a_thousand_schedules_at_one_instant_fire_each_once(system: JobSystem) -> None:
    """They wait their turn like all jobs."""
    await system.manager.set_controls(limits=Limits(max_queued_per_user=2000))
    for number in range(200):
        await system.schedules.add(every(name=f"s{number}"))

    await advance(system, 61, timeout=20)

    query = JobQuery(user_id=UserId("alice"), limit=1000)
    found = (await system.manager.query_jobs(query)).jobs
    assert sorted(job.schedule or "" for job in found) == sorted(f"s{n}" for n in range(200))
    assert {job.status for job in found} == {JobStatus.COMPLETED}


async def test_the_doctor_finds_and_mends_what_the_memory_does_not_know(system: JobSystem) -> None:
    """A schedule that was stored behind the server's back, and one that was deleted so."""
    await system.schedules.add(every())
    await system.schedules.add(every(name="hidden"))
    key = (UserId("alice"), "often")
    await system.persistence.schedules.delete_schedule(key)

    found = [finding.message for finding in await system.examine()]
    await system.mend()

    assert found == ["schedule often of alice is not in memory as it is stored"]
    assert [seen.name for seen in await system.schedules.list()] == ["hidden"]
    assert await system.examine() == []
