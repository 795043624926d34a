"""Projects that are removed: on request, and when nobody syncs them any more."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.model.errors import (
    NotIndexedError,
    ProjectBusyError,
    ProjectNotFoundError,
    StorageFullError,
    ValidationError,
)
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.settings import REMOVED_PREFIX, Settings
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.memory.projects import MemoryProjects
from cidx_jobs.system import JobSystem
from tests.fakes import Gate
from tests.functional.web import REPOSITORY, House, problem_of
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

DAY = 86_400.0


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository with one file."""
    repository = Repository(tmp_path / "remotes" / "code")
    repository.commit({"a.py": "needle = 1\n"})
    return repository


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings under which files that are a day old go."""
    return sync_settings(tmp_path, project_retention_seconds=DAY)


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Give an open system on a real database."""
    async with JobSystem(settings) as jobs:
        yield Syncs(jobs)


def files_of(syncs: Syncs) -> list[Path]:
    """Give what lies in the directory of all projects."""
    return sorted(syncs.directory.parent.rglob("*"))


def grow_old(directory: Path, seconds: float) -> None:
    """Let a project's files look as if their last sync was so long ago."""
    changed = directory.stat().st_mtime - seconds
    os.utime(directory, (changed, changed))


async def remove_unused(syncs: Syncs) -> int:
    """Do at once what the system does every hour."""
    return await syncs.jobs._opened().projects.remove_unused()


@pytest.fixture
def patient(tmp_path: Path) -> Settings:
    """Give settings under which files go that are nine days old."""
    return sync_settings(tmp_path, project_retention_seconds=9 * DAY)


async def test_a_copy_that_nobody_syncs_is_told_before_it_goes(
    patient: Settings, repository: Repository
) -> None:
    """A day before, by the names of the projects that use it; not one that was just synced."""
    async with JobSystem(patient) as jobs:
        syncs = Syncs(jobs)
        await syncs.sync(repository.url)
        fresh = await jobs.list_expiring_projects()
        grow_old(syncs.directory, 8.5 * DAY)

        going = await jobs.list_expiring_projects()

    assert list(fresh) == []
    assert [(project.user_id, project.project_id) for project in going] == [(ALICE, PROJECT)]


async def test_a_removed_project_is_gone(syncs: Syncs, repository: Repository) -> None:
    """Copy, index and row: there is nothing left, and a sync has to name the URL again."""
    await syncs.sync(repository.url)

    await syncs.jobs.remove_project(ALICE, PROJECT)

    assert files_of(syncs) == []
    assert await syncs.jobs.persistence.projects.list_projects(None) == ()
    with pytest.raises(NotIndexedError):
        await syncs.search("needle")
    with pytest.raises(ProjectNotFoundError):
        await syncs.jobs.remove_project(ALICE, PROJECT)
    with pytest.raises(ValidationError, match="has no repository yet"):
        await syncs.sync()


async def test_a_removed_project_can_be_synced_again(syncs: Syncs, repository: Repository) -> None:
    """It begins anew: everything is added, and nothing of before is compared with."""
    await syncs.sync(repository.url)
    await syncs.jobs.remove_project(ALICE, PROJECT)

    job = await syncs.sync(repository.url)

    assert job.result is not None
    assert (job.result["commit_before"], job.result["files_added"]) == (None, 1)
    assert await syncs.search("needle") == [("a.py", 1, "needle = 1")]


async def test_other_projects_stay(syncs: Syncs, repository: Repository) -> None:
    """Those of the same user, and those of the same name."""
    await syncs.sync(repository.url)
    options = {"repository_url": repository.url}
    for user, project in (("bob", PROJECT), ("alice", "other")):
        job = await syncs.jobs.submit(user, project, options=options)
        await syncs.jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    await syncs.jobs.remove_project("bob", PROJECT)
    await syncs.jobs.remove_project("alice", "other")

    assert await syncs.search("needle") == [("a.py", 1, "needle = 1")]
    assert [
        known.user_id for known in await syncs.jobs.persistence.projects.list_projects(None)
    ] == [ALICE]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_project_with_a_job_is_not_removed(
    settings: Settings, repository: Repository, *, waits: bool
) -> None:
    """Whether the job waits or runs, and of whatever type it is."""
    gate = Gate()
    async with JobSystem(settings, [gate.job_type]) as jobs:
        syncs = Syncs(jobs)
        await syncs.sync(repository.url)
        job_type = "repository_sync" if waits else "gated"
        job = await jobs.submit(ALICE, PROJECT, job_type=job_type, hold=waits)
        if not waits:
            await gate.arrived()
        grow_old(syncs.directory, 2 * DAY)

        with pytest.raises(ProjectBusyError) as caught:
            await jobs.remove_project(ALICE, PROJECT)
        assert await remove_unused(syncs) == 0
        assert await syncs.search("needle") != []
        assert caught.value.members["active_job_id"] == job.job_id

        gate.open()
        await (jobs.cancel(job.job_id) if waits else jobs.wait(job.job_id, timeout=WAIT_SECONDS))
        await jobs.remove_project(ALICE, PROJECT)
        assert files_of(syncs) == []


class SlowToForget(MemoryProjects):
    """A store in memory that lets a test act before a project is forgotten, and can be full."""

    def __init__(self) -> None:
        """Begin with room."""
        super().__init__(MemoryDatabase())
        self.is_asked = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.is_full = False

    async def delete_project(self, *names: Any) -> None:
        """Wait until the test lets it."""
        if self.is_full:
            raise StorageFullError
        self.is_asked.set()
        await self.goes_on.wait()
        await super().delete_project(*names)


async def test_a_sync_that_comes_meanwhile_begins_anew(
    settings: Settings, repository: Repository
) -> None:
    """What it makes is not removed, and its project stays known."""
    store = SlowToForget()
    async with syncing(settings, MemoryPersistence(store.database, projects=store)) as syncs:
        await syncs.sync(repository.url)
        removal = asyncio.create_task(syncs.jobs.remove_project(ALICE, PROJECT))
        await store.is_asked.wait()
        job = await syncs.jobs.submit(ALICE, PROJECT, options={"repository_url": repository.url})
        store.goes_on.set()
        await removal
        ended = await syncs.jobs.wait(job.job_id, timeout=WAIT_SECONDS)

        assert ended.status is JobStatus.COMPLETED, ended.error
        assert await syncs.search("needle") != []
        known = await store.load_project(ALICE, PROJECT)
        assert known is not None
        assert known.repository_url == repository.url


async def test_a_removal_that_could_not_be_stored_is_made_again(
    settings: Settings, repository: Repository
) -> None:
    """On a full disk the files go, which makes room; the project can be removed, or synced."""
    store = SlowToForget()
    store.goes_on.set()
    async with syncing(settings, MemoryPersistence(store.database, projects=store)) as syncs:
        await syncs.sync(repository.url)
        store.is_full = True
        with pytest.raises(StorageFullError):
            await syncs.jobs.remove_project(ALICE, PROJECT)
        assert files_of(syncs) == []
        store.is_full = False

        again = await syncs.sync()
        assert again.status is JobStatus.COMPLETED, again.error
        await syncs.jobs.remove_project(ALICE, PROJECT)
        assert await store.list_projects(None) == ()


async def test_a_removal_that_was_killed_is_ended_by_the_next_start(
    settings: Settings, repository: Repository
) -> None:
    """What was renamed and not deleted yet goes; the project can be synced as before."""
    async with JobSystem(settings) as jobs:
        syncs = Syncs(jobs)
        await syncs.sync(repository.url)
    place = syncs.directory
    shutil.move(place, place.with_name(f"{REMOVED_PREFIX}{place.name}.1"))

    async with JobSystem(settings) as jobs:
        syncs = Syncs(jobs)
        assert jobs.recovery.swept_files == 1
        assert files_of(syncs) == []
        job = await syncs.sync()
        assert job.status is JobStatus.COMPLETED, job.error
        assert await syncs.search("needle") != []


async def test_files_that_nobody_syncs_go(syncs: Syncs, repository: Repository) -> None:
    """The project stays known, without sizes; its next sync needs no URL and begins anew."""
    await syncs.sync(repository.url)
    grow_old(syncs.directory, 2 * DAY)

    assert await remove_unused(syncs) == 1
    assert await remove_unused(syncs) == 0

    assert files_of(syncs) == []
    known = await syncs.jobs.persistence.projects.load_project(ALICE, PROJECT)
    assert known is not None
    assert (known.files_indexed, known.repository_bytes, known.index_bytes) == (None, None, None)
    job = await syncs.sync()
    assert job.result is not None
    assert job.result["files_added"] == 1


async def test_a_sync_keeps_the_files(syncs: Syncs, repository: Repository) -> None:
    """Also one that finds nothing new, and one that fails: somebody wants the project."""
    await syncs.sync(repository.url)
    grow_old(syncs.directory, 2 * DAY)
    await syncs.sync()
    assert await remove_unused(syncs) == 0

    grow_old(syncs.directory, 2 * DAY)
    repository.git("symbolic-ref", "HEAD", "refs/heads/nobody")
    assert (await syncs.sync()).status is JobStatus.FAILED
    assert await remove_unused(syncs) == 0
    assert await syncs.search("needle") != []


async def test_the_files_of_a_sync_that_never_came_to_an_end_go(
    syncs: Syncs, repository: Repository
) -> None:
    """What was fetched before it was killed takes room, too; one that fails leaves nothing."""
    await syncs.sync(repository.url, branch="none")
    left_by_failure = files_of(syncs)
    place = syncs.directory.with_name("0123")
    (place / "repo.git").mkdir(parents=True)

    grow_old(place, DAY)
    removed_early = await remove_unused(syncs)
    grow_old(place, 3 * DAY)
    removed_late = await remove_unused(syncs)

    assert (removed_early, removed_late) == (0, 1)
    assert left_by_failure == files_of(syncs) == []


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    """Give settings for the same directory under which nothing goes."""
    return sync_settings(tmp_path)


async def test_unused_files_are_looked_for_at_a_start(
    settings: Settings, kept: Settings, repository: Repository
) -> None:
    """And every hour from then on; without the setting they stay for ever."""
    async with JobSystem(settings) as jobs:
        syncs = Syncs(jobs)
        await syncs.sync(repository.url)
        grow_old(syncs.directory, timedelta(days=2).total_seconds())

    async with JobSystem(kept) as jobs:
        assert await remove_unused(Syncs(jobs)) == 0
    assert files_of(syncs) != []

    async with JobSystem(settings):
        async with asyncio.timeout(WAIT_SECONDS):
            while list(syncs.directory.parent.iterdir()):  # noqa: ASYNC110 - the files are another thread's
                await asyncio.sleep(0.01)


async def test_a_project_is_removed_over_http(house: House) -> None:
    """204 once no job of it is left; of another user's project nothing is said."""
    path = "/api/projects/code"
    body = {"project_id": "code", "repository_url": REPOSITORY, "hold": True}
    job = await (await house.ask("POST", "/api/sync", json=body)).json()

    busy = await house.ask("DELETE", path)
    foreign = await house.ask("DELETE", path, user="bob")
    await house.ask("DELETE", f"/api/jobs/{job['job_id']}")
    removed = await house.ask("DELETE", path)

    problem = problem_of(busy, await busy.json())
    assert (busy.status, problem["code"]) == (409, "project_busy")
    assert problem["active_job_id"] == job["job_id"]
    assert problem_of(foreign, await foreign.json())["code"] == "project_not_found"
    assert (removed.status, await removed.read()) == (204, b"")
    assert (await house.ask("GET", path)).status == 404
    assert (await house.ask("DELETE", path)).status == 404
