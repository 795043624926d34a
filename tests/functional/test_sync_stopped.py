"""Syncs that are cancelled, interrupted, timed out or meet a full disk."""

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import msgspec
import pytest

from cidx_jobs.handlers.git import project_copy as copies
from cidx_jobs.handlers.git.commands import FetchBounds, Git
from cidx_jobs.model.errors import JobFailure, NotIndexedError
from cidx_jobs.model.job.job import Job, JobStatus, Outcome
from cidx_jobs.settings import Settings
from cidx_jobs.store.index.draft import translated_errors
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from tests.git_server import serving_git
from tests.sync_kit import ALICE, PROJECT, WAIT_SECONDS, Repository, Syncs, sync_settings, syncing

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

FILES = 4_000


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Give a repository that takes a while to index; tests only read it."""
    repository = Repository(tmp_path_factory.mktemp("remotes") / "code")
    repository.commit({f"d{n % 9}/f{n}.txt": f"file {n}\n" * 60 for n in range(FILES)})
    return repository


@pytest.fixture
def settings(tmp_path: Path, repository: Repository) -> Settings:
    """Give settings under which progress is seen at once, and a stop waits for nothing."""
    return sync_settings(
        tmp_path,
        git_local_roots=(repository.path, tmp_path / "remotes"),
        progress_interval_seconds=0.01,
        shutdown_grace_seconds=0,
    )


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Give an open system."""
    async with syncing(settings) as opened:
        yield opened


async def submit(
    jobs: JobSystem, url: str, timeout_seconds: float = 60, max_attempts: int = 1
) -> Job:
    """Submit the one sync of the tests."""
    return await jobs.submit(
        ALICE,
        PROJECT,
        options={"repository_url": url},
        max_attempts=max_attempts,
        timeout_seconds=timeout_seconds,
    )


async def in_phase(jobs: JobSystem, job: Job, phase: str) -> Job:
    """Wait until the job is in a phase."""
    return await jobs.manager.wait(
        job.job_id, lambda now: now.done or now.phase == phase, WAIT_SECONDS
    )


def has_indexed_a_batch(job: Job) -> bool:
    """Tell whether the first checkpoint of the indexing is stored."""
    return job.done or (job.checkpoint is not None and job.checkpoint.phase == "indexing")


@pytest.mark.parametrize("phase", ["git_sync", "change_detection", "indexing", "validation"])
async def test_a_cancelled_sync_leaves_nothing(
    syncs: Syncs, repository: Repository, phase: str
) -> None:
    """Cancelled in any phase, a sync ends at once, with no file and no process left."""
    jobs = syncs.jobs
    job = await submit(jobs, repository.url)
    await in_phase(jobs, job, phase)
    began = time.monotonic()

    await jobs.cancel(job.job_id)
    ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert time.monotonic() - began < 5
    assert syncs.leftovers() == []
    # In the last phase the cancel may come just after the index was shown: then it is whole.
    if phase == "validation":
        assert ended.done
    else:
        assert ended.status is JobStatus.CANCELLED
        with pytest.raises(NotIndexedError):
            await syncs.search("file 1")


async def test_a_silent_remote_can_be_cancelled(
    syncs: Syncs, settings: Settings, tmp_path: Path, may_block: None
) -> None:
    """A fetch that waits for its remote ends with its whole process tree."""
    async with serving_git(tmp_path) as server:
        allowed = attrs.evolve(
            settings,
            git_allowed_hosts=(f"127.0.0.1:{server.port}",),
            data_dir=tmp_path / "other",
        )
        async with JobSystem(allowed, persistence=MemoryPersistence()) as jobs:
            job = await submit(jobs, f"{server.url}/silent/x")
            await asyncio.wait_for(server.was_asked.wait(), WAIT_SECONDS)
            began = time.monotonic()
            await jobs.cancel(job.job_id)
            ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert ended.status is JobStatus.CANCELLED
    assert time.monotonic() - began < 5


async def test_an_interrupted_sync_goes_on_with_its_draft(
    settings: Settings, repository: Repository
) -> None:
    """A stop in the middle keeps what was indexed, and the next start goes on there."""
    store = MemoryPersistence()
    async with syncing(settings, store) as syncs:
        job = await submit(syncs.jobs, repository.url, max_attempts=2)
        await syncs.jobs.manager.wait(job.job_id, has_indexed_a_batch, WAIT_SECONDS)

    async with syncing(settings, store) as syncs:
        ended = await syncs.jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        assert syncs.leftovers() == []

    assert ended.status is JobStatus.COMPLETED, ended.error
    assert [record.outcome for record in ended.attempts] == [
        Outcome.INTERRUPTED,
        Outcome.COMPLETED,
    ]
    assert ended.result is not None
    assert ended.result["resumed_from"]["phase"] == "indexing"
    assert 0 < ended.result["resumed_from"]["files"] <= FILES
    assert ended.result["files_indexed"] == FILES


async def test_a_sync_that_takes_too_long_fails(syncs: Syncs, repository: Repository) -> None:
    """The time-out of a job ends it with its code, and with all its processes."""
    job = await submit(syncs.jobs, repository.url, timeout_seconds=0.3)

    ended = await syncs.jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert ended.error is not None
    assert ended.error.code == "TIMEOUT"


async def test_a_copy_is_packed_up_now_and_then(
    monkeypatch: pytest.MonkeyPatch, syncs: Syncs, tmp_path: Path
) -> None:
    """Each fetch adds a pack; when there are too many, git puts them together."""
    monkeypatch.setattr(copies, "_MAX_PACKS", 2)
    repository = Repository(tmp_path / "remotes" / "small")
    packs = []
    for number in range(4):
        repository.commit({"a": f"number {number}\n"})
        job = await syncs.sync(repository.url)
        assert job.status is JobStatus.COMPLETED, job.error
        packs.append(len(list(syncs.directory.glob("repo.git/objects/pack/*.pack"))))

    assert packs == [1, 2, 1, 2]
    assert (syncs.directory / "repo.git" / "shallow").is_file()
    repository.commit({"b": "after packing\n"})
    await syncs.sync()
    assert await syncs.search("after packing") == [("b", 1, "after packing")]
    assert syncs.leftovers() == []


async def test_old_bytes_are_packed_up_too(
    monkeypatch: pytest.MonkeyPatch, syncs: Syncs, tmp_path: Path
) -> None:
    """A repository that is new every time does not pile up: what is old is dropped."""
    monkeypatch.setattr(copies, "_MANY_BYTES", 100_000)
    repository = Repository(tmp_path / "remotes" / "small")
    sizes = []
    for _ in range(6):
        repository.commit({"a": os.urandom(100_000)})
        assert (await syncs.sync(repository.url)).status is JobStatus.COMPLETED
        packs = syncs.directory.glob("repo.git/objects/pack/*.pack")
        sizes.append(sum(pack.stat().st_size for pack in packs))

    assert max(sizes) < 350_000


async def test_packing_up_that_takes_too_long_is_left(
    monkeypatch: pytest.MonkeyPatch, syncs: Syncs, tmp_path: Path
) -> None:
    """The sync is done without it, and for a day none tries again."""
    tried = []
    pack_up = Git.pack_up

    async def hurried(git: Git, repository: Path, bounds: FetchBounds) -> None:
        tried.append(bounds.timeout)
        await pack_up(git, repository, msgspec.structs.replace(bounds, timeout=0.001))

    monkeypatch.setattr(copies, "_MAX_PACKS", 1)
    monkeypatch.setattr(Git, "pack_up", hurried)
    repository = Repository(tmp_path / "remotes" / "small")
    for number in range(4):
        repository.commit({"a": f"number {number}\n"})
        job = await syncs.sync(repository.url)
        assert job.status is JobStatus.COMPLETED, job.error

    assert tried == [120.0]
    assert await syncs.search("number 3") == [("a", 1, "number 3")]
    mark = syncs.directory / "repo.git" / "cidx-packing"
    os.utime(mark, (mark.stat().st_mtime - 90_000,) * 2)
    repository.commit({"a": "number 4\n"})
    await syncs.sync()
    assert len(tried) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "full"), "RES-001"),
        (OSError(errno.EDQUOT, "full"), "RES-001"),
        (OSError(errno.EIO, "broken"), "IDX-001"),
        (sqlite3.DatabaseError("malformed"), "IDX-002"),
    ],
)
def test_errors_of_a_disk_have_their_codes(error: Exception, code: str) -> None:
    """What the system and SQLite say becomes a failure that users understand."""
    with pytest.raises(JobFailure) as failed, translated_errors():
        raise error

    assert failed.value.failure_code == code


def test_a_full_database_has_its_code(tmp_path: Path) -> None:
    """SQLite's own word for a full disk is recognised."""
    with sqlite3.connect(tmp_path / "small.db") as db:
        db.execute("PRAGMA max_page_count=3")
        db.execute("CREATE TABLE t (x)")
        with pytest.raises(JobFailure) as failed, translated_errors():
            db.execute("INSERT INTO t VALUES (zeroblob(100000))")
    db.close()

    assert failed.value.failure_code == "RES-001"
