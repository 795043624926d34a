"""A running system compared with itself: nothing is found in health, and each planted fault is."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs import JobStatus, JobSystem, JobType, Settings
from cidx_jobs.engine.state.board import Board
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job
from tests.fakes import Gate

OTHER = JobId("01980000-0000-7000-8000-00000000ffff")
LIMITS: dict[str, Any] = {"max_running_per_user": 1, "shutdown_grace_seconds": 0}


@pytest.fixture
async def jobs(tmp_path: Path, gate: Gate) -> AsyncIterator[JobSystem]:
    """Give an open system in which one job can run at a time."""
    settings = Settings(data_dir=tmp_path / "data", **LIMITS)
    async with JobSystem(settings, [gate.job_type]) as opened:
        yield opened


@pytest.fixture
def gate() -> Gate:
    """Give a handler that runs until it is let go."""
    return Gate("gate")


@pytest.fixture
async def running(jobs: JobSystem) -> Job:
    """Give a job that runs, beside one that waits."""
    first = await jobs.submit("alice", "p", job_type="gate")
    await jobs.submit("alice", "p", job_type="gate")
    return await jobs.manager.wait(
        first.job_id, lambda job: job.status is JobStatus.RUNNING, timeout=5
    )


def board_of(jobs: JobSystem) -> Board:
    """Give the memory, to plant a fault in it."""
    engine = jobs._engine
    assert engine is not None
    return engine.board


async def kinds(jobs: JobSystem) -> list[str]:
    """Give the kinds of what is found."""
    return [finding.kind for finding in await jobs.examine()]


async def test_nothing_is_found_in_health(jobs: JobSystem, running: Job) -> None:
    """One job runs, one waits: rows, log, slots, queue and runs agree."""
    assert await jobs.examine(deep=True) == []
    assert running.status is JobStatus.RUNNING


async def test_jobs_that_change_meanwhile_are_no_findings(tmp_path: Path) -> None:
    """Only what is found at every look is told: a busy server is a healthy one."""

    async def nothing(_: object) -> None:
        return None

    settings = Settings(data_dir=tmp_path / "data", max_running_total=4)
    async with JobSystem(settings, [JobType("nothing", nothing)]) as jobs:
        for n in range(60):
            await jobs.submit("alice", f"p{n}", job_type="nothing")
            if n % 20 == 0:
                assert await jobs.examine() == []


async def test_a_lost_slot_is_found(jobs: JobSystem, running: Job) -> None:
    """A job that runs without a slot, and a slot that nobody runs in."""
    slots = board_of(jobs).slots
    slots.give_back(running.job_id)
    slots.take(OTHER, UserId("bob"))

    found = await kinds(jobs)

    slots.give_back(OTHER)
    slots.take(running.job_id, running.user_id)
    assert found == ["slots", "slots"]


async def test_a_job_that_fell_out_of_the_queue_is_found(jobs: JobSystem, running: Job) -> None:
    """It would wait for ever."""
    board = board_of(jobs)
    (waiting,) = list(board.queue)
    board.queue.remove(waiting)
    board.queue.push(running)

    assert await kinds(jobs) == ["queue", "queue"]


async def test_a_run_that_nobody_holds_is_found(
    jobs: JobSystem, running: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is running, with no task behind it, would stay so for ever."""
    engine = jobs._engine
    assert engine is not None
    with monkeypatch.context() as patch:
        patch.setattr(engine._executor, "_running", {})
        found = await jobs.examine()

    assert [(finding.kind, finding.job_id) for finding in found] == [("runs", running.job_id)]


async def test_a_memory_behind_the_store_is_found(jobs: JobSystem, running: Job) -> None:
    """The store is the truth; whoever does not know it decides wrongly."""
    later = replace(running, version=running.version + 1, progress=5)
    await jobs.persistence.jobs.save_progress([later])

    found = await jobs.examine()

    board_of(jobs).apply([later], [])
    assert [(finding.kind, finding.job_id) for finding in found] == [("queue", running.job_id)]


async def test_a_stray_process_is_found(jobs: JobSystem) -> None:
    """A process with the mark of this database that no run has."""
    identity = jobs.identity
    strays = []
    for start in (identity, replace(identity, epoch=identity.epoch - 1)):
        environment = {"PATH": os.environ["PATH"], "CIDXJ_RUN": start.run_mark}
        strays.append(await asyncio.to_thread(start_sleeping, environment))
    try:
        found = await kinds(jobs)
    finally:
        for stray in strays:
            stray.kill()
            await asyncio.to_thread(stray.wait)

    assert found == ["children", "children"]
    assert await kinds(jobs) == []


def start_sleeping(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a process that does nothing."""
    return subprocess.Popen(["sleep", "100"], env=environment, start_new_session=True)
