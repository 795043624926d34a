"""How much a remote can make git take: of memory, of time, and of the disk."""

import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import psutil
import pytest

from cidx_jobs.handlers.git.commands import Git
from cidx_jobs.handlers.process.children import CHILD_MARK, Bounds, Children
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import Settings
from tests.git_server import GitServer, serving_git
from tests.made_packs import MadePack
from tests.sync_kit import Repository, Syncs, sync_settings, syncing

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

MEBIBYTE = 1024 * 1024
MEMORY = 96 * MEBIBYTE


@pytest.fixture
async def host(tmp_path: Path, may_block: None) -> AsyncIterator[GitServer]:
    """Serve what a test makes."""
    (tmp_path / "served").mkdir()
    async with serving_git(tmp_path / "served") as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Return settings with little memory for git, or with those of the test."""
    given = {"git_memory_bytes": MEMORY, **getattr(request, "param", {})}
    return sync_settings(tmp_path, **given)


@pytest.fixture
async def syncs(settings: Settings, host: GitServer) -> AsyncIterator[Syncs]:
    """Return an open system that may speak to the host."""
    listed = attrs.evolve(settings, git_allowed_hosts=(f"127.0.0.1:{host.port}",))
    async with syncing(listed) as opened:
        yield opened


def code_of(job: Job) -> str:
    """Return the code of a job that failed."""
    assert job.error is not None
    return job.error.code


def one_file(pack: MadePack) -> MadePack:
    """Add a commit with one file."""
    blob = pack.add("blob", b"hello\n")
    pack.commit(pack.add_tree([("100644", b"a.txt", blob)]))
    return pack


@contextmanager
def watching_memory() -> Iterator[list[int]]:
    """Yield a list that gets the resident bytes of each child of this process, again and again."""
    seen, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            for child in psutil.Process().children(recursive=True):
                try:
                    if CHILD_MARK in child.environ():
                        seen.append(child.memory_info().rss)
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def zero_tree(pack: MadePack) -> None:
    """Add a tree of 200 MiB."""
    pack.add_zeros("tree", 200)


def zero_base(pack: MadePack) -> None:
    """Add a file of 200 MiB, and one that is made from it."""
    pack.add_zeros("blob", 200)
    pack.add_delta_on_the_last(200 * MEBIBYTE)


@pytest.mark.parametrize("swell", [zero_tree, zero_base])
async def test_an_object_that_swells_is_refused(
    syncs: Syncs, host: GitServer, swell: object
) -> None:
    """A pack of 200 KiB that wants a thousand times as much memory does not get it."""
    one_file(host.made)
    assert callable(swell)
    swell(host.made)

    with watching_memory() as seen:
        job = await syncs.sync(f"{host.url}/made/x")

    assert code_of(job) == "RES-004"
    assert max(seen) <= MEMORY
    assert syncs.leftovers() == []


async def test_progress_without_an_end_is_refused(syncs: Syncs, host: GitServer) -> None:
    """A remote whose line of progress never ends fills no memory with it."""
    one_file(host.made)
    host.progress = b"x" * MEMORY

    with watching_memory() as seen:
        job = await syncs.sync(f"{host.url}/made/x")

    assert code_of(job) == "RES-004"
    assert max(seen) <= MEMORY


@pytest.mark.parametrize("settings", [{"git_memory_bytes": 512 * MEBIBYTE}], indirect=True)
async def test_an_honest_repository_fits(tmp_path: Path, syncs: Syncs) -> None:
    """Files of many megabytes and their deltas are taken with the memory that is the default."""
    repository = Repository(tmp_path / "remotes" / "large")
    noise = os.urandom(20 * MEBIBYTE)
    repository.commit({"a": noise, "b": b"x" + noise, "c": noise + b"x", "d.txt": "text\n"})
    repository.git("gc", "--quiet")

    job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error


async def test_a_search_for_renames_that_takes_too_long_fails_nothing(
    tmp_path: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved and changed files then count as added and deleted, and the sync is done."""
    repository = Repository(tmp_path / "remotes" / "moving")
    text = "".join(f"line {number}\n" for number in range(50))
    repository.commit({"old.txt": text})
    await syncs.sync(repository.url)
    repository.commit({"new.txt": f"{text}more\n"}, gone=["old.txt"])

    async def give_up(*_: object) -> int:
        message = "git took longer than it may"
        raise JobFailure(message, code="TIMEOUT")

    monkeypatch.setattr(Git, "count_renames", give_up)
    job = await syncs.sync()

    assert job.result is not None
    assert (job.result["files_renamed"], job.result["files_added"]) == (0, 1)


async def test_a_child_and_what_it_starts_are_bounded() -> None:
    """The bound of the address space is that of the whole tree of processes."""
    children = Children("test:1")

    result = await children.execute(
        ["sh", "-c", "ulimit -v; sh -c 'ulimit -v'"],
        timeout=20,
        bounds=Bounds(memory_bytes=MEMORY),
    )

    assert result.stdout.split() == [str(MEMORY // 1024)] * 2


async def test_a_bounded_program_that_is_not_there_is_told() -> None:
    """The shell that sets the bounds hides nothing."""
    with pytest.raises(JobFailure) as failed:
        await Children("test:1").execute(
            ["no-such-program"], timeout=20, bounds=Bounds(memory_bytes=MEMORY)
        )

    assert failed.value.failure_code == "CFG-001"


async def test_a_stream_has_its_time(may_block: None) -> None:
    """A child that says nothing is the end of file to its reader once its time is up."""
    children = Children("test:1")

    async def hear_nothing() -> None:
        async with children.stream(["sleep", "60"], timeout=0.1) as child:
            heard = await in_own_thread(child.output.read)
            message = f"it said {heard!r}"
            raise JobFailure(message, code="GIT-005")

    with pytest.raises(JobFailure) as failed:
        await hear_nothing()

    assert failed.value.failure_code == "TIMEOUT"
    assert not children.active
