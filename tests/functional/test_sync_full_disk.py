"""Syncs on a disk that is really full: a small file system, filled to the last byte."""

import contextlib
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.settings import Settings
from tests.sync_kit import Repository, Syncs, sync_settings, syncing
from torture.disk import fill, small_disk
from torture.skipping import SkippedError, must_not_skip

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give the root of a file system of 24 MiB."""
    with contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(small_disk(tmp_path, "24m"))
        except SkippedError as error:
            if must_not_skip():
                raise
            pytest.skip(str(error))
        yield root


@pytest.fixture
def settings(tmp_path: Path, disk: Path) -> Settings:
    """Give settings under which copies and indexes lie on that disk, and the remotes do not."""
    return sync_settings(tmp_path, data_dir=disk / "data")


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Give an open system; its jobs are kept in memory, so that the disk is the syncs' alone."""
    async with syncing(settings) as opened:
        yield opened


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository with one small file."""
    repository = Repository(tmp_path / "remotes" / "code")
    repository.commit({"a.txt": "needle one\n"})
    return repository


def leave(disk: Path, room: int) -> None:
    """Fill the disk but for so many bytes."""
    ballast = disk / "ballast"
    fill(ballast)
    os.truncate(ballast, ballast.stat().st_size - room)


def make_room(disk: Path) -> None:
    """Empty the disk again."""
    (disk / "ballast").unlink()


def words(lines: int, seed: int = 0) -> str:
    """Give a text that an index cannot press together."""
    chance = random.Random(seed)  # noqa: S311 - the text is always the same
    return "".join(f"{chance.getrandbits(256):064x}\n" for _ in range(lines))


def leftovers_of_git(syncs: Syncs) -> list[Path]:
    """Give what a git that came to no good end has left in the copy."""
    return list(syncs.directory.glob("repo.git/objects/**/*tmp*"))


def failed_in(job: Job) -> str:
    """Give the phase in which a job found the disk full; it is worth another try."""
    assert job.status is JobStatus.FAILED, job.result
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("RES-001", True)
    return job.error.phase or ""


async def test_a_fetch_on_a_full_disk_fails_with_its_code(
    syncs: Syncs, disk: Path, repository: Repository
) -> None:
    """Nothing half is left of a first fetch nor of a later one, and the next sync works."""
    repository.commit({"a.txt": "needle one\n", "big": os.urandom(MIB)})
    leave(disk, MIB // 2)
    assert failed_in(await syncs.sync(repository.url)) == "git_sync"
    assert syncs.leftovers() == []
    assert not (syncs.directory / "repo.git").exists()

    make_room(disk)
    assert (await syncs.sync(repository.url)).status is JobStatus.COMPLETED
    repository.commit({"a.txt": "needle two\n", "bigger": os.urandom(2 * MIB)})
    leave(disk, MIB // 2)
    assert failed_in(await syncs.sync()) == "git_sync"
    assert syncs.leftovers() == []
    assert leftovers_of_git(syncs) == []
    assert await syncs.search("needle") == [("a.txt", 1, "needle one")]

    make_room(disk)
    assert (await syncs.sync()).status is JobStatus.COMPLETED
    assert await syncs.search("needle") == [("a.txt", 1, "needle two")]


@pytest.mark.parametrize("full", [False, True])
async def test_an_index_on_a_full_disk_stays_as_it_was(
    syncs: Syncs, disk: Path, repository: Repository, *, full: bool
) -> None:
    """What was found before is found, nothing half is left, and the next sync works."""
    assert (await syncs.sync(repository.url)).status is JobStatus.COMPLETED
    many = {f"words{seed}": words(8_000, seed) for seed in range(4)}
    repository.commit({"a.txt": "needle two\n", **many})
    leave(disk, 2 * MIB)

    assert failed_in(await syncs.sync(full_reindex=full)) == "indexing"
    assert syncs.leftovers() == []
    assert await syncs.search("needle") == [("a.txt", 1, "needle one")]

    make_room(disk)
    job = await syncs.sync()
    assert job.status is JobStatus.COMPLETED, job.error
    assert await syncs.search("needle") == [("a.txt", 1, "needle two")]
    first = words(1).strip()
    assert await syncs.search(first) == [("words0", 1, first)]


async def test_wherever_the_room_ends_the_next_sync_works(
    syncs: Syncs, disk: Path, repository: Repository
) -> None:
    """From no byte at all on, with a little more each time: fetch, comparison, index, check."""
    seen: set[str] = set()
    for number, kibibytes in enumerate((0, 16, 96, 192, 384)):
        repository.commit({"a.txt": f"needle {number}\n", f"words{number}": words(2_000, number)})
        before = await syncs.search("needle") if number else None
        leave(disk, kibibytes * 1024)
        tight = await syncs.sync(repository.url)
        assert (syncs.leftovers(), leftovers_of_git(syncs)) == ([], [])
        if tight.status is not JobStatus.COMPLETED:
            seen.add(failed_in(tight))
            if before is not None:
                assert await syncs.search("needle") == before
        make_room(disk)

        job = await syncs.sync(repository.url)
        assert job.status is JobStatus.COMPLETED, job.error
        assert await syncs.search("needle") == [("a.txt", 1, f"needle {number}")]
    assert {"git_sync", "indexing"} <= seen
