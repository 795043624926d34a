"""Exclusive jobs of a project: each type has its line, none runs beside another (api.md 1.3)."""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import (
    InvalidTransitionError,
    Job,
    JobContext,
    JobStatus,
    JobSystem,
    JobType,
    ProjectBusyError,
    Retryable,
    Settings,
)
from cidx_jobs.model.limits import Pauses
from cidx_jobs.testing import Gate
from tests.fakes import WAIT_SECONDS

NEVER = 600.0
SOON = 0.3


def make_jobs(folder: Path, *job_types: JobType) -> JobSystem:
    """Build a system over a database."""
    return JobSystem(Settings(data_dir=folder / "data", shutdown_grace_seconds=0), job_types)


async def submit(jobs: JobSystem, job_type: str = "export", **more: Any) -> Job:
    """Submit a job of the one project."""
    return await jobs.submit("alice", "p", job_type=job_type, **more)


def soon() -> datetime:
    """Return a moment that comes in this test."""
    return datetime.now(UTC) + timedelta(seconds=SOON)


async def pause(jobs: JobSystem, *, everything: bool = True) -> None:
    """Let nothing start, or all."""
    await jobs.manager.set_controls(pauses=Pauses(everything=everything))


def reasons(jobs: JobSystem, job: Job) -> tuple[str, ...]:
    """Return why the job waits, as it is told."""
    status = jobs.manager.queue_status(job)
    return () if status is None else status.blocked_by


def failing(after: float = NEVER) -> JobType:
    """Return an exclusive type that fails as long as its options are bad."""

    async def run(context: JobContext) -> None:
        if context.options.get("bad"):
            raise Retryable(after=after)

    return JobType("export", run, exclusive=True, max_attempts=5)


async def back_off(jobs: JobSystem, job: Job) -> Job:
    """Wait until the job waits for its next attempt."""
    return await jobs.manager.wait(job.job_id, lambda now: now.is_between_attempts, WAIT_SECONDS)


async def test_two_types_of_a_project_take_turns(tmp_path: Path) -> None:
    """Neither is refused for the other; who waits says project_busy, and starts next."""
    export, load = Gate("export", exclusive=True), Gate("import", exclusive=True)
    async with make_jobs(tmp_path, export.job_type, load.job_type) as jobs:
        running = await submit(jobs)
        await export.arrived(1)
        other = await submit(jobs, "import")
        again = await submit(jobs, "import")
        follower = await submit(jobs)
        told = reasons(jobs, other)
        refused = await submit_rejected(jobs, "import")
        export.open()
        await load.arrived(1)
        waiting = await jobs.get(follower.job_id)
        was_beside = (export.running, reasons(jobs, waiting))
        load.open()
        ends = [
            (await jobs.wait(job.job_id, timeout=WAIT_SECONDS)).status
            for job in (running, other, follower)
        ]

    assert (other.status, told) == (JobStatus.QUEUED, ("project_busy",))
    assert again.job_id == other.job_id
    assert refused == other.job_id
    assert follower.status is JobStatus.CREATED
    assert was_beside == (0, ("project_busy",))
    assert ends == [JobStatus.COMPLETED] * 3


async def submit_rejected(jobs: JobSystem, job_type: str) -> str:
    """Submit with reject, and return the id of the job that is in the way."""
    with pytest.raises(ProjectBusyError) as caught:
        await submit(jobs, job_type, on_conflict="reject")
    job_id: str = caught.value.members["active_job_id"]
    return job_id


async def test_exclusive_types_that_wait_together_start_one_by_one(tmp_path: Path) -> None:
    """Also when they are chosen in one moment, and after a restart."""
    gates = [Gate(name, exclusive=True) for name in ("export", "import", "check")]
    most = 0

    async with make_jobs(tmp_path, *(gate.job_type for gate in gates)) as jobs:
        await pause(jobs)
        waiting = [await submit(jobs, gate.job_type.name) for gate in gates]
    async with make_jobs(tmp_path, *(gate.job_type for gate in gates)) as jobs:
        await pause(jobs, everything=False)
        for gate in gates:
            await gate.arrived(1)
            most = max(most, sum(each.running for each in gates))
            gate.open()
        for job in waiting:
            await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert most == 1


async def test_a_newer_request_goes_before_one_in_its_back_off(tmp_path: Path) -> None:
    """The corrected one does not wait for the broken one's ten minutes; that one follows it."""
    async with make_jobs(tmp_path, failing()) as jobs:
        old = await back_off(jobs, await submit(jobs, options={"bad": True}))
        await pause(jobs)
        new = await submit(jobs, options={"bad": False})
        behind = await jobs.get(old.job_id)
        told = reasons(jobs, behind)
        joined = await submit(jobs, options={"bad": False, "n": 2})
        await pause(jobs, everything=False)
        done = await jobs.wait(new.job_id, timeout=WAIT_SECONDS)
        after = await jobs.get(old.job_id)
        told_after = reasons(jobs, after)

    assert new.job_id != old.job_id
    assert (behind.status, told) == (JobStatus.QUEUED, ("paused", "project_busy", "retry_backoff"))
    assert joined.job_id == new.job_id
    assert done.status is JobStatus.COMPLETED
    assert (after.status, after.attempt, told_after) == (JobStatus.QUEUED, 1, ("retry_backoff",))


async def test_a_failure_lets_who_follows_go_first(tmp_path: Path) -> None:
    """Also who was asked for while the broken one ran does not wait for its back-off."""
    gate = asyncio.Event()

    async def run(context: JobContext) -> None:
        if context.options.get("bad"):
            await gate.wait()
            raise Retryable(after=NEVER)

    async with make_jobs(tmp_path, JobType("export", run, exclusive=True)) as jobs:
        old = await submit(jobs, options={"bad": True})
        await jobs.manager.wait(old.job_id, lambda now: now.status == "running", WAIT_SECONDS)
        new = await submit(jobs, options={"bad": False})
        gate.set()
        done = await jobs.wait(new.job_id, timeout=WAIT_SECONDS)
        after = await jobs.get(old.job_id)
        findings = await jobs.examine(deep=True)

    assert done.status is JobStatus.COMPLETED
    assert after.is_between_attempts
    assert findings == []


async def test_a_request_joins_the_one_that_was_sent_back(tmp_path: Path) -> None:
    """While a newer one runs, the line is full: its back-off ends, with the newest options."""
    gate = Gate("gate")

    async def run(context: JobContext) -> dict[str, object]:
        if context.options.get("bad"):
            await context.save_checkpoint("of the bad one")
            raise Retryable(after=NEVER)
        if context.options.get("waits"):
            await gate.job_type.run(context)  # type: ignore[misc] # it is an async def
        return {"checkpoint": context.checkpoint}

    async with make_jobs(tmp_path, JobType("export", run, exclusive=True)) as jobs:
        old = await back_off(jobs, await submit(jobs, options={"bad": True}))
        new = await submit(jobs, options={"waits": True})
        await gate.arrived(1)
        third = await submit(jobs, options={"n": 3})
        told = reasons(jobs, third)
        gate.open()
        await jobs.wait(new.job_id, timeout=WAIT_SECONDS)
        done = await jobs.wait(third.job_id, timeout=WAIT_SECONDS)

    assert third.job_id == old.job_id
    assert told == ("project_busy",)
    assert (done.status, done.options) == (JobStatus.COMPLETED, {"n": 3})
    assert done.result == {"checkpoint": None}


async def test_a_start_ends_a_back_off(tmp_path: Path) -> None:
    """Whoever knows that the other side is there again need not wait."""
    async with make_jobs(tmp_path, failing()) as jobs:
        job = await back_off(jobs, await submit(jobs, options={"bad": True}))
        started = await jobs.manager.start_job(job.job_id)
        again = await jobs.manager.wait(
            job.job_id, lambda now: now.attempt == 2 and now.is_between_attempts, WAIT_SECONDS
        )
        await pause(jobs)
        await jobs.manager.start_job(job.job_id)
        with pytest.raises(InvalidTransitionError):
            await jobs.manager.start_job(job.job_id)

    assert (started.status, started.retry_at) == (JobStatus.QUEUED, None)
    assert again.attempt == 2


@pytest.mark.parametrize("later", [{"hold": True}, {"start_at": "soon"}], ids=["held", "timed"])
async def test_what_has_its_time_to_come_is_no_part_of_the_line(
    later: dict[str, Any], tmp_path: Path
) -> None:
    """It joins nobody, nobody joins it, and nobody is refused or replaced for it."""
    gate = Gate("export", exclusive=True)
    more = {"start_at": soon() + timedelta(seconds=60)} if "start_at" in later else later
    async with make_jobs(tmp_path, gate.job_type) as jobs:
        early = await submit(jobs, options={"n": 1}, **more)
        running = await submit(jobs, options={"n": 2}, on_conflict="reject")
        await gate.arrived(1)
        late = await submit(jobs, options={"n": 3}, **more)
        await submit(jobs, options={"n": 4}, on_conflict="replace")
        after = [await jobs.get(job.job_id) for job in (early, late)]

    assert len({early.job_id, running.job_id, late.job_id}) == 3
    assert [job.status for job in after] == [JobStatus.CREATED] * 2
    assert [job.start_at for job in after] == [more.get("start_at")] * 2
    assert [dict(job.options) for job in after] == [{"n": 1}, {"n": 3}]


async def test_who_is_due_in_a_full_line_waits_for_a_place(tmp_path: Path) -> None:
    """As created, with project_busy; it runs in the end, and after its time."""
    gate = Gate("export", exclusive=True)
    async with make_jobs(tmp_path, gate.job_type) as jobs:
        timed = [await submit(jobs, start_at=soon()) for _ in range(3)]
        await submit(jobs)
        await gate.arrived(1)
        await submit(jobs)
        await asyncio.sleep(SOON + 0.1)
        told = [reasons(jobs, await jobs.get(job.job_id)) for job in timed]
        gate.open()
        ends = [await jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in timed]

    assert told == [("project_busy",)] * 3
    assert [job.status for job in ends] == [JobStatus.COMPLETED] * 3
    assert all(job.started_at and job.start_at and job.started_at >= job.start_at for job in ends)
    assert gate.most_running == 1


async def test_a_release_into_a_full_line_waits_for_a_place(tmp_path: Path) -> None:
    """202: it is held no longer, and runs when there is room."""
    gate = Gate("export", exclusive=True)
    async with make_jobs(tmp_path, gate.job_type) as jobs:
        held = await submit(jobs, hold=True)
        await submit(jobs)
        await gate.arrived(1)
        await submit(jobs)
        released = await jobs.manager.start_job(held.job_id)
        told = reasons(jobs, released)
        gate.open()
        done = await jobs.wait(held.job_id, timeout=WAIT_SECONDS)

    assert (released.status, released.hold, told) == (JobStatus.CREATED, False, ("project_busy",))
    assert done.status is JobStatus.COMPLETED


async def test_unique_indexes_hold_the_lines(tmp_path: Path) -> None:
    """One head and one follower of each type in a project, whatever the code does."""
    gate = Gate("export", exclusive=True)
    async with make_jobs(tmp_path, gate.job_type) as jobs:
        await submit(jobs)
        await gate.arrived(1)
    database = tmp_path / "data" / "jobs.db"
    [path] = [database] if database.exists() else list((tmp_path / "data").glob("*.db"))

    with sqlite3.connect(path) as connection:
        indexes = dict(
            connection.execute("SELECT name, sql FROM sqlite_schema WHERE name LIKE 'jobs_%'")
        )
    connection.close()

    for name in ("jobs_head", "jobs_follower"):
        assert "UNIQUE" in indexes[name]
        assert "(user_id, project_id, job_type)" in indexes[name]


async def test_a_retry_of_a_completed_job_is_no_retry_whatever_else_is_active(
    tmp_path: Path,
) -> None:
    """It is told what is wrong with it, and not to wait for the other one."""
    async with make_jobs(tmp_path, failing()) as jobs:
        done = await submit(jobs)
        await jobs.wait(done.job_id, timeout=WAIT_SECONDS)
        await pause(jobs)
        await submit(jobs)

        with pytest.raises(InvalidTransitionError):
            await jobs.retry(done.job_id)
