"""What a job's child processes use is shown, and a job over its memory limit is ended."""

import sys
from pathlib import Path

import pytest

from cidx_jobs import Job, JobContext, JobStatus, JobSystem, JobType, Settings
from tests.fakes import WAIT_SECONDS

MIB = 1024 * 1024
GREEDY = f"import time; block = bytearray(64 * {MIB}); time.sleep(60)"

# A real process is started and measured, once a second.
pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings that store progress at once."""
    return Settings(
        data_dir=tmp_path / "data", shutdown_grace_seconds=0, progress_interval_seconds=0.01
    )


async def be_greedy(context: JobContext) -> None:
    """Run a child that takes memory and waits for what never comes."""
    await context.run([sys.executable, "-c", GREEDY], timeout=60)


async def test_the_memory_and_cpu_of_a_jobs_children_are_shown(settings: Settings) -> None:
    """In the progress of the running job."""
    async with JobSystem.open(settings, [JobType("greedy", be_greedy)]) as jobs:
        job = await jobs.submit("u", "p", job_type="greedy")
        seen = await jobs.manager.wait(
            job.job_id,
            lambda now: (now.progress_detail.memory_bytes or 0) > 64 * MIB,
            timeout=WAIT_SECONDS * 4,
        )

    assert (seen.progress_detail.memory_bytes or 0) > 64 * MIB
    assert seen.progress_detail.cpu_seconds is not None


async def test_a_job_over_its_memory_limit_is_ended_with_its_own_code(settings: Settings) -> None:
    """RES-002, not tried again; its process is gone."""
    limited = JobType("greedy", be_greedy, max_memory_bytes=32 * MIB)
    async with JobSystem.open(settings, [limited]) as jobs:
        job = await jobs.submit("u", "p", job_type="greedy")
        ended: Job = await jobs.wait(job.job_id, timeout=WAIT_SECONDS * 4)

    assert ended.error is not None
    assert (ended.status, ended.error.code, ended.attempt) == (JobStatus.FAILED, "RES-002", 1)
    assert f"{32 * MIB:,}" in ended.error.message
