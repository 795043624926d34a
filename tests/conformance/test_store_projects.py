"""What every `ProjectStore` promises, also to the submits and runs of jobs."""

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.model.errors import StaleRunError
from cidx_jobs.model.ids import CopyId, ProjectId, UserId
from cidx_jobs.model.job.job import Place
from cidx_jobs.model.listing import Project, RunGuard
from tests.stored import NOON, UNKNOWN, completed, store, store_running, submitted

ALICE = UserId("alice")
CODE = ProjectId("code")


PROJECT = Project(
    user_id=ALICE,
    project_id=CODE,
    repository_url="https://git.example/code",
    branch="main",
    default_branch="main",
    last_commit="0a1b",
    last_synced_at=NOON,
    last_job_id=UNKNOWN,
    files_indexed=7,
    repository_bytes=2**40,
    index_bytes=3,
    phase_seconds={"git_sync": 1.5},
    copy_id=CopyId("c0"),
    last_error={"code": "NET-001"},
)


async def test_projects_come_back_as_they_were_stored(projects: ProjectStore) -> None:
    """By user and project id, of one user or of all; one can be forgotten."""
    bare = Project(user_id=UserId("bob"), project_id=CODE)
    await projects.save_project(bare)
    await projects.save_project(PROJECT)

    assert await projects.load_project(ALICE, CODE) == PROJECT
    assert list(await projects.list_projects(None)) == [PROJECT, bare]
    assert list(await projects.list_projects(ALICE)) == [PROJECT]

    await projects.delete_project(ALICE, CODE)
    await projects.delete_project(ALICE, CODE)

    assert await projects.load_project(ALICE, CODE) is None


@pytest.mark.parametrize("place", [Place.HEAD, Place.FOLLOWER])
async def test_a_project_with_a_job_in_its_line_is_not_forgotten(
    jobs: JobStore, projects: ProjectStore, place: Place
) -> None:
    """A job that was submitted while its project was removed finds its url and branch."""
    await projects.save_project(PROJECT)
    await store(jobs, submitted(place=place))

    await projects.delete_project(ALICE, CODE)
    await projects.forget_copy(ALICE, CODE)

    assert await projects.load_project(ALICE, CODE) == PROJECT


async def test_the_sizes_of_a_project_can_be_forgotten(
    jobs: JobStore, projects: ProjectStore
) -> None:
    """Of that project alone; the rest stays for its next sync. Also when there is none."""
    other = replace(PROJECT, user_id=UserId("bob"))
    await projects.save_project(PROJECT)
    await projects.save_project(other)
    done = await store_running(jobs, place=Place.HEAD)
    await jobs.save_changes([completed(done)])

    await projects.forget_copy(ALICE, CODE)
    await projects.forget_copy(ALICE, ProjectId("none"))

    kept = replace(PROJECT, files_indexed=None, repository_bytes=None, index_bytes=None)
    assert list(await projects.list_projects(None)) == [kept, other]


async def test_a_submit_leaves_the_url_and_branch_of_a_sync_alone(
    jobs: JobStore, projects: ProjectStore
) -> None:
    """A wrong one fails its own job and no later one."""
    await projects.save_project(PROJECT)
    asked = Project(
        user_id=ALICE, project_id=CODE, repository_url="https://git.example/new", branch=None
    )

    await jobs.save_changes([submitted()], projects=[asked])

    assert await projects.load_project(ALICE, CODE) == PROJECT


async def test_the_last_submit_before_the_first_sync_counts(
    jobs: JobStore, projects: ProjectStore
) -> None:
    """Whoever wrote a wrong url submits again, and the project has the right one."""
    first = Project(
        user_id=ALICE, project_id=CODE, repository_url="https://git.example/wrong", branch="x"
    )
    second = replace(first, repository_url="https://git.example/right", branch=None)
    await projects.save_project(first)

    await jobs.save_changes([submitted()], projects=[second])

    assert await projects.load_project(ALICE, CODE) == second


async def test_a_first_submit_makes_the_project(jobs: JobStore, projects: ProjectStore) -> None:
    """The project of a submit is there as soon as the submit is."""
    await jobs.save_changes([submitted()], projects=[PROJECT])

    assert await projects.load_project(ALICE, CODE) == PROJECT


async def test_a_run_sets_the_url_and_branch_that_it_synced(
    jobs: JobStore, projects: ProjectStore
) -> None:
    """They are those of the last successful sync."""
    job = await store_running(jobs)
    await projects.save_project(PROJECT)
    learned = replace(PROJECT, repository_url="https://git.example/new", branch=None)

    await projects.save_project(learned, RunGuard(job_id=job.job_id, run=job.run))

    assert await projects.load_project(ALICE, CODE) == learned


async def test_a_zombie_changes_no_project(jobs: JobStore, projects: ProjectStore) -> None:
    """A run that is over cannot say what it learned."""
    job = await store_running(jobs)
    guard = RunGuard(job_id=job.job_id, run=job.run)
    await store(jobs, completed(job))

    with pytest.raises(StaleRunError):
        await projects.save_project(PROJECT, guard)

    assert await projects.load_project(ALICE, CODE) is None


async def test_an_interval_is_nobody_elses_business(projects: ProjectStore) -> None:
    """How often a remote is asked is kept by whatever else is stored of the project."""
    for project_id, every in (("a", 600), ("b", "auto"), ("c", None)):
        await projects.save_project(Project(user_id=ALICE, project_id=ProjectId(project_id)))
        await projects.set_sync_interval(ALICE, ProjectId(project_id), every)
    await projects.set_sync_interval(ALICE, ProjectId("unknown"), 60)

    await projects.save_project(
        Project(user_id=ALICE, project_id=ProjectId("a"), last_commit="c", changed_at=NOON)
    )

    followed = await projects.list_followed_projects()
    assert [(one.project_id, one.sync_every_seconds) for one in followed] == [
        ("a", 600),
        ("b", "auto"),
    ]
    assert (followed[0].last_commit, followed[0].changed_at) == ("c", NOON)
    await projects.set_sync_interval(ALICE, ProjectId("a"), None)
    assert [one.project_id for one in await projects.list_followed_projects()] == ["b"]
