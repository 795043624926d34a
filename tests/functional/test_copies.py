"""A data directory that was copied: another database, which leaves the original alone."""

import asyncio
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cidx_jobs import JobContext, JobSystem, JobType, Settings

WAIT_SECONDS = 20.0
_UNTIL_ALLOWED = 'echo begun; while [ ! -e "$1" ]; do sleep 0.05; done; echo allowed'

Copy = Callable[[Path, Path], None]


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """Give a folder on another file system than that of temporary files."""
    shared = Path("/dev/shm")  # noqa: S108 - a file system, in which a folder is made safely
    if not shared.is_dir() or shared.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("needs a second file system")
    folder = Path(tempfile.mkdtemp(dir=shared))
    yield folder
    shutil.rmtree(folder)


def copy_all(source: Path, target: Path) -> None:
    """Copy every file with its rights and times."""
    subprocess.run(["cp", "-a", source, target], check=True)


def back_up(source: Path, target: Path) -> None:
    """Copy the database alone, as ``sqlite3 jobs.db .backup`` does."""
    target.mkdir()
    with (
        closing(sqlite3.connect(source / "jobs.db")) as original,
        closing(sqlite3.connect(target / "jobs.db")) as copy,
    ):
        original.backup(copy)


def copy_with_linked_files(source: Path, target: Path) -> None:
    """Copy what changes, and link the rest, as incremental backups do; the lock is made anew."""
    subprocess.run(["cp", "-al", source, target], check=True)
    for file in ("jobs.db", "jobs.db-wal", "jobs.db-shm", "jobs.mark"):
        (target / file).unlink()
        shutil.copy2(source / file, target / file)
    (target / "owner.lock").unlink()


def waiting_type(allowed: Path, begun: asyncio.Event) -> JobType:
    """Make a type whose child process waits until a file is there."""

    async def wait(context: JobContext) -> dict[str, int]:
        def note(line: str) -> None:
            if line.startswith("begun"):
                begun.set()

        argv = ["sh", "-c", _UNTIL_ALLOWED, "sh", str(allowed)]
        result = await context.run(argv, timeout=WAIT_SECONDS, on_line=note)
        return {"code": result.returncode}

    return JobType("wait", wait)


async def assert_left_alone(original: Path, target: Path, copy: Copy) -> None:
    """Copy a directory in use and start the copy: each completes the job with its own child."""
    allowed, begun, begun_again = original.parent / "allowed", asyncio.Event(), asyncio.Event()
    async with JobSystem.open(Settings(data_dir=original), [waiting_type(allowed, begun)]) as jobs:
        job = await jobs.submit("alice", "project", job_type="wait")
        await asyncio.wait_for(begun.wait(), WAIT_SECONDS)
        await asyncio.to_thread(copy, original, target)
        async with JobSystem.open(
            Settings(data_dir=target), [waiting_type(allowed, begun_again)]
        ) as others:
            ids = (jobs.identity.uuid, others.identity.uuid)
            killed = others.recovery.killed_processes
            await asyncio.wait_for(begun_again.wait(), WAIT_SECONDS)
            seen = [*await jobs.examine(), *await others.examine()]
            await asyncio.to_thread(allowed.touch)
            ended = [await one.wait(job.job_id, timeout=WAIT_SECONDS) for one in (jobs, others)]

    assert ids[0] != ids[1]
    assert killed == 0
    assert seen == []
    assert [(one.status, one.result) for one in ended] == [("completed", {"code": 0})] * 2
    assert [len(one.attempts) for one in ended] == [1, 2]


@pytest.mark.parametrize("copy", [copy_all, back_up, copy_with_linked_files])
async def test_the_original_keeps_its_children(tmp_path: Path, copy: Copy) -> None:
    """A start of a copy ends no process of the original, and runs its own unfinished jobs."""
    await assert_left_alone(tmp_path / "data", tmp_path / "copy", copy)


async def test_a_copy_on_another_disk_is_one_too(tmp_path: Path, other_disk: Path) -> None:
    """Numbers of inodes are small there, and may be those of the original."""
    await assert_left_alone(tmp_path / "data", other_disk / "data", copy_all)


async def test_an_id_is_kept_until_the_directory_is_another(tmp_path: Path) -> None:
    """Over starts and renames; a copy keeps the one it took, and so does the original."""
    data, renamed, backup = tmp_path / "data", tmp_path / "renamed", tmp_path / "backup"

    async def start(directory: Path) -> str:
        async with JobSystem.open(Settings(data_dir=directory)) as jobs:
            return jobs.identity.uuid

    first = [await start(data), await start(data)]
    await asyncio.to_thread(data.rename, renamed)
    first.append(await start(renamed))
    await asyncio.to_thread(copy_all, renamed, backup)
    second = [await start(backup), await start(backup)]
    first.append(await start(renamed))
    # On many file systems what is restored is given the inodes of what was removed.
    await asyncio.to_thread(copy_all, renamed, data)
    await asyncio.to_thread(shutil.rmtree, renamed)
    await asyncio.to_thread(copy_all, data, renamed)
    third = await start(renamed)
    await asyncio.to_thread((renamed / "owner.lock").unlink)
    fourth = await start(renamed)

    assert [len(set(first)), len(set(second))] == [1, 1]
    assert len({first[0], second[0], third, fourth}) == 4
