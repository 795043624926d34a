"""Whoever stops a service may tell its children too: those are interrupted, and fail nothing."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.engine.run.failures import tells_of_signal
from cidx_jobs.engine.run.runner import HELD_BACK_SECONDS
from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.job.job import Job
from cidx_jobs.settings import Settings
from cidx_jobs.system import JobSystem
from tests.fakes import WAIT_SECONDS

pytestmark = pytest.mark.slow


async def run_child(context: JobContext) -> dict[str, Any]:
    """Run a program that writes its process id."""
    script = f'echo $$ > "{context.options["file"]}"; exec sleep 60'
    await context.run(["sh", "-c", context.options.get("script", script)], timeout=60)
    return {}


async def wrap_failure(context: JobContext) -> dict[str, Any]:
    """Tell of a child's failure in words of its own."""
    try:
        return await run_child(context)
    except JobFailure as failure:
        message = "the tool gave up"
        raise RuntimeError(message) from failure


TYPES = [JobType("child", run_child), JobType("wrapped", wrap_failure)]


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[JobSystem]:
    """Open a system on a database, whose jobs have a second to end at a stop."""
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=5)
    async with JobSystem.open(settings, TYPES) as jobs:
        yield jobs


async def start_child(jobs: JobSystem, tmp_path: Path, **members: Any) -> tuple[Job, int]:
    """Submit a job and wait for its child; give both."""
    file = tmp_path / "pid"
    options = {"file": str(file)}
    job = await jobs.submit("alice", "p", **({"job_type": "child", "options": options} | members))
    async with asyncio.timeout(WAIT_SECONDS):
        while not (text := _read(file)):  # noqa: ASYNC110 - a file is no event
            await asyncio.sleep(0.01)
    return job, int(text)


def _read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


@pytest.mark.parametrize("job_type", ["child", "wrapped"])
@pytest.mark.parametrize("before", [True, False])
async def test_a_child_that_a_stop_killed_is_an_interruption(
    tmp_path: Path, job_type: str, before: bool
) -> None:
    """Whether it dies just before the stop or within the grace time, however it is told."""
    async with opened(tmp_path) as jobs:
        job, pid = await start_child(jobs, tmp_path, job_type=job_type)
        if before:
            os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(HELD_BACK_SECONDS / 2)
        else:
            asyncio.get_running_loop().call_later(0.2, os.kill, pid, signal.SIGTERM)

    async with opened(tmp_path) as jobs:
        after = await jobs.get(job.job_id)
        await jobs.cancel(job.job_id)

    assert [one.outcome for one in after.attempts] == ["interrupted"]


async def test_a_job_of_one_attempt_is_told_of_the_interruption(tmp_path: Path) -> None:
    """It may not run twice, and does not count as a failure of its program."""
    async with opened(tmp_path) as jobs:
        job, pid = await start_child(jobs, tmp_path, max_attempts=1)
        os.kill(pid, signal.SIGTERM)
        await asyncio.sleep(HELD_BACK_SECONDS / 2)

    async with opened(tmp_path) as jobs:
        after = await jobs.get(job.job_id)

    assert after.error is not None
    assert after.error.code == "INTERRUPTED"


async def test_a_lone_signal_is_a_failure(tmp_path: Path) -> None:
    """Once no stop has come for a second, the job failed because its child did."""
    async with opened(tmp_path) as jobs:
        job, pid = await start_child(jobs, tmp_path, max_attempts=1)
        began = asyncio.get_running_loop().time()
        os.kill(pid, signal.SIGKILL)
        after = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        seconds = asyncio.get_running_loop().time() - began

    assert after.error is not None
    assert after.error.code == "CHILD_FAILED"
    assert seconds >= HELD_BACK_SECONDS


@pytest.mark.parametrize(("code", "is_held"), [(143, True), (137, True), (1, False), (128, False)])
async def test_only_what_a_signal_may_have_ended_is_held_back(
    tmp_path: Path, code: int, is_held: bool
) -> None:
    """A shell passes a signal on as 128 and its number; other failures are told at once."""
    async with opened(tmp_path) as jobs:
        options = {"file": "", "script": f"exit {code}"}
        job = await jobs.submit("alice", "p", job_type="child", max_attempts=1, options=options)
        after = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert after.started_at is not None
    assert after.finished_at is not None
    seconds = (after.finished_at - after.started_at).total_seconds()
    assert after.error is not None
    assert after.error.code == "CHILD_FAILED"
    assert (seconds >= HELD_BACK_SECONDS) is is_held


def test_processes_of_a_handlers_own_tell_of_signals_too() -> None:
    """A pool that lost a worker, and a program that `subprocess` ran, also behind other errors."""
    outer = RuntimeError("outer")
    outer.__cause__ = subprocess.CalledProcessError(-15, "tool")
    plain = RuntimeError("plain")
    plain.__context__ = plain

    assert tells_of_signal(BrokenProcessPool())
    assert tells_of_signal(outer)
    assert not tells_of_signal(plain)
    assert not tells_of_signal(subprocess.CalledProcessError(1, "tool"))
