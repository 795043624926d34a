"""A running system compared with itself: nothing is found in health, and each planted fault is."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs import JobStatus, JobSystem, JobType, Settings
from cidx_jobs.engine.state.board import Board
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.persistence import JobPersistence
from cidx_jobs.wire.admin.findings import MendDocument
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


async def test_a_run_that_nothing_runs_is_mended(jobs: JobSystem, gate: Gate) -> None:
    """It is interrupted without blame, and goes on; its slot was free for nobody else."""
    engine = jobs._engine
    assert engine is not None
    job = await jobs.submit("alice", "p", job_type="gate")
    await gate.arrived(1)
    lost = engine._executor._running.pop(job.job_id)

    done = await jobs.mend()
    await gate.arrived(2)
    again = await jobs.get(job.job_id)
    lost.task.cancel()
    await asyncio.wait([lost.task])
    log = await jobs.manager.query_events(EventQuery(job_id=job.job_id))

    assert [(one.kind, one.job_id) for one in done.mended] == [("runs", job.job_id)]
    assert done.left == ()
    assert (again.status, again.attempt, again.run) == (JobStatus.RUNNING, 1, 2)
    assert "nothing ran it any more" in [row.reason for row in log]
    assert await jobs.examine() == []


async def test_slots_and_queue_that_went_wrong_are_mended(jobs: JobSystem, running: Job) -> None:
    """The memory follows the store again, and jobs go on as if nothing had been."""
    board = board_of(jobs)
    (waiting,) = list(board.queue)
    board.queue.remove(waiting)
    board.slots.give_back(running.job_id)
    board.slots.take(OTHER, UserId("bob"))

    done = await jobs.mend()

    assert sorted(one.kind for one in done.mended) == ["queue", "slots", "slots"]
    assert done.left == ()
    assert list(board.queue) == [waiting]
    assert set(board.slots.holders()) == {running.job_id}


async def test_a_memory_behind_the_store_is_mended(jobs: JobSystem, running: Job) -> None:
    """It reads again what it did not know."""
    later = replace(running, version=running.version + 1, progress=5)
    await jobs.persistence.jobs.save_progress([later])

    done = await jobs.mend()

    assert [one.kind for one in done.mended] == ["queue"]
    assert (await jobs.get(running.job_id)).progress == 5


async def test_wrong_counts_are_made_anew(jobs: JobSystem, running: Job) -> None:
    """Those of final jobs, and the bytes of each user."""
    (waiting,) = list(board_of(jobs).queue)
    await jobs.cancel(waiting)
    before = await jobs.persistence.jobs.count_bytes(running.user_id)
    persistence = jobs.persistence
    assert isinstance(persistence, JobPersistence)

    def spoil(transaction: Transaction) -> None:
        transaction.execute("UPDATE finals SET jobs = 7")
        transaction.execute("UPDATE stored_bytes SET bytes = 99999999")

    await persistence._database.write(spoil)

    done = await jobs.mend()

    assert [one.kind for one in done.mended] == ["counts", "counts"]
    assert done.left == ()
    assert await jobs.persistence.jobs.count_bytes(running.user_id) == before
    assert (await jobs.persistence.jobs.collect_stats()).by_status["cancelled"] == 1


async def test_files_of_no_project_are_removed(jobs: JobSystem) -> None:
    """Once they were left alone for days; what a project has stays."""
    directory = DataDirectory(jobs.settings.data_dir).projects
    place = directory / "0123456789abcdef"
    place.mkdir(parents=True)
    long_ago = time.time() - 4 * 86_400.0
    os.utime(place, (long_ago, long_ago))

    done = await jobs.mend()

    assert [one.kind for one in done.mended] == ["files"]
    assert done.left == ()
    assert list(directory.iterdir()) == []


async def test_what_cannot_be_mended_is_told_with_what_helps(jobs: JobSystem) -> None:
    """Jobs and log stay as they are."""
    job = await jobs.submit("alice", "p", job_type="gate", hold=True)
    persistence = jobs.persistence
    assert isinstance(persistence, JobPersistence)

    def spoil(transaction: Transaction) -> None:
        transaction.execute("DELETE FROM log WHERE job = ?", (transaction.find_row(job.job_id),))

    await persistence._database.write(spoil)

    done = await jobs.mend()

    told = MendDocument.of(done, jobs.identity.uuid)
    assert done.mended == ()
    assert {one.kind for one in told.findings} == {"log"}
    assert not told.ok
    assert all("backup" in advice for advice in told.advice)


async def test_a_stray_process_is_found_and_killed(jobs: JobSystem) -> None:
    """A process with the mark of this database that no run has."""
    identity = jobs.identity
    strays = []
    for start in (identity, replace(identity, epoch=identity.epoch - 1)):
        environment = {"PATH": os.environ["PATH"], "CIDXJ_RUN": start.run_mark}
        strays.append(await asyncio.to_thread(start_sleeping, environment))
    try:
        found = await kinds(jobs)
        done = await jobs.mend()
        ends = [await asyncio.to_thread(stray.wait, 5) for stray in strays]
    finally:
        for stray in strays:
            stray.kill()
            await asyncio.to_thread(stray.wait)

    assert found == ["children", "children"]
    assert [one.kind for one in done.mended] == found
    assert ends == [-signal.SIGKILL] * 2
    assert await kinds(jobs) == []


def start_sleeping(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a process that does nothing."""
    return subprocess.Popen(["sleep", "100"], env=environment, start_new_session=True)
