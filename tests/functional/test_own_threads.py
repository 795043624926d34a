"""Handlers that block fill the loop's executor; the server's own work goes on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.handlers.git.network.host_addresses import HostLookup
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import Settings
from cidx_jobs.system import JobSystem
from cidx_jobs.web.app import create_app
from tests.fakes import WAIT_SECONDS
from tests.functional.web import AioClient

pytestmark = pytest.mark.slow


@contextmanager
def full_executor() -> Iterator[None]:
    """Let the loop's executor have one thread, and something in it that does not end."""
    release = threading.Event()
    pool = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(pool)
    pool.submit(release.wait)
    try:
        yield
    finally:
        release.set()
        pool.shutdown()


async def sleep_in_a_child(context: JobContext) -> dict[str, Any]:
    """Run a child that ignores TERM, and leaves its group."""
    script = "trap '' TERM; setsid sleep 1000 & sleep 1000 & wait; wait"
    await context.run(["sh", "-c", script], timeout=1_000)
    return {}


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[JobSystem]:
    """Open a system on a database."""
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=0)
    async with JobSystem.open(settings, [JobType("child", sleep_in_a_child)]) as system:
        yield system


async def test_a_cancel_ends_a_child_though_all_threads_block(jobs: JobSystem) -> None:
    """The process tree is looked for in a thread that no handler takes (G6)."""
    job = await jobs.submit("alice", "p", job_type="child")
    await jobs.wait(job.job_id, until="status", since=job.version, timeout=WAIT_SECONDS)

    with full_executor():
        await jobs.cancel(job.job_id)
        ended = await jobs.wait(job.job_id, timeout=10)

    assert ended.status == "cancelled"


async def test_the_doctor_answers_though_all_threads_block(jobs: JobSystem) -> None:
    """What it looks up on the disk and among the processes needs no thread of the loop."""
    with full_executor():
        async with asyncio.timeout(WAIT_SECONDS):
            findings = await jobs.examine(deep=True)

    assert list(findings) == []


async def test_a_name_is_looked_up_though_all_threads_block() -> None:
    """Git's hosts are checked before git is started."""
    with full_executor():
        async with asyncio.timeout(WAIT_SECONDS):
            found = await HostLookup(Children("test:1"))("localhost", 80)

    assert set(found) & {"127.0.0.1", "::1"}


async def test_a_system_starts_and_stops_though_all_threads_block(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """The data directory is taken and given back, the API described, and a project removed."""
    with full_executor():
        async with asyncio.timeout(WAIT_SECONDS):
            settings = Settings(data_dir=tmp_path / "data", auth="none", shutdown_grace_seconds=0)
            async with JobSystem.open(settings) as jobs:
                client = await aiohttp_client(create_app(jobs))
                described = await client.get("/openapi.json")
                removed = await client.delete("/api/projects/none")
                await client.close()

    assert (described.status, removed.status) == (200, 404)


async def test_what_a_thread_raises_is_its_callers() -> None:
    """The error comes out where it is awaited, also one that no future can hold."""
    with pytest.raises(FileNotFoundError):
        await in_own_thread(Path("/nothing").read_text)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_own_thread(next, iter(()))


async def test_a_thread_outlives_its_caller_and_no_more() -> None:
    """A cancelled caller stops waiting; what the thread gives then is nobody's."""
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait()
        ended.set()

    waiting = asyncio.create_task(in_own_thread(work))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()

    assert await in_own_thread(ended.wait, WAIT_SECONDS)


async def test_a_moment_without_threads_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of processes counts threads; it is asked again before the call fails."""
    start, refusals = threading.Thread.start, [True, True]

    def refuse(thread: threading.Thread) -> None:
        if refusals:
            refusals.pop()
            message = "can't start new thread"
            raise RuntimeError(message)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert await in_own_thread(lambda: 7) == 7
    assert refusals == []
