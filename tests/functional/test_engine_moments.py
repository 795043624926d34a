"""The engine where two things fall into one moment, or the store refuses in the middle."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs import (
    Job,
    JobContext,
    JobStatus,
    JobSystem,
    JobType,
    QueueFullError,
    Retryable,
    StaleVersionError,
    StorageUnavailableError,
)
from cidx_jobs.engine.run.run_record import Succeeded
from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.model.limits import Pauses
from cidx_jobs.model.listing import Change, EventQuery
from tests.fakes import WAIT_SECONDS, Gate
from tests.functional.scripted import ended, opened, submit


async def test_whoever_follows_moves_up_with_the_end_before_it() -> None:
    """In the same transaction: where the end is told, the follower waits for a slot already."""
    gate = Gate(exclusive=True)
    seen: list[JobStatus] = []
    async with opened(gate.job_type) as (jobs, _):
        head = await submit(jobs)
        await gate.arrived(1)
        follower = await submit(jobs)

        def look(job: Job) -> bool:
            known = jobs._opened().board.live.find(follower.job_id)
            if job.job_id == head.job_id and job.done and known is not None:
                seen.append(known.status)
            return False

        jobs.manager.subscribe(look)
        await jobs.cancel(head.job_id)
        await ended(jobs, head)

    assert follower.status is JobStatus.CREATED
    assert seen == [JobStatus.QUEUED]


async def test_a_cancel_between_a_start_and_its_task_keeps_the_handler_from_running() -> None:
    """The start is stored and the cancel too, before there is a task that could be told."""
    gate = Gate()
    async with opened(gate.job_type) as (jobs, store):
        await jobs.manager.set_controls(pauses=Pauses(everything=True))
        job = await submit(jobs)
        store.may_answer.clear()
        await jobs.manager.set_controls(pauses=Pauses())
        async with asyncio.timeout(WAIT_SECONDS):
            await store.has_stored.wait()
        told = await jobs.cancel(job.job_id)
        store.may_answer.set()
        over = await ended(jobs, job)

    assert (told.status, over.status) == (JobStatus.RUNNING, JobStatus.CANCELLED)
    assert gate.contexts == []


async def test_starts_before_one_that_cannot_be_stored_do_run() -> None:
    """The batch is refused as stale, then of its starts the second: no run is lost."""
    refusals: list[Exception | None] = []

    def refuse(changes: Sequence[Change]) -> None:
        if changes[0].transitions[0].event == "start" and refusals:
            refusal = refusals.pop(0)
            if refusal is not None:
                raise refusal

    gate = Gate()
    gate.open()
    async with opened(gate.job_type) as (jobs, store):
        store.before = refuse
        await jobs.manager.set_controls(pauses=Pauses(everything=True))
        submitted = [await submit(jobs) for _ in range(3)]
        stale = StaleVersionError(submitted[0].job_id, 2)
        refusals += [stale, None, StorageUnavailableError()]
        await jobs.manager.set_controls(pauses=Pauses())
        over = [await ended(jobs, job) for job in submitted]

    assert refusals == []
    assert [job.status for job in over] == [JobStatus.COMPLETED] * 3


async def test_the_end_of_an_older_run_ends_nothing() -> None:
    """A run is named by its number: that of another one leaves the job as it is."""
    gate = Gate()
    async with opened(gate.job_type) as (jobs, _):
        job = await submit(jobs)
        await gate.arrived(1)
        older = ActiveRun(job.job_id, gate.contexts[0].job.run - 1)

        refused = await jobs.manager._recorder.end(older, Succeeded({}), None, 0.0)

        assert refused is None
        assert (await jobs.get(job.job_id)).status is JobStatus.RUNNING


async def test_a_run_that_is_not_the_one_at_work_is_lost() -> None:
    """Of a job that is held here by another run than its row says, that run will never end."""
    gate = Gate()
    async with opened(gate.job_type) as (jobs, _):
        await submit(jobs)
        await gate.arrived(1)
        held = gate.contexts[0].job
        newer = replace(held, run=held.run + 1)

        assert jobs._opened()._executor.lost([held]) == []
        assert jobs._opened()._executor.lost([newer]) == [ActiveRun(held.job_id, newer.run)]


async def test_an_end_that_nothing_can_store_is_a_failure() -> None:
    """By a fault of ours, which the loop is told of; the slot comes back all the same."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def refuse_end(changes: Sequence[Change]) -> None:
        if changes[0].job.status is JobStatus.COMPLETED:
            message = "planted"
            raise ValueError(message)

    gate = Gate()
    async with opened(gate.job_type) as (jobs, store):
        store.before = refuse_end
        gate.open()
        over = await ended(jobs, await submit(jobs))
        left = jobs.concurrency.count_running()

    assert (over.status, left) == (JobStatus.FAILED, 0)
    assert over.error is not None
    assert over.error.message == "the end of the run could not be stored: ValueError"
    assert [str(context["exception"]) for context in told] == ["planted"]


async def test_who_hurries_a_stop_waits_for_no_handler_that_will_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its grace time is over at once: it has what it would have without one."""
    for name in ("LAST_WORDS_SECONDS", "STORE_AGAIN_SECONDS"):
        monkeypatch.setattr(f"cidx_jobs.engine.run.executor.{name}", 0.01)
    may_end = asyncio.Event()

    async def ignore(_: JobContext) -> None:
        while not may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await may_end.wait()

    async with (
        asyncio.timeout(WAIT_SECONDS),
        opened(JobType("deaf", ignore), shutdown_grace_seconds=600) as (jobs, _),
    ):
        job = await submit(jobs, job_type="deaf")
        await jobs.wait(job.job_id, until="status", since=job.version)
        stop = asyncio.create_task(jobs.close())
        while not stop.done():
            await asyncio.sleep(0.001)
            jobs.hurry()
        may_end.set()


@pytest.mark.parametrize("way", ["hurried", "by itself"])
async def test_a_cancellation_in_the_last_step_does_not_reach_the_end(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The handler has returned, and its result is stored, also where that takes a second try."""
    systems: list[JobSystem] = []
    refusals = [StorageUnavailableError()]

    async def return_at_once(_: JobContext) -> dict[str, object]:
        if way == "hurried":
            systems[0].hurry()
        else:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        return {"done": True}

    def refuse_end(changes: Sequence[Change]) -> None:
        if changes[0].job.done and refusals:
            raise refusals.pop()

    monkeypatch.setattr("cidx_jobs.engine.run.runner.STORE_AGAIN_SECONDS", 0.01)
    async with opened(JobType("hasty", return_at_once)) as (jobs, store):
        systems.append(jobs)
        store.before = refuse_end
        over = await ended(jobs, await jobs.submit("u", "p", job_type="hasty"))

    assert refusals == []
    assert over.result == {"done": True}


async def test_many_users_at_once_do_not_overfill_the_queue() -> None:
    """What is being stored counts already, for all users together as for each."""
    gate = Gate()
    async with opened(gate.job_type, max_queued_total=3) as (jobs, store):
        store.may_tell.clear()
        submits = asyncio.gather(
            *[jobs.submit(f"u{n}", "p", job_type="gated", hold=True) for n in range(10)],
            return_exceptions=True,
        )
        for _ in range(5):
            await asyncio.sleep(0)
        store.may_tell.set()
        answers = await submits
        stored = await jobs.list()

    assert sum(isinstance(answer, QueueFullError) for answer in answers) == 7
    assert len(stored) == 3


async def test_a_request_does_not_join_what_has_run_before() -> None:
    """One run starts after the last request: what is to be tried again began before it.

    The newer one goes first, and does not wait for the back-off of the other (api.md 1.3).
    """

    async def fail(_: JobContext) -> None:
        raise Retryable(after=3_600.0)

    async with opened(JobType("once", fail, exclusive=True)) as (jobs, _):
        first = await jobs.submit("u", "p", job_type="once")
        again = await jobs.manager.wait(
            first.job_id, lambda job: job.retry_at is not None, WAIT_SECONDS
        )
        second = await jobs.submit("u", "p", job_type="once")

    assert again.status is JobStatus.QUEUED
    assert second.job_id != first.job_id
    assert second.status is JobStatus.QUEUED


async def test_a_run_that_was_broken_off_says_nothing_of_how_long_jobs_take() -> None:
    """Only runs that completed are typical of their kind."""
    gate = Gate()
    async with opened(gate.job_type, max_running_total=1) as (jobs, _):
        broken_off = await submit(jobs)
        await gate.arrived(1)
        await jobs.cancel(broken_off.job_id)
        await ended(jobs, broken_off)
        await submit(jobs)
        await gate.arrived(2)
        place = jobs.manager.queue_status(await submit(jobs))

    assert place is not None
    assert place.estimated_wait_seconds is None


async def test_a_list_is_never_ahead_of_the_next_read() -> None:
    """What the store shows before memory has it is told once memory has it, too."""
    gate = Gate()
    async with opened(gate.job_type) as (jobs, store):
        job = await submit(jobs, hold=True)
        store.may_tell.clear()
        revising = asyncio.create_task(jobs.manager.revise_job(job.job_id, priority=7))
        await asyncio.sleep(0)
        listing = asyncio.create_task(jobs.list("u"))
        reading = asyncio.create_task(jobs.manager.query_events(EventQuery(job_id=job.job_id)))
        for _ in range(10):
            await asyncio.sleep(0)
        are_early = listing.done(), reading.done()
        store.may_tell.set()
        (listed,), rows = await listing, await reading
        now = await jobs.get(job.job_id)
        await revising

    assert are_early == (False, False)
    assert listed.priority == 7
    assert now.version == listed.version == rows[-1].version


async def test_a_reader_that_falls_too_far_behind_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gets what was in line for it, and then the end: nobody's line grows for ever."""
    monkeypatch.setattr("cidx_jobs.engine.state.notifier.STREAM_BUFFER", 3)
    gate = Gate()
    async with opened(gate.job_type) as (jobs, _):
        slow = jobs.manager.subscribe(lambda _: True)
        job = await submit(jobs, hold=True)
        for priority in range(5):
            await jobs.manager.revise_job(job.job_id, priority=priority)
        seen = [notice.job.version async for notice in slow]

    assert seen == [1, 2, 3]
    assert slow.was_dropped


async def test_nothing_is_kept_of_the_place_of_a_job_that_is_over() -> None:
    """A tag is remembered while its job waits, and not for ever."""
    gate = Gate()
    async with opened(gate.job_type) as (jobs, _):
        room = jobs.manager._waiting_room
        job = await submit(jobs, hold=True)
        jobs.manager.tag(job)
        room._forget_finished()
        while_it_waits = len(room._seen)
        await jobs.cancel(job.job_id)
        room._forget_finished()

        assert (while_it_waits, len(room._seen)) == (1, 0)
