"""Projects that sync the same thing share its copy and index, and each sees what it may."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cidx_jobs.model.errors import NotIndexedError
from cidx_jobs.model.ids import ProjectId, UserId, make_lone_copy_id
from cidx_jobs.model.index import SearchRequest
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.listing import Project
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from tests.sync_kit import (
    ALICE,
    PROJECT,
    WAIT_SECONDS,
    Repository,
    Syncs,
    find_copy,
    sync_settings,
    syncing,
)

BOB = UserId("bob")

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings for repositories on this machine."""
    return sync_settings(tmp_path)


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Give a system that syncs."""
    async with syncing(settings) as made:
        yield made


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository with one file."""
    made = Repository(tmp_path / "remotes" / "code")
    made.commit({"a.py": "needle = 1\n"})
    return made


async def sync_as(syncs: Syncs, user_id: UserId, url: str | None = None, **options: object) -> Job:
    """Sync a user's project to its end."""
    given = options if url is None else {"repository_url": url, **options}
    job = await syncs.jobs.submit(user_id, PROJECT, options=given, max_attempts=1)
    return await syncs.jobs.wait(job.job_id, timeout=WAIT_SECONDS)


async def project_of(syncs: Syncs, user_id: UserId) -> Project:
    """Give what is known of a user's project."""
    project = await syncs.jobs.persistence.projects.load_project(user_id, PROJECT)
    assert project is not None
    return project


async def find(syncs: Syncs, user_id: UserId, text: str) -> int:
    """Search as a user, and count the lines."""
    project = await project_of(syncs, user_id)
    page = await syncs.jobs.indexer.search(
        SearchRequest(
            copy_id=project.readable_copy_id,
            text=text,
            user_id=user_id,
            project_id=PROJECT,
            limit=50,
        )
    )
    return len(page.hits)


def copies_of(syncs: Syncs) -> list[Path]:
    """List the directories of copies."""
    return sorted(DataDirectory(syncs.jobs.settings.data_dir).projects.iterdir())


async def test_the_second_who_syncs_the_same_finds_nothing_new(
    syncs: Syncs, repository: Repository
) -> None:
    """There is one copy, and both can search it."""
    await sync_as(syncs, ALICE, repository.url)

    second = await sync_as(syncs, BOB, repository.url)

    assert second.result is not None
    assert (second.result["files_added"], second.result["files_indexed"]) == (0, 0)
    assert second.result["files_total"] == 1
    assert len(copies_of(syncs)) == 1
    assert [await find(syncs, user, "needle") for user in (ALICE, BOB)] == [1, 1]


async def test_nobody_sees_a_copy_before_a_sync_of_their_own(
    syncs: Syncs, repository: Repository
) -> None:
    """A submit that waits, or failed, shows nothing of what is there."""
    await sync_as(syncs, ALICE, repository.url)

    await syncs.jobs.submit(BOB, PROJECT, options={"repository_url": repository.url}, hold=True)

    with pytest.raises(NotIndexedError):
        await find(syncs, BOB, "needle")


async def test_who_is_not_let_in_any_more_sees_nothing(
    syncs: Syncs, repository: Repository, tmp_path: Path
) -> None:
    """Until a sync of their own is let in again; others go on meanwhile."""
    for user in (ALICE, BOB):
        await sync_as(syncs, user, repository.url)
    away = repository.path.rename(tmp_path / "away")
    refused = await sync_as(syncs, BOB)

    assert refused.error is not None
    assert refused.error.code == "GIT-001"
    with pytest.raises(NotIndexedError, match="GIT-001"):
        await find(syncs, BOB, "needle")
    assert await find(syncs, ALICE, "needle") == 1

    away.rename(repository.path)
    await sync_as(syncs, BOB)
    assert await find(syncs, BOB, "needle") == 1
    assert (await project_of(syncs, BOB)).last_error is None


async def test_a_wrong_url_shuts_nobody_out_of_the_right_one(
    syncs: Syncs, repository: Repository, tmp_path: Path
) -> None:
    """It fails its own job; the project says why, and is searched on."""
    await sync_as(syncs, ALICE, repository.url)

    failed = await sync_as(syncs, ALICE, str(tmp_path / "remotes" / "none"))

    assert failed.status is JobStatus.FAILED
    error = (await project_of(syncs, ALICE)).last_error
    assert error is not None
    assert (error["code"], error["job_id"]) == ("GIT-001", failed.job_id)
    assert await find(syncs, ALICE, "needle") == 1


async def test_a_copy_goes_with_the_last_project_that_uses_it(
    syncs: Syncs, repository: Repository
) -> None:
    """Whoever removes theirs before takes nothing from the others."""
    for user in (ALICE, BOB):
        await sync_as(syncs, user, repository.url)

    await syncs.jobs.remove_project(ALICE, PROJECT)
    found = await find(syncs, BOB, "needle")
    await syncs.jobs.remove_project(BOB, PROJECT)

    assert found == 1
    assert copies_of(syncs) == []


async def test_a_project_that_moves_leaves_its_copy_to_the_others(
    syncs: Syncs, repository: Repository, tmp_path: Path
) -> None:
    """And where there are none, the copy goes."""
    other = Repository(tmp_path / "remotes" / "other")
    other.commit({"b.py": "another\n"})
    for user in (ALICE, BOB):
        await sync_as(syncs, user, repository.url)

    await sync_as(syncs, ALICE, other.url)
    shared = len(copies_of(syncs))
    found = await find(syncs, BOB, "needle")
    await sync_as(syncs, BOB, other.url)

    assert (shared, found) == (2, 1)
    assert len(copies_of(syncs)) == 1
    assert [await find(syncs, user, "another") for user in (ALICE, BOB)] == [1, 1]


@pytest.mark.parametrize(
    ("first", "second"),
    [({"branch": "main"}, {"branch": "next"}), ({"branch": "main"}, {"branch": None})],
)
async def test_other_branches_are_other_copies(
    syncs: Syncs, repository: Repository, first: dict[str, str], second: dict[str, str]
) -> None:
    """What one of them has is no business of the other's."""
    repository.git("branch", "next")

    await sync_as(syncs, ALICE, repository.url, **first)
    await sync_as(syncs, BOB, repository.url, **second)

    assert len(copies_of(syncs)) == 2


async def test_one_sync_of_a_copy_runs_at_a_time(syncs: Syncs, repository: Repository) -> None:
    """The others wait in the queue without a slot, and say for what."""
    await syncs.jobs.pause()
    options = {"repository_url": repository.url}
    jobs = [await syncs.jobs.submit(user, PROJECT, options=options) for user in (ALICE, BOB)]

    keys = [
        [(limit.key.name, limit.limit) for limit in job.limits if "copy:" in limit.key.name]
        for job in jobs
    ]
    await syncs.jobs.resume()
    ended = [await syncs.jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in jobs]

    assert keys[0] == keys[1] != []
    assert [limit for _, limit in keys[0]] == [1]
    first, second = (job for job in ended if job.started_at is not None)
    assert second.started_at is not None
    assert first.finished_at is not None
    assert second.started_at >= first.finished_at


async def test_a_copy_of_before_is_taken_over(settings: Settings, repository: Repository) -> None:
    """A project that had a copy for itself fetches and indexes nothing anew."""
    store = MemoryPersistence()
    lone = make_lone_copy_id(ALICE, ProjectId(PROJECT))
    async with syncing(settings, store) as syncs:
        await sync_as(syncs, ALICE, repository.url)
        place = find_copy(DataDirectory(settings.data_dir).projects)
        place.rename(place.with_name(lone))
        await store.projects.save_project(replace(await project_of(syncs, ALICE), copy_id=lone))
        before = await find(syncs, ALICE, "needle")

        job = await sync_as(syncs, ALICE)

        assert job.result is not None
        assert (before, job.result["files_indexed"], job.result["files_total"]) == (1, 0, 1)
        assert copies_of(syncs) == [place]
        assert await find(syncs, ALICE, "needle") == 1


async def test_many_users_of_one_repository_take_the_room_of_one(
    syncs: Syncs, repository: Repository
) -> None:
    """Ten who sync at the same time, too: the first fetches, the others find nothing new."""
    users = [UserId(f"user{number}") for number in range(10)]

    ended = await asyncio.gather(*(sync_as(syncs, user, repository.url) for user in users))

    indexed = sorted(job.result["files_indexed"] for job in ended if job.result is not None)
    assert indexed == [0] * 9 + [1]
    assert len(copies_of(syncs)) == 1
