"""What `CopyFiles` promises: one at a time works on a copy, and what nobody uses can go."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cidx_jobs.interfaces.store.files import CopyFiles
from cidx_jobs.model.ids import CopyId, ProjectId, UserId
from cidx_jobs.model.listing import Project
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.copy_files import CopyDirectories
from cidx_jobs.store.memory.persistence import MemoryPersistence
from tests.fakes import WAIT_SECONDS

ALICE, CODE = UserId("alice"), ProjectId("code")
COPY, OTHER = CopyId("copy"), CopyId("other")


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    """Return a data directory that holds nothing yet."""
    return DataDirectory(tmp_path)


@pytest.fixture
async def store() -> AsyncIterator[MemoryPersistence]:
    """Yield what knows the projects: none yet."""
    made = MemoryPersistence()
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def files(directory: DataDirectory, store: MemoryPersistence) -> CopyFiles:
    """Return the one implementation."""
    return CopyDirectories(directory, store.projects)


def make(directory: DataDirectory, copy_id: CopyId) -> Path:
    """Make the files of a copy."""
    place = directory.projects / copy_id
    place.mkdir(parents=True)
    (place / "index.db").write_bytes(b"index")
    return place


async def test_a_copy_that_no_project_names_is_removed(
    directory: DataDirectory, files: CopyFiles
) -> None:
    """Others stay; the second time there is nothing."""
    place, other = make(directory, COPY), make(directory, OTHER)

    was_there = await files.release(COPY)
    is_there_again = await files.release(COPY)

    assert (was_there, is_there_again) == (True, False)
    assert not place.exists()
    assert list(directory.projects.iterdir()) == [other]


async def test_a_copy_that_a_project_names_stays(
    directory: DataDirectory, files: CopyFiles, store: MemoryPersistence
) -> None:
    """Until the last of them is gone."""
    place = make(directory, COPY)
    project = Project(user_id=ALICE, project_id=CODE, copy_id=COPY)
    await store.projects.save_project(project)

    is_removed = await files.release(COPY)
    await store.projects.delete_project(ALICE, CODE)
    is_removed_later = await files.release(COPY)

    assert (is_removed, is_removed_later) == (False, True)
    assert not place.exists()


async def test_a_copy_that_somebody_works_on_stays(
    directory: DataDirectory, files: CopyFiles
) -> None:
    """Whoever asked to remove it does not wait: the next look finds it."""
    place = make(directory, COPY)

    async with files.hold(COPY):
        is_held, is_removed = files.is_held(COPY), await files.release(COPY)

    assert (is_held, is_removed, place.exists()) == (True, False, True)
    assert not files.is_held(COPY)


async def test_one_at_a_time_works_on_a_copy(files: CopyFiles) -> None:
    """Others wait; another copy is nobody's business."""
    order = []

    async def work(copy_id: CopyId, name: str) -> None:
        async with files.hold(copy_id):
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(work(COPY, "first"), work(COPY, "second"), work(OTHER, "other"))

    assert order.index("first ends") < order.index("second begins")
    assert order.index("other begins") < order.index("first ends")


def test_a_copy_is_taken_over_by_another_name(directory: DataDirectory, files: CopyFiles) -> None:
    """Unless there is something under that name already."""
    make(directory, COPY)

    is_taken = files.take_over(COPY, OTHER)
    make(directory, COPY)
    is_taken_again = files.take_over(COPY, OTHER)
    none_is_taken = files.take_over(CopyId("none"), CopyId("new"))

    assert (is_taken, is_taken_again, none_is_taken) == (True, False, False)
    assert (directory.projects / OTHER / "index.db").read_bytes() == b"index"
    assert (directory.projects / COPY).exists()


async def test_the_unused_are_those_that_lie_there_untouched(
    directory: DataDirectory, files: CopyFiles
) -> None:
    """Where nothing lies nothing is found."""
    now = datetime.now(UTC)
    nothing = await files.find_unused(now)
    old = (now - timedelta(days=2)).timestamp()
    os.utime(make(directory, COPY), (old, old))
    make(directory, OTHER)

    unused = await files.find_unused(now - timedelta(days=1))

    assert (list(nothing), list(unused)) == ([], [COPY])


def test_what_a_kill_left_half_removed_is_cleared(
    directory: DataDirectory, files: CopyFiles
) -> None:
    """What is in use stays."""
    place = make(directory, COPY)
    make(directory, CopyId("removed-other.12345678"))

    files.clear()

    assert list(directory.projects.iterdir()) == [place]
