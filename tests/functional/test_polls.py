"""Polls: projects keep themselves fresh, and nothing is submitted where nothing is new."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.interfaces.remotes import Remotes
from cidx_jobs.model.errors import JobFailure, ProjectNotFoundError, ValidationError
from cidx_jobs.model.ids import ProjectId, UserId, make_copy_id
from cidx_jobs.model.index import SearchRequest
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.key_limits import key_of_host
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import Project
from cidx_jobs.model.webhooks.push_hook import PushDelivery, PushHook
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from cidx_jobs.testing import ManualClock, advance, open_for_tests, submitted
from tests.sync_kit import ALICE, PROJECT, WAIT_SECONDS, Repository, sync_settings

URL = "https://code.example.org/team/{}.git"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository with one commit."""
    made = Repository(tmp_path / "remotes" / "sample")
    made.commit({"a.py": "first = 1\n"})
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings by which repositories of this machine may be synced."""
    return sync_settings(tmp_path, shutdown_grace_seconds=0)


def opened(
    settings: Settings, store: MemoryPersistence | None = None, clock: ManualClock | None = None
) -> JobSystem:
    """Return a system in memory with a clock by hand."""
    return JobSystem(
        settings, persistence=store or MemoryPersistence(), clock=clock or ManualClock()
    )


async def sync(jobs: JobSystem, repository: Repository) -> Job:
    """Sync the repository for the first time."""
    job = await jobs.submit(ALICE, PROJECT, options={"repository_url": repository.url})
    return await jobs.wait(job.job_id, timeout=WAIT_SECONDS)


async def syncs_of(jobs: JobSystem) -> Sequence[Job]:
    """Return all syncs that were submitted."""
    return await submitted(jobs, job_type="repository_sync")


@pytest.mark.slow
async def test_news_is_found_and_synced(settings: Settings, repository: Repository) -> None:
    """Nothing new makes no job; another commit makes one sync, and then there is nothing new."""
    async with opened(settings) as jobs:
        await sync(jobs, repository)
        kept = await jobs.change_project(ALICE, PROJECT, sync_every_seconds=600)

        await advance(jobs, 1800, timeout=WAIT_SECONDS)
        without_news = await syncs_of(jobs)
        commit = repository.commit({"a.py": "second = 2\n"})
        await advance(jobs, 1800, timeout=WAIT_SECONDS)

        found = await syncs_of(jobs)
        project = await jobs.persistence.projects.load_project(ALICE, PROJECT)
        assert project is not None
        hits = await jobs.indexer.search(
            SearchRequest(
                copy_id=project.readable_copy_id,
                text="second",
                user_id=ALICE,
                project_id=PROJECT,
                limit=5,
            )
        )
    assert kept.sync_every_seconds == 600
    assert len(without_news) == 1
    assert [job.status for job in found] == [JobStatus.COMPLETED] * 2
    assert (project.last_commit, project.sync_every_seconds) == (commit, 600)
    assert [hit.path for hit in hits.hits] == ["a.py"]


@pytest.mark.slow
async def test_a_project_is_kept_fresh_over_a_restart(
    settings: Settings, repository: Repository
) -> None:
    """A poll that was due while the server was down is made soon after its start."""
    store, clock = MemoryPersistence(), ManualClock()
    async with opened(settings, store, clock) as jobs:
        await sync(jobs, repository)
        await jobs.change_project(ALICE, PROJECT, sync_every_seconds=604_800)
    repository.commit({"b.py": "more = 1\n"})
    clock.advance(604_800)

    async with opened(settings, store, clock) as jobs:
        await advance(jobs, 60, timeout=WAIT_SECONDS)

        found = await syncs_of(jobs)
    assert len(found) == 2


@pytest.mark.parametrize("every", [9, 604_801, True, "often", 12.5, "never"])
async def test_there_is_no_such_interval(every: Any) -> None:
    """From ten seconds to a week, auto or None."""
    async with open_for_tests() as jobs:
        await known(jobs, "p")

        with pytest.raises(ValidationError, match="/sync_every_seconds"):
            await jobs.change_project(ALICE, "p", sync_every_seconds=every)
        with pytest.raises(ProjectNotFoundError):
            await jobs.change_project(ALICE, "unknown", sync_every_seconds=60)


async def known(jobs: JobSystem, name: str, **members: Any) -> Project:
    """Store a project as if it had been synced."""
    usual = {
        "repository_url": URL.format(name),
        "last_commit": "a" * 40,
        "last_synced_at": jobs.clock.now(),
        "changed_at": jobs.clock.now(),
    }
    project = Project(user_id=ALICE, project_id=ProjectId(name), **{**usual, **members})
    await jobs.persistence.projects.save_project(project)
    return project


class FakeRemotes(Remotes):
    """Remotes that answer what a test says, when it says so."""

    def __init__(self) -> None:
        """Have nothing new."""
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.commit = "a" * 40
        self.fault: JobFailure | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def find_host(self, project: Project) -> str | None:
        """Return the one host, of all that have a url."""
        return project.repository_url and "code.example.org"

    async def ask_commit(self, project: Project, on_answer: Callable[[], None]) -> str:
        """Answer once it may."""
        self.asked.append(project.project_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.may_answer.wait()
        finally:
            self.at_once -= 1
        on_answer()
        if self.fault is not None:
            raise self.fault
        return self.commit


@pytest.fixture
def remotes(monkeypatch: pytest.MonkeyPatch) -> FakeRemotes:
    """Put made-up remotes into the place of git's."""
    made = FakeRemotes()
    monkeypatch.setattr("cidx_jobs.assembly.parts.GitRemotes", lambda *_: made)
    return made


async def test_polls_of_a_host_count_against_its_limit(remotes: FakeRemotes) -> None:
    """However many are due, no more than `git_per_host` are asked at a time beside its syncs."""
    async with open_for_tests(git_per_host=2) as jobs:
        clock = jobs.clock
        assert isinstance(clock, ManualClock)
        remotes.may_answer.clear()
        for number in range(6):
            await known(jobs, f"p{number}")
            await jobs.change_project(ALICE, f"p{number}", sync_every_seconds=10)
        clock.advance(10)
        with pytest.raises(TimeoutError):
            await jobs.wait_until_idle(0.1)

        options = {"repository_url": URL.format("other")}
        job = await jobs.submit(ALICE, "other", options=options)
        place = jobs.manager.queue_status(job)
        remotes.may_answer.set()
        await jobs.cancel(job.job_id)
        await advance(jobs, 5)

        used = jobs.concurrency.holders()
    assert remotes.most_at_once == 2
    assert sorted(set(remotes.asked)) == [f"p{number}" for number in range(6)]
    assert place is not None
    assert place.blocked_by == (f"limit:{key_of_host('code.example.org').name}",)
    assert used == {}


async def test_a_copy_is_asked_for_once(remotes: FakeRemotes) -> None:
    """Of five projects that share a copy one is asked for at each moment, and all learn of it."""
    async with open_for_tests() as jobs:
        copy = make_copy_id("the same")
        for number in range(5):
            await known(jobs, f"p{number}", copy_id=copy)
            await jobs.change_project(ALICE, f"p{number}", sync_every_seconds=60)
        await advance(jobs, 180)
        asked = len(remotes.asked)
        await jobs.manager.set_controls(limits=Limits(max_running_total=1, resources={"git": 0}))
        remotes.commit = "b" * 40
        clock = jobs.clock
        assert isinstance(clock, ManualClock)
        clock.advance(60)
        with pytest.raises(TimeoutError):
            await jobs.wait_until_idle(0.1)

        found = await syncs_of(jobs)
    assert (asked, len(remotes.asked)) == (3, 4)
    assert sorted(job.project_id for job in found) == [f"p{number}" for number in range(5)]


async def test_no_poll_is_made_of_what_is_paused(remotes: FakeRemotes) -> None:
    """A paused user's projects, and all of a server that drains, are left alone until the end."""
    async with open_for_tests() as jobs:
        await known(jobs, "p")
        await jobs.change_project(ALICE, "p", sync_every_seconds=10)
        for pauses in (Pauses(users=frozenset({ALICE})), Pauses(draining=True)):
            await jobs.manager.set_controls(pauses=pauses)
            await advance(jobs, 60)
        asked = len(remotes.asked)
        await jobs.manager.set_controls(pauses=Pauses())
        await advance(jobs, 30)

    assert asked == 0
    assert len(remotes.asked) == 3


async def test_a_project_is_let_go(remotes: FakeRemotes) -> None:
    """With None, and when it is removed, it is asked no more."""
    async with open_for_tests() as jobs:
        for name in ("p", "q"):
            await known(jobs, name)
            await jobs.change_project(ALICE, name, sync_every_seconds=10)
        await jobs.change_project(ALICE, "p", sync_every_seconds=None)
        await jobs.remove_project(ALICE, "q")
        await advance(jobs, 60)

    assert remotes.asked == []


async def test_a_remote_that_cannot_be_asked_is_noted(remotes: FakeRemotes) -> None:
    """The doctor says so until it answers again; no job is made of it."""
    async with open_for_tests() as jobs:
        await known(jobs, "p")
        await jobs.change_project(ALICE, "p", sync_every_seconds=10)
        remotes.fault = JobFailure("there is no repository any more", code="GIT-001")
        await advance(jobs, 30)
        notes = [note.message for note in jobs.list_notes()]
        remotes.fault = None
        await advance(jobs, 10)

        assert notes == ["project p of alice: there is no repository any more"]
        assert jobs.list_notes() == []
        assert await syncs_of(jobs) == []


@pytest.mark.slow
async def test_a_commit_that_cannot_be_synced_is_tried_rarer_and_rarer(
    settings: Settings, remotes: FakeRemotes, repository: Repository
) -> None:
    """Each minute it is seen, and a sync is submitted after 1, 2, 4, ... minutes."""
    gone = repository.url + "-gone"
    async with opened(settings) as jobs:
        await known(jobs, "p", repository_url=gone)
        await jobs.change_project(ALICE, "p", sync_every_seconds=60)
        remotes.commit = "b" * 40
        await advance(jobs, 1200, timeout=WAIT_SECONDS)

        found = await syncs_of(jobs)
    assert len(remotes.asked) == 20
    assert {job.status for job in found} == {JobStatus.FAILED}
    assert 3 <= len(found) <= 5


@pytest.mark.slow
async def test_auto_is_rarer_where_pushes_come(remotes: FakeRemotes) -> None:
    """A project whose code host tells of pushes is asked eight times as rarely."""
    async with open_for_tests() as jobs:
        now = jobs.clock.now()
        for name in ("p", "q"):
            await known(jobs, name)
        hook = PushHook(
            hook_id="h",
            user_id=UserId("alice"),
            project_id=ProjectId("q"),
            sealed_secret="",
            created_at=now,
        )
        told = PushDelivery(at=now, sender="github", kind="push", verdict="submitted")
        await jobs.persistence.push_hooks.save_hook(hook)
        await jobs.persistence.push_hooks.add_delivery("h", told)
        for name in ("p", "q"):
            await jobs.change_project(ALICE, name, sync_every_seconds="auto")
        await advance(jobs, 2700, timeout=WAIT_SECONDS)

    assert remotes.asked.count("p") > 30
    assert 2 < remotes.asked.count("q") < remotes.asked.count("p") / 2


async def test_what_waits_is_not_asked_for(remotes: FakeRemotes) -> None:
    """While a sync of the project is on its way there is nothing to ask."""
    async with open_for_tests() as jobs:
        await known(jobs, "p")
        await jobs.change_project(ALICE, "p", sync_every_seconds=10)
        await jobs.manager.set_controls(limits=Limits(resources={"git": 0}))
        await jobs.submit(ALICE, "p", options={"repository_url": URL.format("p")})
        clock = jobs.clock
        assert isinstance(clock, ManualClock)
        clock.advance(60)
        with pytest.raises(TimeoutError):
            await jobs.wait_until_idle(0.1)

    assert remotes.asked == []
