"""Why a job waits, and where it stands, as those see it who ask over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import Retryable
from cidx_jobs.model.job.job import JobStatus
from tests.fakes import Gate
from tests.functional.web import AioClient, House, open_house

TOTAL = 3


@pytest.fixture
def beside() -> Gate:
    """Give the gate of the jobs that need what others have: a unit, or their project."""
    return Gate("exclusive", exclusive=True, resources=("gpu",))


@pytest.fixture
async def small(aiohttp_client: AioClient, tmp_path: Path, beside: Gate) -> AsyncIterator[House]:
    """Give a server with three slots, two of them for one user, and one gpu."""

    async def later(_: JobContext) -> dict[str, object]:
        raise Retryable(after=3_600)

    types = [beside.job_type, JobType("later", later)]
    limits: dict[str, Any] = {
        "max_running_total": TOTAL,
        "max_running_per_user": 2,
        "resources": {"gpu": 1},
    }
    async with open_house(aiohttp_client, tmp_path, types, **limits) as opened:
        yield opened
        beside.open()


async def queue_of(house: House, job: dict[str, Any], user: str = "alice") -> dict[str, Any]:
    """Ask for the job; give the part that tells of its waiting."""
    answer = await house.ask("GET", f"/api/jobs/{job['job_id']}", user=user)
    queue: dict[str, Any] = (await answer.json())["queue"]
    return queue


async def test_full_slots_are_named(small: House) -> None:
    """user_limit and total_limit: first the one, then both, and for another user the other."""
    for _ in range(2):
        await small.submit_running()
    own = await small.submit()
    before = await queue_of(small, own)
    await small.submit_running("bob")
    others = await small.submit("bob")

    full = await queue_of(small, own)
    of_bob = await queue_of(small, others, "bob")

    assert (before["position"], before["blocked_by"]) == (1, ["user_limit"])
    assert (full["position"], full["blocked_by"]) == (1, ["user_limit", "total_limit"])
    assert (of_bob["position"], of_bob["blocked_by"]) == (2, ["total_limit"])
    assert of_bob["length"] == 2


async def test_how_many_wait_is_told_as_of_now(small: House) -> None:
    """Who reads a job twice sees a submit that was answered in between."""
    for _ in range(2):
        await small.submit_running()
    job = await small.submit()
    before = await queue_of(small, job)

    await small.submit()

    after = await queue_of(small, job)
    assert (before["length"], after["length"], after["position"]) == (1, 2, 1)


async def test_what_somebody_else_has_is_named(small: House, beside: Gate) -> None:
    """resource:gpu for another project; project_busy for the same, which does not queue yet."""
    await small.submit(job_type="exclusive")
    await beside.arrived(1)
    follower = await small.submit(job_type="exclusive")
    other = await small.submit(job_type="exclusive", project_id="q")

    same_project = await queue_of(small, follower)
    other_project = await queue_of(small, other)

    assert (same_project["position"], same_project["blocked_by"]) == (None, ["project_busy"])
    assert (other_project["position"], other_project["blocked_by"]) == (1, ["resource:gpu"])


async def test_what_was_asked_for_is_named(small: House) -> None:
    """Held and start_at; both where both were asked for."""
    start_at = "2999-01-01T00:00:00Z"
    held = await queue_of(small, await small.submit(hold=True))
    later = await queue_of(small, await small.submit(start_at=start_at))
    both = await queue_of(small, await small.submit(hold=True, start_at=start_at))

    assert [one["position"] for one in (held, later, both)] == [None] * 3
    assert [one["blocked_by"] for one in (held, later, both)] == [
        ["held"],
        ["start_at"],
        ["held", "start_at"],
    ]


async def test_a_back_off_is_named(small: House) -> None:
    """retry_backoff: it has its rank, and whoever is behind it starts."""
    job = await small.submit(job_type="later")
    await small.until_version(job["job_id"], 4)

    waiting = await queue_of(small, job)
    await small.submit_running()

    assert (waiting["position"], waiting["blocked_by"]) == (1, ["retry_backoff"])
    assert (
        waiting["estimated_wait_seconds"] is None or waiting["estimated_wait_seconds"][0] > 3_500
    )


async def test_what_the_operator_stopped_is_named(small: House) -> None:
    """paused, draining, or both."""
    paths = ("pause", "drain", "resume")
    job: dict[str, Any] = {}
    seen = []
    for path in paths:
        answer = await small.ask("POST", f"/api/admin/{path}", user="root", json={})
        assert answer.status in {200, 202}
        job = job or await small.submit()
        seen.append((await queue_of(small, job))["blocked_by"])

    assert seen == [["paused"], ["draining", "paused"], ["draining"]]
    await small.ask("DELETE", "/api/admin/drain", user="root")
    await small.until(job["job_id"], JobStatus.RUNNING)


async def test_a_newcomer_waits_about_one_turn(small: House) -> None:
    """Behind forty jobs of another user they stand second, and are among the next to start."""
    await small.ask("PATCH", "/api/admin/limits", user="root", json={"max_running_total": 2})
    flood = [await small.submit(project_id=f"p{number}") for number in range(40)]
    await small.gate.arrived(2)
    newcomer = await small.submit("bob")

    place = await queue_of(small, newcomer, "bob")
    last = await queue_of(small, flood[-1])
    small.gate.open()
    await small.until(newcomer["job_id"], JobStatus.COMPLETED)

    users: list[str] = [context.job.user_id for context in small.gate.contexts]
    assert (place["position"], place["blocked_by"]) == (2, ["total_limit"])
    assert (last["position"], last["length"]) == (39, 39)
    assert users.index("bob") in {2, 3}
