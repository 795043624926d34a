"""The engine over a store that cannot write for a while: nothing is lost, nothing stays stuck."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import JobContext, JobStatus, JobSystem, JobType, Settings
from cidx_jobs.engine.run import executor
from cidx_jobs.model.errors import StorageFullError
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.web.app import create_app
from tests.fakes import WAIT_SECONDS, Gate
from tests.functional.web import AioClient

# The engine tries again every half second.
pytestmark = pytest.mark.slow


class SmallDisk(MemoryDatabase):
    """A memory that is full while `is_full` is set."""

    def __init__(self) -> None:
        """Begin with room."""
        super().__init__()
        self.is_full = False
        self.refused = asyncio.Event()

    @property
    def can_write(self) -> bool:
        """False while it is full."""
        return super().can_write and not self.is_full

    def check_writable(self) -> None:
        """Refuse while it is full."""
        if self.is_full:
            self.refused.set()
            raise StorageFullError
        super().check_writable()

    async def is_refusing(self) -> None:
        """Wait until something was refused."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self.refused.wait()


@pytest.fixture
async def disk() -> SmallDisk:
    """Give the store."""
    return SmallDisk()


@pytest.fixture
def gate() -> Gate:
    """Give a job type whose runs wait."""
    return Gate()


@pytest.fixture
async def jobs(tmp_path: Path, disk: SmallDisk, gate: Gate) -> AsyncIterator[JobSystem]:
    """Give an open system over the store."""
    settings = Settings(
        data_dir=tmp_path, auth="none", shutdown_grace_seconds=0, max_running_per_user=1
    )
    async with JobSystem(settings, [gate.job_type], persistence=MemoryPersistence(disk)) as opened:
        yield opened
        disk.is_full = False


async def test_a_submit_is_refused_and_reads_go_on(jobs: JobSystem, disk: SmallDisk) -> None:
    """Nothing is stored of what was refused, and what is there can be read."""
    there = await jobs.submit("alice", "p", job_type="gated", hold=True)
    disk.is_full = True

    with pytest.raises(StorageFullError):
        await jobs.submit("alice", "p", job_type="gated")

    assert (await jobs.get(there.job_id)).status is JobStatus.CREATED
    assert len(await jobs.list()) == 1
    assert await jobs.examine() == []


async def test_the_server_is_not_ready_until_there_is_room(
    jobs: JobSystem, disk: SmallDisk, aiohttp_client: AioClient
) -> None:
    """503 with the reason while nothing can be stored, and 200 again after."""
    client = await aiohttp_client(create_app(jobs))
    disk.is_full = True
    full = await client.get("/readyz")
    alive = await client.get("/livez")
    read = await client.get("/api/jobs")

    disk.is_full = False

    ready = await client.get("/readyz")
    assert (full.status, (await full.json())["reasons"]) == (503, ["storage_unavailable"])
    assert "Retry-After" in full.headers
    assert (alive.status, read.status, ready.status) == (200, 200, 200)


async def test_a_checkpoint_waits_for_room(tmp_path: Path, disk: SmallDisk) -> None:
    """It is durable when it returns, and costs no attempt."""

    async def save(context: JobContext) -> dict[str, Any]:
        disk.is_full = True
        await context.save_checkpoint("here")
        return {}

    settings = Settings(data_dir=tmp_path)
    async with JobSystem(
        settings, [JobType("save", save)], persistence=MemoryPersistence(disk)
    ) as jobs:
        job = await jobs.submit("alice", "p", job_type="save")
        await disk.is_refusing()
        disk.is_full = False
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        saved = await jobs.persistence.load_checkpoint(job.job_id)

    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)
    assert saved is not None
    assert saved.data == "here"


async def test_a_checkpoint_that_waits_can_be_stopped(tmp_path: Path, disk: SmallDisk) -> None:
    """A run that waits for room ends when its time is up, like any other."""

    async def save(context: JobContext) -> dict[str, Any]:
        disk.is_full = True
        await context.save_checkpoint("here")
        return {}

    settings = Settings(data_dir=tmp_path)
    async with JobSystem(
        settings, [JobType("save", save)], persistence=MemoryPersistence(disk)
    ) as jobs:
        job = await jobs.submit("alice", "p", job_type="save", timeout_seconds=1.0, max_attempts=1)
        await disk.is_refusing()
        await asyncio.sleep(1.1)
        disk.is_full = False
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert ended.error is not None
    assert ended.error.code == "TIMEOUT"


async def test_an_end_waits_for_room_with_its_slot(
    jobs: JobSystem, disk: SmallDisk, gate: Gate
) -> None:
    """The next job starts only after the end is stored: the slot is held until then."""
    first = await jobs.submit("alice", "p", job_type="gated")
    second = await jobs.submit("alice", "q", job_type="gated")
    await gate.arrived()
    disk.is_full = True
    gate.open()
    await disk.is_refusing()
    assert (await jobs.get(first.job_id)).status is JobStatus.RUNNING
    assert jobs.concurrency.holders().keys() == {first.job_id}

    disk.is_full = False

    ends = [await jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in (first, second)]
    assert [job.status for job in ends] == [JobStatus.COMPLETED] * 2
    assert gate.most_running == 1


async def test_a_start_waits_for_room(jobs: JobSystem, disk: SmallDisk, gate: Gate) -> None:
    """What could not be started is started as soon as it can be stored."""
    gate.open()
    job = await jobs.submit("alice", "p", job_type="gated", hold=True)
    await jobs.manager.start_job(job.job_id)
    disk.is_full = True
    await disk.is_refusing()

    disk.is_full = False

    assert (await jobs.wait(job.job_id, timeout=WAIT_SECONDS)).status is JobStatus.COMPLETED


async def test_a_job_whose_time_comes_on_a_full_disk_is_queued_later(
    jobs: JobSystem, disk: SmallDisk, gate: Gate
) -> None:
    """It does not wait for the next start of the server."""
    gate.open()
    soon = jobs.clock.now() + timedelta(seconds=0.1)
    job = await jobs.submit("alice", "p", job_type="gated", start_at=soon)
    disk.is_full = True
    await disk.is_refusing()

    disk.is_full = False

    assert (await jobs.wait(job.job_id, timeout=WAIT_SECONDS)).status is JobStatus.COMPLETED


async def test_a_close_on_a_full_disk_leaves_no_task(
    tmp_path: Path, disk: SmallDisk, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An end that cannot be stored is given up with the store; the next start gives it back."""
    monkeypatch.setattr(executor, "LAST_WORDS_SECONDS", 0.05)
    settings = Settings(data_dir=tmp_path, shutdown_grace_seconds=0)
    async with JobSystem(settings, [gate.job_type], persistence=MemoryPersistence(disk)) as jobs:
        job = await jobs.submit("u", "p", job_type="gated")
        await gate.arrived(1)
        disk.is_full = True
        gate.open()
        await disk.is_refusing()

    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("job-")]
    disk.is_full = False
    await jobs.persistence.open()
    kept = await jobs.persistence.load_job(job.job_id)
    assert kept is not None
    assert kept.status is JobStatus.RUNNING
