"""The engine, over the memory store and over the database: slots, order, control, ends."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs import (
    AlreadyFinishedError,
    Fatal,
    InvalidTransitionError,
    Job,
    JobContext,
    JobNotFoundError,
    JobStatus,
    JobSystem,
    JobType,
    ProjectBusyError,
    Retryable,
    Settings,
    StaleRunError,
    UnknownJobTypeError,
    UserQueueFullError,
    ValidationError,
    VersionMismatchError,
)
from cidx_jobs.clock import SystemClock
from cidx_jobs.engine.event_log import read_log
from cidx_jobs.engine.run.run_record import RunRecorder
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import Transition
from cidx_jobs.model.job.submit import RequestKey, SubmitRequest
from cidx_jobs.model.limits import Pauses
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.store.memory.persistence import MemoryPersistence
from tests.fakes import WAIT_SECONDS, Gate

Open = Callable[..., AbstractAsyncContextManager[JobSystem]]


@pytest.fixture(params=["memory", "database"])
def open_jobs(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Give an opener of job systems; opened again, the same store is found again."""
    memory = MemoryPersistence()

    @asynccontextmanager
    async def opener(*job_types: JobType, **values: Any) -> AsyncIterator[JobSystem]:
        quick: dict[str, Any] = {"retry_base_seconds": 0.01, "progress_interval_seconds": 0.01}
        rules: dict[str, Any] = (
            {"data_dir": tmp_path / "data", "shutdown_grace_seconds": 0} | quick | values
        )
        store: Persistence | None = memory if request.param == "memory" else None
        async with JobSystem(Settings(**rules), job_types, persistence=store) as jobs:
            yield jobs

    return opener


async def until(jobs: JobSystem, job: Job, *statuses: JobStatus) -> Job:
    """Wait until the job has one of the statuses."""
    return await jobs.manager.wait(
        job.job_id, lambda now: now.status in statuses, timeout=WAIT_SECONDS
    )


async def submit(jobs: JobSystem, user: str = "u", project: str = "p", **request: Any) -> Job:
    """Submit a gated job."""
    return await jobs.submit(user, project, job_type="gated", **request)


async def test_a_job_runs_to_its_result(open_jobs: Open) -> None:
    """What the handler returns is the job's result; its log tells the whole way."""

    async def add(context: JobContext) -> dict[str, object]:
        return {"sum": sum(context.options["numbers"])}

    async with open_jobs(JobType("add", add)) as jobs:
        job = await jobs.submit("u", "p", job_type="add", options={"numbers": [1, 2]})
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        events = [row async for row in jobs.events(job.job_id)]

    assert (job.version, job.status) == (2, JobStatus.QUEUED)
    assert (done.status, done.result, done.progress) == (JobStatus.COMPLETED, {"sum": 3}, 100)
    assert [row.event for row in events] == ["submit", "enqueue", "start", "complete"]
    assert [row.version for row in events] == sorted({row.version for row in events})
    assert done.attempts[0].outcome == "completed"


async def test_following_a_job_ends_when_the_system_stops(open_jobs: Open) -> None:
    """What was told until then is the whole of it: the job goes on after the next start."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        job = await submit(jobs)
        await until(jobs, job, JobStatus.RUNNING)
        rows = jobs.events(job.job_id)
        known = [(await anext(rows)).event for _ in range(3)]
        rest = asyncio.create_task(anext(rows, None))

        await jobs.begin_stop()
        after = await asyncio.wait_for(rest, WAIT_SECONDS)

    assert known == ["submit", "enqueue", "start"]
    assert after is None


async def test_a_run_leaves_nothing_to_the_garbage_collector(open_jobs: Open) -> None:
    """What a run is made of goes with it, whatever its handler asked for, without a collection."""
    contexts: weakref.WeakSet[JobContext] = weakref.WeakSet()

    async def ask(context: JobContext) -> dict[str, object]:
        contexts.add(context)
        await context.report(percent=50)
        await context.in_thread(context.sync.raise_if_cancelled)
        return {"asked": len(contexts)}

    gc.disable()
    try:
        async with open_jobs(JobType("ask", ask)) as jobs:
            ran = [await jobs.submit("u", "p", job_type="ask") for _ in range(3)]
            ended = [await jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in ran]
        left = len(contexts)
    finally:
        gc.enable()

    assert all(job.result for job in ended)
    assert left == 0


async def test_ten_run_and_three_wait_in_line(open_jobs: Open) -> None:
    """The seed's limit: ten jobs of a user at a time, the others at positions 1, 2, 3."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        submitted = [await submit(jobs) for _ in range(13)]
        await gate.arrived(10)
        now = [await jobs.get(job.job_id) for job in submitted]
        places = [jobs.manager.queue_status(job) for job in now[10:]]
        gate.open()
        ended = [await jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in submitted]

    assert [job.status for job in now[:10]] == [JobStatus.RUNNING] * 10
    assert [place.position for place in places if place] == [1, 2, 3]
    assert all(place.blocked_by == ("user_limit",) for place in places if place)
    assert gate.most_running == 10
    assert all(job.status is JobStatus.COMPLETED for job in ended)


async def test_one_users_limit_does_not_hold_up_another(open_jobs: Open) -> None:
    """No head-of-line blocking: a free slot goes to whoever may run."""
    gate = Gate()
    async with open_jobs(gate.job_type, max_running_per_user=1) as jobs:
        for _ in range(5):
            await submit(jobs, "a")
        other = await submit(jobs, "b")

        running = await until(jobs, other, JobStatus.RUNNING)

    assert running.status is JobStatus.RUNNING


async def test_a_higher_priority_goes_first(open_jobs: Open) -> None:
    """Of two that wait, the one with the higher priority starts when a slot comes free."""
    gate = Gate()
    async with open_jobs(gate.job_type, max_running_total=1) as jobs:
        await submit(jobs)
        await gate.arrived(1)
        low = await submit(jobs, priority=1)
        high = await submit(jobs, priority=8)
        position = jobs.manager.queue_status(high)
        gate.open()
        await jobs.wait(low.job_id, timeout=WAIT_SECONDS)

    assert position is not None
    assert position.position == 1
    assert [c.job.job_id for c in gate.contexts[1:]] == [high.job_id, low.job_id]


async def test_a_waiting_job_is_cancelled_at_once_and_never_starts(open_jobs: Open) -> None:
    """When the cancel returns, it is final (guarantees.md, G6)."""
    gate = Gate()
    async with open_jobs(gate.job_type, max_running_total=1) as jobs:
        first = await submit(jobs)
        await gate.arrived(1)
        waiting = await submit(jobs)

        cancelled = await jobs.cancel(waiting.job_id, "not needed")
        gate.open()
        await jobs.wait(first.job_id, timeout=WAIT_SECONDS)
        again = await jobs.cancel(waiting.job_id)

    assert cancelled.status is JobStatus.CANCELLED
    assert cancelled.error is not None
    assert cancelled.cancel_reason == "not needed"
    assert again == cancelled
    assert len(gate.contexts) == 1


async def test_a_running_job_is_told_to_stop_and_then_cancelled(open_jobs: Open) -> None:
    """The handler gets CancelledError; the job is running until its task has ended."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        job = await submit(jobs)
        await gate.arrived(1)

        asked = await jobs.cancel(job.job_id)
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (asked.status, asked.cancel_requested_at is not None) == (JobStatus.RUNNING, True)
    assert (ended.status, gate.cancelled) == (JobStatus.CANCELLED, 1)
    assert ended.attempts[-1].outcome == "cancelled"


async def test_a_finished_job_cannot_be_cancelled(open_jobs: Open) -> None:
    """Completed and failed jobs say so; nothing is changed."""
    gate = Gate()
    gate.open()
    async with open_jobs(gate.job_type) as jobs:
        job = await submit(jobs)
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

        with pytest.raises(AlreadyFinishedError, match="cancel"):
            await jobs.cancel(job.job_id)
        after = await jobs.get(job.job_id)

    assert after == done


async def test_a_failed_attempt_is_tried_again(open_jobs: Open) -> None:
    """Up to max_attempts, each recorded with its error."""
    seen = []

    async def fail_twice(context: JobContext) -> None:
        seen.append(context.job.attempt)
        if context.job.attempt < 3:
            message = "boom"
            raise ValueError(message)

    async with open_jobs(JobType("flaky", fail_twice)) as jobs:
        job = await jobs.submit("u", "p", job_type="flaky")
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (done.status, done.result, seen) == (JobStatus.COMPLETED, {}, [1, 2, 3])
    errors = [record.error for record in done.attempts]
    assert [error.message if error else None for error in errors] == [
        "the job's code raised ValueError: boom",
        "the job's code raised ValueError: boom",
        None,
    ]


@pytest.mark.parametrize(
    ("error", "attempts", "code"),
    [
        (Fatal("no"), 1, "HANDLER_ERROR"),
        (Fatal("no", code="GIT-001"), 1, "GIT-001"),
        (Retryable("later", after=0), 3, "HANDLER_ERROR"),
        (ValidationError.at("/options/x", "wrong"), 1, "VAL-001"),
        (RuntimeError("boom"), 3, "HANDLER_ERROR"),
    ],
)
async def test_what_cannot_succeed_is_not_tried_again(
    open_jobs: Open, error: Exception, attempts: int, code: str
) -> None:
    """Fatal errors, wrong options and codes that are not retryable end the job at once."""

    async def fail(_: JobContext) -> None:
        raise error

    async with open_jobs(JobType("failing", fail)) as jobs:
        job = await jobs.submit("u", "p", job_type="failing")
        failed = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (failed.status, failed.attempt) == (JobStatus.FAILED, attempts)
    assert failed.error is not None
    assert failed.error.code == code


async def test_a_result_that_is_not_json_fails_the_job(open_jobs: Open) -> None:
    """It says so, and is not tried again."""

    async def give_an_object(_: JobContext) -> Any:
        return {"what": object()}

    async with open_jobs(JobType("odd", give_an_object)) as jobs:
        job = await jobs.submit("u", "p", job_type="odd")
        failed = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert failed.error is not None
    assert (failed.error.code, failed.attempt) == ("VAL-002", 1)


async def test_a_run_that_takes_too_long_is_a_failed_attempt(open_jobs: Open) -> None:
    """Its handler is cancelled, and its code is TIMEOUT."""
    gate = Gate(max_attempts=2)
    async with open_jobs(gate.job_type) as jobs:
        job = await submit(jobs, timeout_seconds=0.05)
        failed = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.attempt) == (JobStatus.FAILED, "TIMEOUT", 2)
    assert gate.cancelled == 2


async def test_progress_and_phases_are_stored_and_never_go_back(open_jobs: Open) -> None:
    """Phases weigh as they say; 100 comes with the completion only."""
    gate = asyncio.Event()

    async def work(context: JobContext) -> None:
        async with context.phase("reading", weight=0.4) as phase:
            await phase.report(done=1, total=2, unit="files", current_item="a.py", message="half")
            await phase.report(done=2, total=2)
            phase.finish({"files": 2})
        async with context.phase("writing", weight=0.6) as phase:
            await phase.report(percent=50)
            await gate.wait()

    async with open_jobs(JobType("work", work)) as jobs:
        job = await jobs.submit("u", "p", job_type="work")
        half = await jobs.manager.wait(job.job_id, lambda now: now.progress >= 70, WAIT_SECONDS)
        gate.set()
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (half.progress, half.phase) == (70, "writing")
    assert [(p.name, p.status, p.progress) for p in half.phases] == [
        ("reading", "completed", 100),
        ("writing", "running", 50),
    ]
    assert half.phases[0].result == {"files": 2}
    assert done.progress == 100
    assert [p.status for p in done.phases] == ["completed", "completed"]


async def test_warnings_are_counted(open_jobs: Open) -> None:
    """Equal ones once, with how often they came."""

    async def warn(context: JobContext) -> None:
        for _ in range(3):
            context.warn("skipped", "too large")

    async with open_jobs(JobType("warning", warn)) as jobs:
        job = await jobs.submit("u", "p", job_type="warning")
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert [(w.code, w.message, w.count) for w in done.warnings] == [("skipped", "too large", 3)]


async def test_a_stop_interrupts_without_blame(open_jobs: Open) -> None:
    """A job that the server's stop interrupts waits again, and goes on from its checkpoint."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        job = await submit(jobs)
        await gate.arrived(1)
        await gate.contexts[0].save_checkpoint({"at": 7})
    async with open_jobs(gate.job_type, max_running_total=1) as jobs:
        waiting = await jobs.get(job.job_id)
        await gate.arrived(2)
        gate.open()
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (waiting.attempt, waiting.run) in {(0, 1), (1, 2)}
    assert done.result == {"attempt": 1, "checkpoint": {"at": 7}}
    assert [record.outcome for record in done.attempts] == ["interrupted", "completed"]


@pytest.mark.parametrize(
    ("type_rules", "request_rules", "settings"),
    [
        ({"max_attempts": 1}, {}, {}),
        ({}, {"max_attempts": 1}, {}),
        ({}, {}, {"default_max_attempts": 1}),
    ],
    ids=["by its type", "by its submit", "by the settings"],
)
async def test_a_job_of_one_attempt_is_started_at_most_once(
    type_rules: dict[str, Any],
    request_rules: dict[str, Any],
    settings: dict[str, int],
    open_jobs: Open,
) -> None:
    """Whoever says so, it fails when it is interrupted: code INTERRUPTED (guarantees.md, G4)."""
    gate = Gate(**type_rules)
    async with open_jobs(gate.job_type, **settings) as jobs:
        job = await submit(jobs, **request_rules)
        await gate.arrived(1)
    async with open_jobs(gate.job_type) as jobs:
        failed = await jobs.get(job.job_id)

    assert failed.error is not None
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "INTERRUPTED")
    assert len(gate.contexts) == 1


async def test_a_retry_goes_on_from_the_checkpoint_unless_told_otherwise(open_jobs: Open) -> None:
    """A failed job that is retried on request finds what it saved."""
    found = []

    async def save_and_fail(context: JobContext) -> None:
        found.append(context.checkpoint)
        await context.save_checkpoint([len(found)])
        message = "no"
        raise Fatal(message)

    async with open_jobs(JobType("saving", save_and_fail)) as jobs:
        job = await jobs.submit("u", "p", job_type="saving")
        await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        await jobs.retry(job.job_id)
        await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        again = await jobs.retry(job.job_id, from_start=True)
        last = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert found == [None, [1], None]
    assert again.status is JobStatus.QUEUED
    assert (last.attempt, len(last.attempts)) == (3, 3)


async def test_a_run_that_is_over_can_save_nothing(open_jobs: Open) -> None:
    """A zombie's checkpoint is refused (guarantees.md, G4)."""
    gate = Gate()
    gate.open()
    async with open_jobs(gate.job_type) as jobs:
        job = await submit(jobs)
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

        with pytest.raises(StaleRunError):
            await gate.contexts[0].save_checkpoint("late")
        await gate.contexts[0].report(percent=3)
        after = await jobs.get(job.job_id)

    assert after == done


async def test_a_held_job_starts_when_it_is_released(open_jobs: Open) -> None:
    """Until then it is created, has no position, and says why."""
    gate = Gate()
    gate.open()
    async with open_jobs(gate.job_type) as jobs:
        job = await submit(jobs, hold=True)
        place = jobs.manager.queue_status(job)
        await jobs.manager.start_job(job.job_id)
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        with pytest.raises(InvalidTransitionError):
            await jobs.manager.start_job(job.job_id)

    assert place is not None
    assert (job.status, place.position, place.blocked_by) == ("created", None, ("held",))
    assert done.status is JobStatus.COMPLETED


async def test_a_job_with_a_start_time_starts_then(open_jobs: Open) -> None:
    """Not before; until then it is created with the reason start_at."""
    gate = Gate()
    gate.open()
    async with open_jobs(gate.job_type) as jobs:
        start_at = jobs.clock.now() + timedelta(seconds=0.1)
        job = await submit(jobs, start_at=start_at)
        place = jobs.manager.queue_status(job)
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert place is not None
    assert (job.status, place.blocked_by) == (JobStatus.CREATED, ("start_at",))
    assert done.started_at is not None
    assert done.started_at >= start_at


async def test_a_back_off_ends_also_where_the_wall_clock_was_set_back(tmp_path: Path) -> None:
    """By an hour; what it waits for is time that passes."""
    clock, tries = SteppedClock(), 0

    async def fail_once(_: JobContext) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Retryable(after=0.1)

    types = [JobType("once", fail_once)]
    system = JobSystem(
        Settings(data_dir=tmp_path), types, persistence=MemoryPersistence(), clock=clock
    )
    async with system as jobs:
        job = await jobs.submit("u", "p", job_type="once")
        await jobs.manager.wait(job.job_id, lambda now: now.retry_at is not None, WAIT_SECONDS)
        clock.ahead = timedelta(hours=-1)
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (done.status, tries) == (JobStatus.COMPLETED, 2)


class SteppedClock(SystemClock):
    """The machine's clocks, of which the wall clock can be set."""

    ahead = timedelta()

    def now(self) -> datetime:
        """Give the time of the wall clock as it was set."""
        return super().now() + self.ahead


class TestExclusiveJobs:
    """One project, one run (api.md 1.3)."""

    async def test_a_second_request_joins_the_one_that_waits(self, open_jobs: Open) -> None:
        """It takes the higher priority and both labels, and the newest options."""
        gate = Gate(exclusive=True)
        async with open_jobs(gate.job_type) as jobs:
            await jobs.manager.set_controls(pauses=Pauses(everything=True))
            first = await submit(jobs, labels={"a": "1"}, options={"n": 1})
            second = await submit(jobs, priority=7, labels={"b": "2"}, options={"n": 2})
            await jobs.manager.set_controls(pauses=Pauses())
            await gate.arrived(1)

        assert second.job_id == first.job_id
        assert (second.priority, dict(second.labels)) == (7, {"a": "1", "b": "2"})
        assert second.options == {"n": 2}
        assert second.status is JobStatus.QUEUED

    async def test_one_run_always_starts_after_the_last_request(self, open_jobs: Open) -> None:
        """While one runs, exactly one follow-up waits, and later requests join that."""
        gate = Gate(exclusive=True)
        async with open_jobs(gate.job_type) as jobs:
            running = await submit(jobs)
            await gate.arrived(1)
            follower = await submit(jobs)
            place = jobs.manager.queue_status(follower)
            joined = await submit(jobs)
            gate.open()
            done = await jobs.wait(follower.job_id, timeout=WAIT_SECONDS)

        assert len({running.job_id, follower.job_id, joined.job_id}) == 2
        assert place is not None
        assert (follower.status, place.blocked_by) == (JobStatus.CREATED, ("project_busy",))
        assert done.status is JobStatus.COMPLETED
        assert gate.most_running == 1

    async def test_reject_names_the_active_job(self, open_jobs: Open) -> None:
        """409 over HTTP, with active_job_id."""
        gate = Gate(exclusive=True)
        async with open_jobs(gate.job_type) as jobs:
            active = await submit(jobs)

            with pytest.raises(ProjectBusyError) as caught:
                await submit(jobs, on_conflict="reject")

        assert caught.value.members["active_job_id"] == active.job_id

    async def test_replace_cancels_all_and_runs_after_they_stopped(self, open_jobs: Open) -> None:
        """The running one is told to stop, the waiting one is cancelled, the new one follows."""
        gate = Gate(exclusive=True)
        async with open_jobs(gate.job_type) as jobs:
            running = await submit(jobs)
            await gate.arrived(1)
            waiting = await submit(jobs)
            new = await submit(jobs, on_conflict="replace")
            await gate.arrived(2)
            gate.open()
            ends = [
                (await jobs.wait(job.job_id, timeout=WAIT_SECONDS)).status
                for job in (running, waiting, new)
            ]

        assert ends == [JobStatus.CANCELLED, JobStatus.CANCELLED, JobStatus.COMPLETED]
        assert gate.most_running == 1

    async def test_replace_of_a_waiting_job_takes_its_place(self, open_jobs: Open) -> None:
        """Nothing runs yet, so the new one is first in line at once."""
        gate = Gate(exclusive=True)
        async with open_jobs(gate.job_type) as jobs:
            await jobs.manager.set_controls(pauses=Pauses(everything=True))
            old = await submit(jobs)
            new = await submit(jobs, on_conflict="replace")
            gone = await jobs.get(old.job_id)

        assert (gone.status, new.status) == (JobStatus.CANCELLED, JobStatus.QUEUED)

    async def test_a_retry_is_refused_while_another_is_active(self, open_jobs: Open) -> None:
        """project_busy."""
        gate = Gate(exclusive=True)
        async with open_jobs(gate.job_type) as jobs:
            old = await submit(jobs, hold=True)
            await jobs.cancel(old.job_id)
            await submit(jobs)

            with pytest.raises(ProjectBusyError):
                await jobs.retry(old.job_id)

    async def test_other_projects_run_side_by_side(self, open_jobs: Open) -> None:
        """Exclusive is for one project of one user."""
        gate = Gate(exclusive=True)
        async with open_jobs(gate.job_type) as jobs:
            await submit(jobs, "u", "p")
            await submit(jobs, "u", "q")
            await submit(jobs, "v", "p")

            await gate.arrived(3)

        assert gate.most_running == 3

    async def test_a_change_of_status_to_queued_is_a_retry(self, open_jobs: Open) -> None:
        """Refused beside another, and with the project's one place where there is none."""
        gate = Gate(exclusive=True)
        async with open_jobs(gate.job_type) as jobs:
            old = await submit(jobs, hold=True)
            await jobs.cancel(old.job_id)
            other = await submit(jobs)
            await gate.arrived(1)
            with pytest.raises(ProjectBusyError):
                await jobs.manager.update_job_status(old.job_id, JobStatus.QUEUED)
            gate.open()
            await jobs.wait(other.job_id, timeout=WAIT_SECONDS)
            gate.close()
            again = await jobs.manager.update_job_status(old.job_id, JobStatus.QUEUED)
            await gate.arrived(2)
            follower = await submit(jobs)

        assert (again.status, again.has_place) == (JobStatus.QUEUED, True)
        assert follower.status is JobStatus.CREATED
        assert gate.most_running == 1

    @pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED])
    async def test_a_run_that_is_ended_from_outside_ends_before_the_next(
        self, open_jobs: Open, status: JobStatus
    ) -> None:
        """Its row moves only once its task has ended: whoever follows never runs beside it."""
        gate = Gate(exclusive=True)
        async with open_jobs(gate.job_type) as jobs:
            running = await submit(jobs)
            await gate.arrived(1)
            follower = await submit(jobs)
            ended = await jobs.manager.update_job_status(running.job_id, status)
            still_there = gate.running
            await gate.arrived(2)
            gate.open()
            done = await jobs.wait(follower.job_id, timeout=WAIT_SECONDS)
            with pytest.raises(InvalidTransitionError):
                await jobs.manager.update_job_status(follower.job_id, JobStatus.FAILED)

        assert (ended.status, ended.attempts[0].outcome) == (status, status.value)
        assert (ended.error is None) is (status is JobStatus.COMPLETED)
        assert still_there == 0
        assert (gate.cancelled, gate.most_running) == (1, 1)
        assert done.status is JobStatus.COMPLETED


async def test_a_status_leads_along_the_edge_that_there_is(open_jobs: Open) -> None:
    """Created to queued, waiting or running to cancelled; every other way is refused."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        update = jobs.manager.update_job_status
        job = await submit(jobs, hold=True)
        with pytest.raises(InvalidTransitionError):
            await update(job.job_id, JobStatus.RUNNING)
        queued = await update(job.job_id, JobStatus.QUEUED)
        await gate.arrived(1)
        await update(job.job_id, JobStatus.CANCELLED)
        cancelled = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        held = await update((await submit(jobs, hold=True)).job_id, JobStatus.CANCELLED)
        for wrong in (JobStatus.CREATED, JobStatus.RUNNING, JobStatus.COMPLETED):
            with pytest.raises(InvalidTransitionError):
                await update(job.job_id, wrong)

    assert (queued.status, cancelled.status) == (JobStatus.QUEUED, JobStatus.CANCELLED)
    assert held.status is JobStatus.CANCELLED


async def test_changes_of_the_controls_at_one_time_are_all_kept(open_jobs: Open) -> None:
    """Limits and pauses, each made from those before it; over a restart, too."""

    def with_user(name: str) -> Callable[[Pauses], Pauses]:
        return lambda now: replace(now, users=now.users | {UserId(name)})

    async with open_jobs() as jobs:
        await asyncio.gather(
            jobs.manager.set_controls(pauses=with_user("ann")),
            jobs.manager.set_controls(limits=lambda now: replace(now, max_running_total=7)),
            jobs.manager.set_controls(pauses=with_user("ben")),
        )
    async with open_jobs() as jobs:
        limits, pauses = jobs.manager.limits, jobs.manager.pauses

    assert limits.max_running_total == 7
    assert pauses.users == {"ann", "ben"}


async def test_equal_keys_in_parallel_make_one_job(open_jobs: Open) -> None:
    """Fifty at once: one job, fifty equal answers; another request with the key is refused."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        request = SubmitRequest(
            user_id=UserId("u"),
            project_id=ProjectId("p"),
            job_type="gated",
            request_key=RequestKey(key="k", fingerprint="f"),
        )
        answers = await asyncio.gather(*[jobs.manager.create_job(request) for _ in range(50)])

    assert len({answer.job.job_id for answer in answers}) == 1
    assert sum(not answer.is_replayed for answer in answers) == 1


async def test_a_replay_asks_for_nothing_new(open_jobs: Open) -> None:
    """It is answered while the server drains, and under limits that would refuse it today."""
    gate = Gate()
    async with open_jobs(gate.job_type, default_priority=3) as jobs:
        request = SubmitRequest(
            user_id=UserId("u"),
            project_id=ProjectId("p"),
            job_type="gated",
            priority=7,
            hold=True,
            request_key=RequestKey(key="k", fingerprint="f"),
        )
        first = await jobs.manager.create_job(request)
        limits = replace(jobs.manager.limits, max_priority=2)
        await jobs.manager.set_controls(limits=limits, pauses=Pauses(draining=True))
        again = await jobs.manager.create_job(request)

    assert again.is_replayed
    assert again.job == first.job


async def test_a_default_priority_keeps_to_the_limits(open_jobs: Open) -> None:
    """Of the server and of the user; who asks for none cannot be refused for it."""
    gate = Gate()
    async with open_jobs(gate.job_type, user_priorities={"ann": 8}, default_priority=7) as jobs:
        limits = replace(jobs.manager.limits, max_priority=6, user_max_priorities={"ben": 2})
        await jobs.manager.set_controls(limits=limits)
        given = [
            (await jobs.submit(user, "p", job_type="gated", hold=True)).priority
            for user in ("ann", "ben", "cat")
        ]

    assert given == [6, 2, 6]


async def test_a_run_ends_after_all_that_happened_in_it(open_jobs: Open) -> None:
    """Its duration counts from its start, and so no phase is over later than the job."""

    async def work(context: JobContext) -> None:
        async with context.phase("only", weight=1.0):
            await asyncio.sleep(0)

    async with open_jobs(JobType("work", work)) as jobs:
        job = await jobs.submit("u", "p", job_type="work")
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    (phase,) = done.phases
    assert done.finished_at is not None
    assert phase.finished_at is not None
    assert done.finished_at >= phase.finished_at


async def test_what_a_handler_does_to_its_options_is_its_own(open_jobs: Open) -> None:
    """Readers see what was asked for, whatever the job's code makes of it."""

    async def spoil(context: JobContext) -> None:
        context.options["names"].clear()
        context.job.labels["by"] = "itself"  # type: ignore[index]  # a mapping by its type

    async with open_jobs(JobType("spoil", spoil)) as jobs:
        asked = {"names": ["a"]}
        job = await jobs.submit("u", "p", job_type="spoil", options=asked, labels={"by": "ann"})
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert done.status is JobStatus.COMPLETED
    assert (done.options, done.labels) == ({"names": ["a"]}, {"by": "ann"})


async def test_too_many_waiting_jobs_are_refused_and_not_stored(open_jobs: Open) -> None:
    """Also when they come all at once."""
    gate = Gate()
    async with open_jobs(gate.job_type, max_queued_per_user=3) as jobs:
        submits = [submit(jobs, hold=True) for _ in range(10)]
        answers = await asyncio.gather(*submits, return_exceptions=True)
        stored = await jobs.list("u")

    assert sum(isinstance(answer, UserQueueFullError) for answer in answers) == 7
    assert len(stored) == 3


async def test_what_is_stored_counts_once_against_the_limit(open_jobs: Open) -> None:
    """Who learns first that theirs is stored submits again before others have learnt it."""
    gate = Gate()
    async with open_jobs(gate.job_type, max_queued_per_user=60) as jobs:

        async def submit_each(number: int) -> None:
            for _ in range(2 if number < 10 else 1):
                await submit(jobs, hold=True)

        await asyncio.gather(*(submit_each(number) for number in range(50)))
        with pytest.raises(UserQueueFullError):
            await submit(jobs, hold=True)
        stored = await jobs.list("u", limit=200)

    assert len(stored) == 60


async def test_who_goes_away_keeps_no_room(open_jobs: Open) -> None:
    """Room that a cancelled submit had taken counts while it is being stored, and only then."""
    gate = Gate()
    async with open_jobs(gate.job_type, max_queued_per_user=3) as jobs:
        gone = [asyncio.create_task(submit(jobs, hold=True)) for _ in range(2)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        answers = await asyncio.gather(
            *(submit(jobs, hold=True) for _ in range(3)), return_exceptions=True
        )
        stored = await jobs.list("u")

    assert len(stored) == 3
    assert sum(isinstance(answer, UserQueueFullError) for answer in answers) == 2


async def test_a_waiting_job_can_be_revised(open_jobs: Open) -> None:
    """Priority and labels; guarded by the version where one is given."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        job = await submit(jobs, hold=True, labels={"a": "1"})
        with pytest.raises(VersionMismatchError):
            await jobs.manager.revise_job(job.job_id, priority=9, if_version=99)
        revised = await jobs.manager.revise_job(
            job.job_id, priority=9, labels={"b": "2"}, if_version=job.version
        )

    assert (revised.priority, revised.labels) == (9, {"b": "2"})
    assert revised.version == job.version + 1


async def test_unknown_things_are_named(open_jobs: Open) -> None:
    """A job and a type that are not there."""
    async with open_jobs() as jobs:
        with pytest.raises(JobNotFoundError, match="019a"):
            await jobs.get("019a0000-0000-7000-8000-000000000000")
        with pytest.raises(UnknownJobTypeError, match="nope"):
            await jobs.submit("u", "p", job_type="nope")


@pytest.mark.parametrize(
    ("request_values", "pointer"),
    [
        ({"priority": 10}, "/priority"),
        ({"max_attempts": 0}, "/max_attempts"),
        ({"timeout_seconds": -1}, "/timeout_seconds"),
        ({"labels": {"Bad Key": "x"}}, "/labels/Bad Key"),
        ({"labels": {"a": "\x00"}}, "/labels/a"),
        ({"project_id": "../x"}, "/project_id"),
    ],
)
async def test_a_wrong_member_is_named_by_its_pointer(
    open_jobs: Open, request_values: dict[str, Any], pointer: str
) -> None:
    """Nothing is stored."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        values = {"project_id": "p"} | request_values
        with pytest.raises(ValidationError) as caught:
            await jobs.submit("u", job_type="gated", **values)
        assert not await jobs.list()

    assert [fault.pointer for fault in caught.value.faults] == [pointer]


async def test_named_resources_gate_the_start(open_jobs: Open) -> None:
    """A type that holds one unit from start to end runs as often as there are units.

    The last of them is for a user who has none.
    """
    gate = Gate(resources=("gpu",))
    async with open_jobs(gate.job_type, resources={"gpu": 2}) as jobs:
        submitted = [await submit(jobs, user) for user in ("alice", "bob", "cyd")]
        await gate.arrived(2)
        place = jobs.manager.queue_status(await jobs.get(submitted[2].job_id))
        gate.open()
        for job in submitted:
            await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert place is not None
    assert place.blocked_by == ("resource:gpu",)
    assert gate.most_running == 2


async def test_a_resource_that_nobody_named_ends_the_job_with_its_own_code(
    open_jobs: Open,
) -> None:
    """Trying again would not help, and the error says who can."""

    async def ask(context: JobContext) -> None:
        async with context.resource("gpu"):
            pytest.fail("there is no such resource")

    async with open_jobs(JobType("asks", ask)) as jobs:
        job = await jobs.submit("u", "p", job_type="asks")
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (done.status, done.attempt) == (JobStatus.FAILED, 1)
    assert done.error is not None
    assert (done.error.code, done.error.message) == ("CFG-003", "there is no resource gpu")


@pytest.mark.parametrize("page", [1, 2, 3, 200])
async def test_a_log_is_read_page_by_page_to_its_end(open_jobs: Open, page: int) -> None:
    """Whatever fits on a page, each row comes once, in order."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        job = await submit(jobs, hold=True)
        for priority in range(5):
            await jobs.manager.revise_job(job.job_id, priority=priority)
        query = EventQuery(job_id=job.job_id, limit=page)
        versions = [row.version async for row in read_log(jobs.manager, query)]

    assert versions == [1, 2, 3, 4, 5, 6]


async def test_other_threads_have_their_own_way_in(open_jobs: Open) -> None:
    """`from_thread` waits for the answer; anything else from a foreign thread raises."""
    gate = Gate()
    gate.open()
    async with open_jobs(gate.job_type) as jobs:

        def in_thread() -> tuple[Job, bool]:
            job = jobs.from_thread.submit("u", "p", job_type="gated")
            done = jobs.from_thread.wait(job.job_id, timeout=WAIT_SECONDS)
            try:
                jobs.manager  # noqa: B018 - reading it is what must raise
            except RuntimeError:
                return done, True
            return done, False

        done, was_refused = await asyncio.to_thread(in_thread)

    assert (done.status, was_refused) == (JobStatus.COMPLETED, True)


async def test_hooks_hear_of_each_transition_and_a_failing_one_harms_nothing(
    open_jobs: Open,
) -> None:
    """In the order of the commits, after them."""
    gate = Gate()
    gate.open()
    heard: list[str] = []
    has_ended = asyncio.Event()
    async with open_jobs(gate.job_type) as jobs:

        @jobs.on_transition
        async def fail(_: Job, __: Transition) -> None:
            message = "boom"
            raise RuntimeError(message)

        @jobs.on_transition
        async def listen(_: Job, transition: Transition) -> None:
            heard.append(transition.event)
            if transition.to_status.is_final:
                has_ended.set()

        job = await submit(jobs)
        done = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        async with asyncio.timeout(WAIT_SECONDS):
            await has_ended.wait()

    assert done.status is JobStatus.COMPLETED
    assert heard == ["submit", "enqueue", "start", "complete"]


async def test_a_job_cancelled_by_its_own_handler_ends_as_cancelled(open_jobs: Open) -> None:
    """Also where the request is stored before the handler's last step."""
    systems: list[JobSystem] = []

    async def cancel_itself(context: JobContext) -> None:
        await systems[0].cancel(context.job.job_id)

    async with open_jobs(JobType("self", cancel_itself)) as jobs:
        systems.append(jobs)
        job = await jobs.submit("u", "p", job_type="self")
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert ended.status is JobStatus.CANCELLED


async def test_a_handler_that_ignores_its_cancellation_keeps_its_slot(open_jobs: Open) -> None:
    """The job is running until its task ends; then it is cancelled, and the slot comes back."""
    has_begun, is_told, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def ignore(_: JobContext) -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            is_told.set()
        await may_end.wait()

    async with open_jobs(JobType("stubborn", ignore)) as jobs:
        job = await jobs.submit("u", "p", job_type="stubborn")
        async with asyncio.timeout(WAIT_SECONDS):
            await has_begun.wait()
            await jobs.cancel(job.job_id)
            await is_told.wait()
        held = (await jobs.get(job.job_id)).status, jobs.concurrency.count_running()
        may_end.set()
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        left = jobs.concurrency.count_running()

    assert held == (JobStatus.RUNNING, 1)
    assert (ended.status, left) == (JobStatus.CANCELLED, 0)


async def test_a_cancel_in_the_moment_of_the_start_is_not_lost(open_jobs: Open) -> None:
    """Whatever the order of the two commits, the job ends as cancelled and never completes."""
    gate = Gate()
    async with open_jobs(gate.job_type) as jobs:
        submitted = await asyncio.gather(*[submit(jobs, project=f"p{n}") for n in range(50)])
        await asyncio.gather(*[jobs.cancel(job.job_id) for job in submitted])
        ends = [await jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in submitted]

    assert {job.status for job in ends} == {JobStatus.CANCELLED}
    assert gate.running == 0


async def test_a_waiting_job_is_told_how_long_it_may_take(open_jobs: Open) -> None:
    """A range from recent durations; null while nothing is known."""
    gate = Gate()
    async with open_jobs(gate.job_type, max_running_total=1) as jobs:
        first = await submit(jobs)
        await gate.arrived(1)
        unknown = jobs.manager.queue_status(await submit(jobs))
        gate.open()
        await jobs.wait(first.job_id, timeout=WAIT_SECONDS)
        for _ in range(5):
            await jobs.wait((await submit(jobs)).job_id, timeout=WAIT_SECONDS)
        gate.close()
        await submit(jobs)
        await gate.arrived(8)
        known = jobs.manager.queue_status(await submit(jobs))

    assert unknown is not None
    assert unknown.estimated_wait_seconds is None
    assert known is not None
    assert known.estimated_wait_seconds is not None
    low, high = known.estimated_wait_seconds
    assert 0 <= low <= high < 60


async def test_a_fault_of_ours_in_a_run_is_told_at_once(
    open_jobs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop reports it while the error is young, and not when the collector finds the task."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asyncio.get_running_loop().set_exception_handler(lambda _, told_of: told.put_nowait(told_of))

    async def broken(*_: object) -> None:
        message = "planted"
        raise ValueError(message)

    monkeypatch.setattr(RunRecorder, "end", broken)
    gate = Gate()
    gate.open()
    gc.disable()
    try:
        async with open_jobs(gate.job_type) as jobs:
            job = await submit(jobs)
            async with asyncio.timeout(WAIT_SECONDS):
                report = await told.get()
    finally:
        gc.enable()

    assert str(report["exception"]) == "planted"
    assert report["task"].get_name() == f"job-{job.job_id}"
