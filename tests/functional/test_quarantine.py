"""What fails leaves nothing: a fetch comes into the copy only when it is whole and taken."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import psutil
import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.repository_sync.fetch_speed import FetchSpeed
from cidx_jobs.handlers.repository_sync.job_type import make_repository_sync
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.copy_files import CopyDirectories
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from tests.git_server import GitServer, serving_git
from tests.made_packs import MadePack, line
from tests.sync_kit import (
    ALICE,
    PROJECT,
    WAIT_SECONDS,
    Repository,
    Syncs,
    sync_settings,
    syncing,
)

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

MOST = 200_000
JUNK = 150_000
NOWHERE = "ab" * 20


@pytest.fixture
async def host(tmp_path: Path, may_block: None) -> AsyncIterator[GitServer]:
    """Serve what a test makes."""
    (tmp_path / "served").mkdir()
    async with serving_git(tmp_path / "served") as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, host: GitServer) -> Settings:
    """Return settings that let the host's repositories be small."""
    return sync_settings(
        tmp_path,
        git_allowed_hosts=(f"127.0.0.1:{host.port}",),
        git_submodules=True,
        max_repository_bytes=MOST,
        max_files=10,
    )


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Return an open system that may speak to the host."""
    async with syncing(settings) as opened:
        yield opened


def code_of(job: Job) -> str:
    """Return the code of a job that failed."""
    assert job.error is not None
    return job.error.code


def lie(syncs: Syncs) -> Mapping[str, int]:
    """Return what lies in the project's copy, with the size of each file."""
    copy = syncs.directory / "repo.git"
    files = (path for path in syncs.directory.rglob("*") if path.is_file())
    return {
        str(path): path.stat().st_size
        for path in files
        if path.is_relative_to(copy) or not path.name.startswith("index")
    }


def whole() -> MadePack:
    """Return a pack of a commit with one file."""
    pack = MadePack()
    pack.commit(pack.add_tree([("100644", b"a.txt", pack.add("blob", b"good\n"))]))
    return pack


def lacking(number: int) -> MadePack:
    """Return a pack of a commit whose tree names a file that is not there."""
    pack = MadePack()
    junk = pack.add("blob", os.urandom(JUNK))
    tree = [("100644", b"a.txt", NOWHERE), ("100644", b"junk", junk)]
    pack.commit(pack.add_tree(tree), f"lacking {number}")
    return pack


def too_many(number: int) -> MadePack:
    """Return a pack of a whole commit that has more files than are taken."""
    pack = MadePack()
    junk = pack.add("blob", os.urandom(JUNK))
    tree = [("100644", f"{name:02}".encode(), junk) for name in range(20)]
    pack.commit(pack.add_tree(tree), f"too many {number}")
    return pack


def too_large(number: int) -> MadePack:
    """Return a pack of a whole commit whose files are larger together than is taken."""
    pack = MadePack()
    junk = pack.add("blob", os.urandom(JUNK))
    tree = [("100644", b"a", junk), ("100644", b"b", junk)]
    pack.commit(pack.add_tree(tree), f"too large {number}")
    return pack


def more_than_the_bound(number: int) -> MadePack:
    """Return a pack that is itself larger than is taken."""
    pack = MadePack()
    junk = pack.add("blob", os.urandom(2 * MOST))
    pack.commit(pack.add_tree([("100644", b"a", junk)]), f"more {number}")
    return pack


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lacking, "GIT-005"),
        (too_many, "RES-003"),
        (too_large, "RES-004"),
        (more_than_the_bound, "RES-004"),
    ],
)
async def test_what_fails_or_is_refused_leaves_nothing(
    syncs: Syncs, host: GitServer, make: object, code: str
) -> None:
    """However often a bad commit comes, the copy holds the good one and not a byte more."""
    assert callable(make)
    host.made = whole()
    good = await syncs.sync(f"{host.url}/made/x")
    before = lie(syncs)

    for number in range(3):
        host.made = make(number)
        bad = await syncs.sync(f"{host.url}/made/x")
        assert code_of(bad) == code

    assert good.status is JobStatus.COMPLETED, good.error
    assert lie(syncs) == before
    assert await syncs.search("good") == [("a.txt", 1, "good")]


async def test_a_first_fetch_that_fails_leaves_no_copy(syncs: Syncs, host: GitServer) -> None:
    """There is no copy of a repository of which no commit was ever taken."""
    host.made = lacking(0)

    await syncs.sync(f"{host.url}/made/x")

    assert lie(syncs) == {}


async def test_good_commits_after_a_bad_one_are_fetched(syncs: Syncs, host: GitServer) -> None:
    """The quarantine of one sync is no hindrance to the next."""
    host.made = whole()
    await syncs.sync(f"{host.url}/made/x")
    host.made = lacking(0)
    await syncs.sync(f"{host.url}/made/x")
    host.made = pack = MadePack()
    pack.commit(pack.add_tree([("100644", b"b.txt", pack.add("blob", b"better\n"))]), "better")

    job = await syncs.sync(f"{host.url}/made/x")

    assert job.status is JobStatus.COMPLETED, job.error
    assert await syncs.search("better") == [("b.txt", 1, "better")]


async def test_a_copy_does_not_grow_beyond_what_two_fetches_may_bring(
    syncs: Syncs, host: GitServer
) -> None:
    """Good commits that share nothing gather up to the bound, and then the copy is made anew."""
    sizes = []
    for number in range(5):
        host.made = pack = MadePack()
        junk = pack.add("blob", os.urandom(JUNK))
        pack.commit(pack.add_tree([("100644", b"junk", junk)]), f"good {number}")
        assert (await syncs.sync(f"{host.url}/made/x")).status is JobStatus.COMPLETED
        sizes.append(sum(lie(syncs).values()))

    assert max(sizes) < 2 * MOST


def with_modules(host: GitServer, tmp_path: Path, names: list[str]) -> str:
    """Make a repository with submodules at the host; return its URL."""
    main = Repository(tmp_path / "served" / "main")
    described = ""
    for name in names:
        described += f'[submodule "{name}"]\n\tpath = {name}\n\turl = {host.url}/git/{name}\n'
        module = Repository(tmp_path / "served" / name)
        commit = module.commit({"junk": os.urandom(90_000)})
        main.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{name}")
    main.write({".gitmodules": described})
    main.git("add", ".gitmodules")
    main.git("commit", "-qm", "modules")
    return f"{host.url}/git/main"


async def test_submodules_share_the_bound(syncs: Syncs, host: GitServer, tmp_path: Path) -> None:
    """Each is small enough, together they are too large, and nothing of them stays."""
    url = with_modules(host, tmp_path, ["one", "two", "three"])

    job = await syncs.sync(url)

    assert code_of(job) == "RES-004"
    assert lie(syncs) == {}


async def test_a_submodule_that_fails_leaves_nothing(
    syncs: Syncs, host: GitServer, tmp_path: Path
) -> None:
    """The sync goes on without it, and without the pack that it sent."""
    url = with_modules(host, tmp_path, ["one"])
    main = Repository(tmp_path / "served" / "main", is_new=False)
    host.made = pack = MadePack()
    pack.commit(pack.add_tree([("100644", b"junk", pack.add("blob", os.urandom(60_000)))]))
    pack.end = line(b"\3access denied or repository not exported\n")
    described = f'[submodule "bad"]\n\tpath = bad\n\turl = {host.url}/made/x\n'
    main.git("update-index", "--add", "--cacheinfo", f"160000,{host.made.head},bad")
    main.write({".gitmodules": (main.path / ".gitmodules").read_text() + described})
    main.git("add", ".gitmodules")
    main.git("commit", "-qm", "a bad one")

    job = await syncs.sync(url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert "SUBMODULE_LEFT_OUT" in [warning.code for warning in job.warnings]
    assert sum(lie(syncs).values()) < 100_000


async def test_a_git_that_is_killed_in_the_middle_leaves_nothing(
    syncs: Syncs, host: GitServer
) -> None:
    """Neither half a pack nor a lock stays, and the copy of before is searched on."""
    host.made = whole()
    await syncs.sync(f"{host.url}/made/x")
    before = lie(syncs)
    host.made.commit(host.made.add_tree([("100644", b"b.txt", host.made.add("blob", b"2"))]))
    url = f"{host.url}/dripping/x"
    job = await syncs.jobs.submit(ALICE, PROJECT, options={"repository_url": url}, max_attempts=1)

    async with asyncio.timeout(WAIT_SECONDS):
        while not (fetching := fetches()):  # noqa: ASYNC110 - processes tell nobody
            await asyncio.sleep(0.02)
    fetching[0].kill()
    ended = await syncs.jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert code_of(ended) == "RES-002"
    assert lie(syncs) == before


def fetches() -> list[psutil.Process]:
    """Return the processes of this one's tree that are a git that fetches."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.name() == "git" and "fetch" in child.cmdline():
                found.append(child)
    return found


async def test_a_host_that_drips_is_given_up(settings: Settings, host: GitServer) -> None:
    """A few bytes a second keep no place of the git resource, though curl would wait for ever."""
    host.made = whole()
    store = MemoryPersistence()
    sync = make_repository_sync(
        settings,
        store.projects,
        FtsIndexer(DataDirectory(settings.data_dir).projects),
        Children("test:1"),
        SystemClock(),
        files=CopyDirectories(DataDirectory(settings.data_dir), store.projects),
        fetch_grace_seconds=1,
    )
    async with JobSystem(settings, [sync], persistence=store) as jobs:
        syncs = Syncs(jobs)
        job = await syncs.sync(f"{host.url}/dripping/x")

        assert code_of(job) == "NET-004"
        assert "git_min_bytes_per_second" in (job.error.message if job.error else "")
        assert lie(syncs) == {}


async def test_the_average_counts_and_not_the_moment() -> None:
    """What came fast may be followed by a pause; bytes on the disk and words count alike."""
    on_disk = 0
    heard: list[str] = []
    speed = FetchSpeed("x", 1_000, lambda: on_disk, grace_seconds=0)
    with pytest.raises(JobFailure) as failed:
        await speed.check()
    assert failed.value.failure_code == "NET-004"

    on_disk = 1_000_000
    speed = FetchSpeed("x", 1_000, lambda: on_disk, grace_seconds=0)
    await speed.check()
    speed = FetchSpeed("x", 1_000, int, grace_seconds=0)
    speed.hear(heard.append)("y" * 100_000)
    await speed.check()
    assert heard == ["y" * 100_000]

    await FetchSpeed("x", 0, int, grace_seconds=0).check()
    await FetchSpeed("x", 1_000, int, grace_seconds=60).check()
