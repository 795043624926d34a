"""What `ProjectFiles` promises: directories removed at once, found unused, and cleared."""

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cidx_jobs.interfaces.store.files import ProjectFiles
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project
from cidx_jobs.settings import DataDirectory, project_directory
from cidx_jobs.store.project_files import ProjectDirectories
from tests.fakes import WAIT_SECONDS

ALICE = UserId("alice")
CODE = ProjectId("code")
OTHER = ProjectId("other")


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    """Return a data directory that holds nothing yet."""
    return DataDirectory(tmp_path)


@pytest.fixture
def files(directory: DataDirectory) -> ProjectFiles:
    """Return the one implementation."""
    return ProjectDirectories(directory)


def make(directory: DataDirectory, project_id: ProjectId) -> Path:
    """Make the files of a project of Alice's."""
    place = project_directory(directory.projects, ALICE, project_id)
    place.mkdir(parents=True)
    (place / "index.db").write_bytes(b"index")
    return place


def test_what_is_taken_away_is_out_of_sight_at_once_and_deleted_later(
    directory: DataDirectory, files: ProjectFiles
) -> None:
    """Another project's files stay; the second time there is nothing."""
    place, other = make(directory, CODE), make(directory, OTHER)

    was_there = asyncio.run(files.take_away(ALICE, CODE))
    is_there_again = asyncio.run(files.take_away(ALICE, CODE))
    left = sorted(directory.projects.iterdir())
    files.clear()

    assert (was_there, is_there_again) == (True, False)
    assert not place.exists()
    assert len(left) == 2
    assert list(directory.projects.iterdir()) == [other]


def test_a_name_that_was_taken_away_can_be_used_again(
    directory: DataDirectory, files: ProjectFiles
) -> None:
    """What was made anew meanwhile is not deleted with what was there before."""
    make(directory, CODE)
    asyncio.run(files.take_away(ALICE, CODE))
    again = make(directory, CODE)

    files.clear()

    assert list(directory.projects.iterdir()) == [again]


def test_the_unused_are_those_that_lie_there_untouched(
    directory: DataDirectory, files: ProjectFiles
) -> None:
    """A project without files is not one of them, however old it is."""
    now = datetime.now(UTC)
    old = (now - timedelta(days=2)).timestamp()
    os.utime(make(directory, CODE), (old, old))
    make(directory, OTHER)
    known = [
        Project(user_id=ALICE, project_id=project_id)
        for project_id in (CODE, OTHER, ProjectId("none"))
    ]

    unused = files.find_unused(known, now - timedelta(days=1))

    assert [project.project_id for project in unused] == [CODE]


async def test_whoever_comes_while_a_project_leaves_waits_for_that(
    files: ProjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that begins finds the place empty, and not a directory that is about to go."""
    may_go_on = threading.Event()

    def rename(_: object) -> bool:
        return may_go_on.wait(WAIT_SECONDS)

    monkeypatch.setattr("cidx_jobs.store.project_files._rename", rename)

    leaving = asyncio.create_task(files.take_away(ALICE, CODE))
    await asyncio.sleep(0)
    coming = asyncio.create_task(files.settle(ALICE, CODE))
    other = asyncio.create_task(files.settle(ALICE, OTHER))
    for _ in range(5):
        await asyncio.sleep(0)
    waits = not coming.done(), not other.done()
    may_go_on.set()
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(coming, leaving)

    assert waits == (True, False)
