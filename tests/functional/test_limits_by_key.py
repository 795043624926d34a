"""Limits by key: of all jobs with a key at most so many run, however they were submitted."""

from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.job_types import JobType
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Pauses
from cidx_jobs.settings import Settings
from cidx_jobs.system import JobSystem
from cidx_jobs.testing import Gate
from tests.fakes import WAIT_SECONDS
from tests.functional.web import AioClient, House, open_house, problem_of

KEY = "tenant:7"


async def blocked_by(house: House, job: dict[str, Any]) -> list[str]:
    """Return why the job waits, as its document says."""
    answer = await house.ask("GET", f"/api/jobs/{job['job_id']}")
    document = await answer.json()
    assert document["status"] == "queued"
    words: list[str] = document["queue"]["blocked_by"]
    return words


async def test_of_a_key_no_more_run_than_it_allows(house: House) -> None:
    """The third waits and says why; who has another key, or none, goes before it."""
    first = await house.submit_running(limits={KEY: 2})
    await house.submit_running(limits={KEY: 2})

    third = await house.submit(limits={KEY: 2})
    await house.submit_running(limits={"tenant:8": 1})
    await house.submit_running()

    assert third["limits"] == {KEY: 2}
    assert third["queue"]["blocked_by"] == [f"limit:{KEY}"]
    await house.ask("DELETE", f"/api/jobs/{first['job_id']}")
    await house.until(third["job_id"], JobStatus.RUNNING)


async def test_of_a_key_the_newest_number_counts(house: House) -> None:
    """A higher one lets those that wait go on; a lower one ends nobody, and keeps others out."""
    await house.submit_running(limits={KEY: 1})
    waiting = await house.submit(limits={KEY: 1})
    assert await blocked_by(house, waiting) == [f"limit:{KEY}"]

    await house.submit(limits={KEY: 3})
    await house.until(waiting["job_id"], JobStatus.RUNNING)
    last = await house.submit(limits={KEY: 1})

    assert await blocked_by(house, last) == [f"limit:{KEY}"]
    assert house.jobs.manager.slots.running == 3


async def test_a_key_of_a_submit_is_its_users_own(house: House) -> None:
    """What alice calls her key says nothing about bob's of the same name."""
    await house.submit_running(limits={KEY: 1})

    job = await house.submit_running(user="bob", limits={KEY: 1})

    assert (await house.jobs.get(job["job_id"])).status is JobStatus.RUNNING


async def test_a_key_of_a_job_type_is_everybodys(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Of two types that name it one job runs at a time, whoever submits them."""
    gate = Gate("narrow", limits=lambda options: {f"printer:{options['printer']}": 1})
    other = Gate("other", limits={"printer:a": 1})
    async with open_house(aiohttp_client, tmp_path, [gate.job_type, other.job_type]) as house:
        await house.submit(job_type="narrow", options={"printer": "a"})
        await gate.arrived()

        second = await house.submit(user="bob", job_type="other")
        await house.submit(user="bob", job_type="narrow", options={"printer": "b"})
        await gate.arrived(2)
        body = {"job_type": "narrow", "project_id": "p"}
        answer = await house.ask("POST", "/api/jobs", json=body)

        assert second["queue"]["blocked_by"] == ["limit:printer:a"]
        problem = problem_of(answer, await answer.json())
        assert (answer.status, problem["errors"][0]["pointer"]) == (422, "/options")
        gate.open()
        other.open()


@pytest.mark.parametrize(
    ("limits", "pointer"),
    [
        ({f"k{number}": 1 for number in range(9)}, "/limits"),
        ({"": 1}, "/limits/"),
        ({"a b": 1}, "/limits/a b"),
        ({"k" * 129: 1}, f"/limits/{'k' * 129}"),
        ({"a/b": 0}, "/limits/a~1b"),
        ({"a": 1_001}, "/limits/a"),
        ({"a": True}, "/limits/a"),
        ({"a": 1.5}, "/limits/a"),
        ({"a": "1"}, "/limits/a"),
        ([], "/limits"),
    ],
    ids=str,
)
async def test_limits_that_cannot_be_kept_are_refused(
    house: House, limits: object, pointer: str
) -> None:
    """422 at the member that is wrong."""
    body = {"job_type": "gated", "project_id": "p", "limits": limits}

    answer = await house.ask("POST", "/api/jobs", json=body)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["errors"][0]["pointer"]) == (422, pointer)


async def test_a_joined_job_obeys_the_keys_of_both_requests(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """It serves both; of a key that both name the newer number counts, and eight are the most."""
    gate = Gate("sync", exclusive=True)
    async with open_house(aiohttp_client, tmp_path, [gate.job_type]) as house:
        holder = await house.submit_running(limits={"c": 1})
        await house.jobs.manager.set_controls(pauses=Pauses(everything=True))
        first = await house.submit(job_type="sync", limits={"a": 1, "b": 1})

        joined = await house.submit(job_type="sync", limits={"b": 2, "c": 1})
        many = {f"k{number}": 1 for number in range(8)}
        body = {"job_type": "sync", "project_id": "p", "limits": many}
        answer = await house.ask("POST", "/api/jobs", json=body)

        assert joined["job_id"] == first["job_id"]
        assert joined["limits"] == {"a": 1, "b": 2, "c": 1}
        assert answer.status == 422
        await house.jobs.manager.set_controls(pauses=Pauses())
        assert await blocked_by(house, joined) == ["limit:c"]
        await house.ask("DELETE", f"/api/jobs/{holder['job_id']}")
        await gate.arrived()
        gate.open()


async def test_keys_are_obeyed_over_restarts(tmp_path: Path) -> None:
    """They stand in the rows: of five that wait two run, with the number of the newest."""
    settings = Settings(data_dir=tmp_path, shutdown_grace_seconds=0)
    gate = Gate()
    async with JobSystem.open(settings, job_types=[gate.job_type]) as jobs:
        for number in (1, 1, 1, 1, 2):
            await jobs.submit("ann", "p", job_type="gated", limits={KEY: number})
        await gate.arrived(2)

    again = Gate()
    async with JobSystem.open(settings, job_types=[again.job_type]) as jobs:
        await again.arrived(2)
        running = jobs.manager.slots.running
        again.open()
        for job in await jobs.manager.list_user_jobs(UserId("ann")):
            await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (running, again.most_running) == (2, 2)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"a": 0}, ValueError),
        ({"a b": 1}, ValueError),
        ({f"k{number}": 1 for number in range(9)}, ValueError),
        (7, TypeError),
    ],
    ids=str,
)
def test_a_job_type_with_limits_that_cannot_be_kept_is_none(
    limits: Any, error: type[Exception]
) -> None:
    """It is told where it is made, not at each submit."""
    with pytest.raises(error):
        JobType("narrow", _never_runs, limits=limits)


async def _never_runs(_: object) -> dict[str, Any]:
    raise AssertionError
