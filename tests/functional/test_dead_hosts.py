"""Syncs of code hosts that are down, with real git: in each way in which a host can be down."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.repository_sync.job_type import make_repository_sync
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import Job, JobStatus, Outcome
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.copy_files import CopyDirectories
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from tests.git_server import serving_git
from tests.sync_kit import WAIT_SECONDS, Repository, sync_settings

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

ANSWER_SECONDS = 1.0
"""How long these tests wait for an answer: a host on this machine needs a hundredth of that."""
NAME = "git.nowhere.example"
"""A name that no resolver knows."""

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[int]:
    """Listen on a free port and treat each connection in that way."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await asyncio.Event().wait()
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Close the connection at the first byte: in a handshake, or after a request."""
    await reader.read(1)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Know addresses, and no name."""
    if host == NAME:
        raise socket.gaierror(host, port)
    return [host]


@asynccontextmanager
async def open_jobs(tmp_path: Path, *hosts: str, **values: Any) -> AsyncIterator[JobSystem]:
    """Open a system that may reach the hosts and has little patience."""
    settings = sync_settings(tmp_path, git_allowed_hosts=hosts, git_outage_seconds=3_600, **values)
    store = MemoryPersistence()
    indexer = FtsIndexer(DataDirectory(settings.data_dir).projects)
    sync = make_repository_sync(
        settings,
        store.projects,
        indexer,
        Children("test:1"),
        SystemClock(),
        files=CopyDirectories(DataDirectory(settings.data_dir), store.projects),
        resolve=resolve,
        low_speed_seconds=1,
        answer_seconds=ANSWER_SECONDS,
    )
    async with JobSystem(settings, [sync], persistence=store) as jobs:
        yield jobs
    await indexer.close()


async def submit(jobs: JobSystem, url: str, user: str = "alice", project: str = "p") -> Job:
    """Submit a sync that is tried once."""
    options = {"repository_url": url}
    return await jobs.submit(user, project, options=options, max_attempts=1)


async def until_ended(jobs: JobSystem, job: Job) -> Job:
    """Wait for the end of the job's first run; give the job."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not job.attempts:
            job = await jobs.wait(job.job_id, until="change")
    return job


@pytest.mark.parametrize(
    ("scheme", "answer", "code"),
    [
        ("http", None, "NET-002"),
        ("http", say_nothing, "NET-002"),
        ("https", say_nothing, "NET-002"),
        ("http", hang_up, "NET-004"),
        ("https", hang_up, "NET-004"),
    ],
)
async def test_a_host_that_is_down_costs_no_attempt(
    tmp_path: Path, may_block: None, scheme: str, answer: Answer | None, code: str
) -> None:
    """It refuses, says nothing, or hangs up before its first answer: the job waits for it."""
    async with listening(answer or hang_up) as port:
        host = f"127.0.0.1:{port if answer else 9}"
        async with open_jobs(tmp_path, host) as jobs:
            job = await until_ended(jobs, await submit(jobs, f"{scheme}://{host}/code"))
            place = jobs.manager.queue_status(job)

    (ended,) = job.attempts
    assert ended.error is not None
    assert (ended.outcome, ended.error.code) == (Outcome.INTERRUPTED, code)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
    assert place is not None
    assert place.blocked_by == (f"host_down:{host}",)


async def test_a_host_whose_name_is_not_known_is_down(tmp_path: Path, may_block: None) -> None:
    """A name server that fails is no fault of the job; the port that is usual is not told."""
    async with open_jobs(tmp_path, NAME) as jobs:
        job = await until_ended(jobs, await submit(jobs, f"https://{NAME}/code"))
        place = jobs.manager.queue_status(job)

    assert [each.error and each.error.code for each in job.attempts] == ["NET-001"]
    assert place is not None
    assert place.blocked_by == (f"host_down:{NAME}",)


@pytest.mark.parametrize(
    ("path", "code"),
    [("hold/code", "NET-004"), ("status/500", "NET-007"), ("git/none", "GIT-001")],
)
async def test_a_host_that_answers_is_not_down(
    tmp_path: Path, may_block: None, path: str, code: str
) -> None:
    """Whatever it answers, and however slowly it goes on: that costs an attempt."""
    Repository(tmp_path / "served" / "code").commit({"a.txt": "here\n"})
    async with (
        serving_git(tmp_path / "served") as server,
        open_jobs(tmp_path, f"127.0.0.1:{server.port}") as jobs,
    ):
        job = await submit(jobs, f"{server.url}/{path}")
        job = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (job.status, job.error and job.error.code) == (JobStatus.FAILED, code)


async def test_a_dead_host_holds_up_nobody(tmp_path: Path, may_block: None) -> None:
    """Beside twelve syncs that hang, another user's takes as long as alone (guarantees, G19)."""
    repository = Repository(tmp_path / "served" / "code")
    repository.commit({f"{number}.txt": f"text {number}\n" for number in range(300)})
    async with listening(say_nothing) as dead, serving_git(tmp_path / "served") as server:
        hosts = f"127.0.0.1:{dead}", f"127.0.0.1:{server.port}"
        async with open_jobs(tmp_path, *hosts) as jobs:
            url = f"{server.url}/git/code"
            await _sync(jobs, url, "warm")
            alone = min([await _sync(jobs, url, f"alone{number}") for number in range(3)])

            hanging = [
                await submit(jobs, f"http://127.0.0.1:{dead}/r{number}", "alice", f"h{number}")
                for number in range(12)
            ]
            beside = [await _sync(jobs, url, "first")]
            await until_ended(jobs, hanging[0])
            beside += [await _sync(jobs, url, f"later{number}") for number in range(3)]
            held = jobs.manager.slots.users.get(UserId("alice"), 0)

    # A sync of some hundredths of a second may meet a hiccup of the machine.
    assert min(beside) <= 1.5 * alone + 0.1
    # None of them waited for one that hangs.
    assert max(beside) < alone + ANSWER_SECONDS
    assert held <= 4


async def _sync(jobs: JobSystem, url: str, project: str) -> float:
    """Sync as another user; return the seconds it took."""
    began = time.monotonic()
    job = await submit(jobs, url, "bob", project)
    job = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
    assert job.status is JobStatus.COMPLETED, job.error
    return time.monotonic() - began
