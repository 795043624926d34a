"""The testing kit: what its users rely on in tests of their own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cidx_jobs import Job, JobContext, JobStatus, JobSystem, JobType, Retryable, SettingsError
from cidx_jobs.clock import SystemClock
from cidx_jobs.model.job.job import Transition
from cidx_jobs.testing import (
    Gate,
    ManualClock,
    MemoryPersistence,
    advance,
    assert_submitted,
    open_for_tests,
    run_job,
    run_until_idle,
    submitted,
)

HOUR = 3_600.0


async def add(context: JobContext) -> dict[str, object]:
    """Add two options."""
    return {"sum": context.options["a"] + context.options["b"]}


async def fail_twice(context: JobContext) -> None:
    """Succeed at the third attempt; each failure asks for a minute's pause."""
    if context.job.attempt < 3:
        message = "not yet"
        raise Retryable(message, after=60)


JOB_TYPES = [JobType("add", add), JobType("fail_twice", fail_twice, max_attempts=3)]


@pytest.fixture
async def jobs() -> AsyncIterator[JobSystem]:
    """Give a system as users of the kit open it."""
    async with open_for_tests(JOB_TYPES) as opened:
        yield opened


async def test_a_job_runs_in_one_line(jobs: JobSystem) -> None:
    """`run_job` gives the finished job."""
    job = await run_job(jobs, "add", {"a": 2, "b": 3})

    assert (job.status, job.result) == (JobStatus.COMPLETED, {"sum": 5})


async def test_a_later_job_runs_when_its_time_has_come(jobs: JobSystem) -> None:
    """Not a second before, and without anybody waiting for it."""
    start_at = jobs.clock.now() + timedelta(hours=1)
    job = await jobs.submit("u", "p", job_type="add", options={"a": 1, "b": 1}, start_at=start_at)
    await advance(jobs, HOUR - 1)
    before = await jobs.get(job.job_id)

    await advance(jobs, 1)

    after = await jobs.get(job.job_id)
    assert (before.status, after.status) == (JobStatus.CREATED, JobStatus.COMPLETED)
    assert after.started_at == start_at


async def test_back_offs_pass_as_the_clock_is_advanced(jobs: JobSystem) -> None:
    """Each attempt runs at the moment at which it is due, also in one long advance."""
    job = await run_job(jobs, "fail_twice")

    await advance(jobs, HOUR)

    after = await jobs.get(job.job_id)
    starts = [record.started_at - job.created_at for record in after.attempts]
    assert (job.status, after.status) == (JobStatus.QUEUED, JobStatus.COMPLETED)
    assert starts[1] >= timedelta(seconds=60)
    assert starts[2] - starts[1] >= timedelta(seconds=60)
    assert jobs.clock.now() - job.created_at == timedelta(hours=1)


async def test_idle_is_reached_through_all_that_follows() -> None:
    """More jobs than there are slots are done, and what a slow hook asks for at the end."""
    gate = Gate()
    async with open_for_tests([*JOB_TYPES, gate.job_type], max_running_per_user=1) as jobs:

        @jobs.on_transition
        async def ask_for_more(job: Job, transition: Transition) -> None:
            if transition.event == "complete" and job.job_type == "gated":
                for _ in range(20):
                    await asyncio.sleep(0)  # slower than the engine finds itself idle
                await jobs.submit("u", "p", job_type="add", options={"a": 1, "b": 0})

        for _ in range(3):
            await jobs.submit("u", "p", job_type="gated")
        await gate.arrived(1)
        idle = asyncio.create_task(run_until_idle(jobs))
        await asyncio.sleep(0)
        gate.open()
        await idle

        found = await submitted(jobs)

    assert [job.job_type for job in found] == ["gated"] * 3 + ["add"] * 3
    assert {job.status for job in found} == {JobStatus.COMPLETED}


async def test_what_is_held_or_paused_is_not_waited_for(jobs: JobSystem) -> None:
    """It could start only if somebody said so."""
    held = await run_job(jobs, "add", {"a": 1, "b": 1}, hold=True)

    assert held.status is JobStatus.CREATED


async def test_a_run_that_does_not_end_is_named() -> None:
    """The assertion says what is still running, after real seconds."""
    gate = Gate()
    async with open_for_tests([gate.job_type]) as jobs:
        job = await jobs.submit("u", "p", job_type="gated")

        with pytest.raises(AssertionError, match=f"running: gated {job.job_id}"):
            await run_until_idle(jobs, timeout=0.05)

    assert gate.cancelled == 1


async def test_what_was_submitted_can_be_asked(jobs: JobSystem) -> None:
    """By type, user, project, and some of the options; oldest first."""
    first = await run_job(jobs, "add", {"a": 1, "b": 1}, user_id="alice")
    second = await run_job(jobs, "add", {"a": 2, "b": 2}, user_id="bob", project_id="q")

    assert [job.job_id for job in await submitted(jobs)] == [first.job_id, second.job_id]
    assert [job.job_id for job in await submitted(jobs, user_id="bob")] == [second.job_id]
    assert [job.job_id for job in await submitted(jobs, project_id="q")] == [second.job_id]
    assert [job.job_id for job in await submitted(jobs, options={"b": 1})] == [first.job_id]
    assert await submitted(jobs, job_type="fail_twice") == []
    assert await assert_submitted(jobs, job_type="add", user_id="alice") == [first]


async def test_an_assertion_lists_what_was_submitted(jobs: JobSystem) -> None:
    """So that a failing test needs no second look."""
    await run_job(jobs, "add", {"a": 1, "b": 1}, user_id="alice")

    with pytest.raises(AssertionError, match=r"add alice/project completed \{'a': 1, 'b': 1\}"):
        await assert_submitted(jobs, user_id="bob")
    with pytest.raises(AssertionError, match=r"2 submitted job\(s\) wanted \(any\), 1 found"):
        await assert_submitted(jobs, count=2)


async def test_a_store_that_is_opened_again_is_a_restart() -> None:
    """An interrupted job runs again, its checkpoint is there, no attempt is counted."""
    gate, store = Gate(), MemoryPersistence()
    async with open_for_tests([gate.job_type], persistence=store) as jobs:
        job = await jobs.submit("u", "p", job_type="gated")
        await gate.arrived()
        await gate.contexts[0].save_checkpoint(["half"])

    gate.open()
    async with open_for_tests([gate.job_type], persistence=store) as jobs:
        await run_until_idle(jobs)
        after = await jobs.get(job.job_id)

    assert after.result == {"attempt": 1, "checkpoint": ["half"]}


async def test_only_a_clock_by_hand_is_advanced() -> None:
    """With the machine's clock, the wish is refused rather than waited for."""
    async with open_for_tests(JOB_TYPES, clock=SystemClock()) as jobs:
        with pytest.raises(TypeError, match="SystemClock"):
            await advance(jobs, 1)


async def test_settings_are_checked() -> None:
    """A misspelt one is an error, as everywhere."""
    with pytest.raises(SettingsError, match="max_runing_per_user"):
        async with open_for_tests(max_runing_per_user=1):
            pass


async def test_a_wait_ends_though_the_clock_stands_still() -> None:
    """The time of somebody who waits is real time."""
    gate = Gate()
    async with open_for_tests([gate.job_type]) as jobs:
        job = await jobs.submit("u", "p", job_type="gated")

        with pytest.raises(TimeoutError):
            await jobs.wait(job.job_id, timeout=0.01)


def test_the_clock_has_two_times() -> None:
    """The wall clock can be set; monotonic time only passes."""
    clock = ManualClock()
    wall, monotonic = clock.now(), clock.monotonic()

    clock.advance(10)
    clock.step_wall_clock(-60)

    assert clock.now() - wall == timedelta(seconds=-50)
    assert clock.monotonic() - monotonic == 10
