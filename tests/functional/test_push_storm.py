"""A storm of pushes: each project has at every moment one sync at most that runs, and one next."""

import asyncio
import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.listing import Project
from tests import pushes
from tests.functional.web import REPOSITORY, AioClient, House, open_house

PROJECTS = 50
PUSHES = 1_000
AT_A_TIME = 50
ALICE = UserId("alice")

# A thousand requests take seconds.
pytestmark = pytest.mark.slow


class Line:
    """The syncs of one project that are not done, by what they are doing."""

    def __init__(self) -> None:
        """Begin empty."""
        self.jobs: dict[str, JobStatus] = {}
        self.most: dict[bool, int] = {True: 0, False: 0}
        self.started: list[str] = []

    def note(self, job: Job) -> None:
        """Take a change, and remember how many ran and how many waited at once."""
        if job.status is JobStatus.RUNNING:
            self.started.append(job.job_id)
        self.jobs[job.job_id] = job.status
        if job.done:
            del self.jobs[job.job_id]
        running = sum(status is JobStatus.RUNNING for status in self.jobs.values())
        self.most[True] = max(self.most[True], running)
        self.most[False] = max(self.most[False], len(self.jobs) - running)


async def make_secrets(house: House) -> list[tuple[str, str]]:
    """Store the projects as after a sync, and return the path and the secret of each hook."""
    made = []
    for number in range(PROJECTS):
        project_id = ProjectId(f"code-{number}")
        project = Project(
            user_id=ALICE, project_id=project_id, repository_url=REPOSITORY, branch="main"
        )
        await house.jobs.persistence.projects.save_project(replace(project))
        new = await house.jobs.push_hooks.create(ALICE, project_id)
        made.append((f"/hooks/{new.hook.hook_id}", new.secret))
    return made


async def test_a_storm_of_pushes_makes_no_queue(
    aiohttp_client: AioClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of fifty projects: one runs, one follows, and each push has a later start."""
    turns = itertools.count()

    async def sync(_: JobContext) -> dict[str, Any]:
        # Some turns of the loop, in which more pushes come in.
        for _turn in range(20):
            await asyncio.sleep(0)
        return {}

    # What a sync does is not asked here, and a thousand runs of git would take minutes.
    monkeypatch.setattr(
        "cidx_jobs.assembly.parts.make_repository_sync",
        lambda *_, **__: JobType("repository_sync", sync, exclusive=True),
    )
    lines: dict[str, Line] = defaultdict(Line)
    begun: dict[str, int] = {}

    async def note(job: Job, _: Transition) -> None:
        lines[job.project_id].note(job)
        if job.status is JobStatus.RUNNING:
            begun[job.job_id] = next(turns)

    served: list[tuple[str, int]] = []

    async def push(number: int, hooks: list[tuple[str, str]]) -> None:
        path, secret = hooks[number % PROJECTS]
        delivery = pushes.github(secret=secret, delivery=str(number))
        sent = next(turns)
        answer = await house.ask(
            "POST", path, user=None, data=delivery.body, headers=delivery.headers
        )
        assert answer.status == 202
        served.append(((await answer.json())["job_id"], sent))

    async with open_house(aiohttp_client, tmp_path) as house:
        hooks = await make_secrets(house)
        house.jobs.on_transition(note)
        for beginning in range(0, PUSHES, AT_A_TIME):
            numbers = range(beginning, beginning + AT_A_TIME)
            await asyncio.gather(*(push(number, hooks) for number in numbers))
        await house.jobs.wait_until_idle(timeout=30)

    assert len(lines) == PROJECTS
    assert {line.most[True] for line in lines.values()} == {1}
    assert {line.most[False] for line in lines.values()} <= {1}
    assert [job_id for job_id, sent in served if begun[job_id] < sent] == []
    assert sum(len(line.started) for line in lines.values()) <= PUSHES
