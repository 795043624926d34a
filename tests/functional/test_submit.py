"""Submitting over HTTP: what is answered to whom, and what is stored (api.md 1.3)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.model.ids import is_job_id
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Pauses
from cidx_jobs.store.memory.persistence import MemoryPersistence
from tests.fakes import WAIT_SECONDS
from tests.functional.web import REPOSITORY, AioClient, House, open_house, problem_of

GATED = {"job_type": "gated", "project_id": "p"}


async def test_a_new_job_is_accepted(house: House) -> None:
    """202 with the job, where it is, its tag, and when to ask again."""
    answer = await house.ask("POST", "/api/jobs", json=GATED | {"labels": {"origin": "ci"}})

    job = await answer.json()
    assert answer.status == 202
    assert is_job_id(job["job_id"])
    assert (job["status"], job["version"], job["user_id"]) == ("queued", 2, "alice")
    assert job["labels"] == {"origin": "ci"}
    assert answer.headers["Location"] == job["links"]["self"] == f"/api/jobs/{job['job_id']}"
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.headers["Retry-After"] == "1"


async def test_a_sync_takes_its_repository_at_the_top(house: House) -> None:
    """It becomes the option; a held job is created and does not run."""
    body = {"project_id": "p", "repository_url": REPOSITORY, "hold": True}

    answer = await house.ask("POST", "/api/sync", json=body)

    job = await answer.json()
    assert (answer.status, job["job_type"], job["status"]) == (202, "repository_sync", "created")
    assert job["options"]["repository_url"] == REPOSITORY
    assert job["queue"]["position"] is None
    assert job["queue"]["blocked_by"] == ["held"]


async def pause(house: House) -> None:
    """Let nothing start."""
    await house.jobs.manager.set_controls(pauses=Pauses(everything=True))


async def test_a_second_sync_joins_the_first(house: House) -> None:
    """200 with the job that waits already."""
    await pause(house)
    body = {"project_id": "p", "repository_url": REPOSITORY}
    first = await (await house.ask("POST", "/api/sync", json=body)).json()

    answer = await house.ask("POST", "/api/sync", json=body)

    assert (answer.status, (await answer.json())["job_id"]) == (200, first["job_id"])


async def test_a_joined_job_takes_no_more_labels_than_any(house: House) -> None:
    """32 with those that it has: 422 for who would bring one more, and nothing is changed."""
    await pause(house)
    labels = {f"l{number}": "" for number in range(32)}
    body = {"project_id": "p", "repository_url": REPOSITORY, "labels": labels}
    first = await (await house.ask("POST", "/api/sync", json=body)).json()

    answer = await house.ask("POST", "/api/sync", json=body | {"labels": {"l32": ""}})

    problem = problem_of(answer, await answer.json())
    after = await house.jobs.get(first["job_id"])
    assert (answer.status, problem["errors"][0]["pointer"]) == (422, "/labels")
    assert (after.version, after.labels) == (2, labels)


async def test_a_refused_conflict_names_the_active_job(house: House) -> None:
    """409 with the id of what is in the way."""
    await pause(house)
    body = {"project_id": "p", "repository_url": REPOSITORY}
    first = await (await house.ask("POST", "/api/sync", json=body)).json()

    answer = await house.ask("POST", "/api/sync", json=body | {"on_conflict": "reject"})

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (409, "project_busy")
    assert problem["active_job_id"] == first["job_id"]


async def test_a_replay_gives_the_one_job_as_it_is_now(house: House) -> None:
    """202 again, marked, with the members in any order; the job has moved on meanwhile."""
    headers = {"Idempotency-Key": "k-1"}
    first = await house.ask("POST", "/api/jobs", json=GATED, headers=headers)
    await house.gate.arrived(1)

    body = dict(reversed(list(GATED.items())))
    again = await house.ask("POST", "/api/jobs", json=body, headers=headers)

    job = await again.json()
    assert (first.status, again.status) == (202, 202)
    assert job["job_id"] == (await first.json())["job_id"]
    assert job["status"] == "running"
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/jobs", GATED | {"priority": 1}),
        ("/api/sync", {"project_id": "p", "repository_url": REPOSITORY, "hold": True}),
    ],
)
async def test_a_key_is_for_one_request(house: House, path: str, body: dict[str, Any]) -> None:
    """Another path or body with the same key is 422."""
    headers = {"Idempotency-Key": "k-1"}
    await house.ask("POST", "/api/jobs", json=GATED, headers=headers)

    answer = await house.ask("POST", path, json=body, headers=headers)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (422, "idempotency_key_reused")


async def test_keys_of_two_users_do_not_meet(house: House) -> None:
    """The same key of somebody else is another key."""
    headers = {"Idempotency-Key": "k-1"}
    first = await house.ask("POST", "/api/jobs", json=GATED, headers=headers)
    other = await house.ask("POST", "/api/jobs", json=GATED, headers=headers, user="bob")

    assert (await first.json())["job_id"] != (await other.json())["job_id"]


async def test_fifty_equal_keys_at_once_are_one_job(house: House) -> None:
    """A05: however they interleave, one job is stored and everybody is told of it."""
    headers = {"Idempotency-Key": "k-50"}

    answers = await asyncio.gather(
        *(house.ask("POST", "/api/jobs", json=GATED, headers=headers) for _ in range(50))
    )

    assert {answer.status for answer in answers} == {202}
    assert len({(await answer.json())["job_id"] for answer in answers}) == 1
    assert len(await house.jobs.list()) == 1


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "caf\u00e9", "a\tb"])
async def test_a_key_is_short_visible_text(house: House, key: str) -> None:
    """What is no key is 400, and nothing is stored."""
    answer = await house.ask("POST", "/api/jobs", json=GATED, headers={"Idempotency-Key": key})

    assert answer.status == 400
    assert not await house.jobs.list()


async def test_a_submit_may_wait_for_the_end(house: House) -> None:
    """200 with the finished job if it ends in time."""
    answer = await house.ask(
        "POST",
        "/api/jobs",
        json={"job_type": "quick", "project_id": "p"},
        headers={"Prefer": "respond-async, wait=20"},
    )

    job = await answer.json()
    assert (answer.status, job["status"]) == (200, "completed")
    assert answer.headers["Preference-Applied"] == "wait=20"


@pytest.mark.slow
async def test_a_submit_does_not_wait_longer_than_it_prefers(house: House) -> None:
    """202 with the job as it is when the time is up."""
    answer = await house.ask("POST", "/api/jobs", json=GATED, headers={"Prefer": "wait=1"})

    assert (answer.status, (await answer.json())["status"]) == (202, "running")


async def test_one_job_too_many_of_a_user_is_refused(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """A04: 429 with Retry-After; nothing is stored, and others may go on."""
    async with open_house(aiohttp_client, tmp_path, max_queued_per_user=2) as house:
        held = GATED | {"hold": True}
        for _ in range(2):
            await house.ask("POST", "/api/jobs", json=held)

        answer = await house.ask("POST", "/api/jobs", json=held)
        other = await house.ask("POST", "/api/jobs", json=held, user="bob")

        problem = problem_of(answer, await answer.json())
        assert (answer.status, problem["code"], problem["limit"]) == (429, "user_queue_full", 2)
        assert int(answer.headers["Retry-After"]) > 0
        assert other.status == 202
        assert len(await house.jobs.list("alice")) == 2


async def test_a_user_whose_jobs_take_too_much_room_is_refused(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """429 with bound and figure, and over a restart, too; others go on, and a clean-up helps."""
    store = MemoryPersistence()
    bound: dict[str, Any] = {"max_stored_bytes_per_user": 100_000}
    body: dict[str, Any] = {"job_type": "quick", "project_id": "p", "options": {"x": "x" * 20_000}}
    async with open_house(aiohttp_client, tmp_path, [], store, **bound) as house:
        for _ in range(2):
            job = await house.submit(**body)
            await house.until(job["job_id"], JobStatus.COMPLETED)

    async with open_house(aiohttp_client, tmp_path, [], store, **bound) as house:
        answer = await house.ask("POST", "/api/jobs", json=body)
        other = await house.ask("POST", "/api/jobs", json=body, user="bob")
        everything = {"older_than_seconds": 0}
        await house.ask("POST", "/api/admin/cleanup", json=everything, user="root")
        again = await house.ask("POST", "/api/jobs", json=body)

        problem = problem_of(answer, await answer.json())
        assert (answer.status, problem["code"], problem["limit"]) == (429, "storage_full", 100_000)
        assert 80_000 < problem["used"] < 100_000
        assert int(answer.headers["Retry-After"]) > 0
        assert (other.status, again.status) == (202, 202)


async def test_a_full_server_refuses(aiohttp_client: AioClient, tmp_path: Path) -> None:
    """503 with Retry-After when too many wait in all."""
    async with open_house(aiohttp_client, tmp_path, max_queued_total=1) as house:
        await house.submit(hold=True)

        answer = await house.ask("POST", "/api/jobs", user="bob", json=GATED)

        problem = problem_of(answer, await answer.json())
        assert (answer.status, problem["code"]) == (503, "queue_full")
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("stops", [True, False])
async def test_who_drains_or_stops_takes_nothing_new(house: House, stops: bool) -> None:
    """503 with its own code; what is there can still be read."""
    job = await house.submit(hold=True)
    if stops:
        await house.jobs.begin_stop()
    else:
        await house.jobs.manager.set_controls(pauses=Pauses(draining=True))

    answer = await house.ask("POST", "/api/jobs", json=GATED)
    read = await house.ask("GET", f"/api/jobs/{job['job_id']}")

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (503, "stopping" if stops else "draining")
    assert "Retry-After" in answer.headers
    assert read.status == 200


@pytest.mark.parametrize(
    ("path", "body", "code", "pointer"),
    [
        ("/api/jobs", {}, "validation_failed", "/job_type"),
        ("/api/jobs", {"job_type": "gated"}, "validation_failed", "/project_id"),
        ("/api/jobs", GATED | {"job_type": "none"}, "unknown_job_type", "/job_type"),
        ("/api/jobs", GATED | {"project_id": "../x"}, "validation_failed", "/project_id"),
        ("/api/jobs", GATED | {"priority": 10}, "validation_failed", "/priority"),
        ("/api/jobs", GATED | {"priority": -1}, "validation_failed", "/priority"),
        ("/api/jobs", GATED | {"max_attempts": 0}, "validation_failed", "/max_attempts"),
        ("/api/jobs", GATED | {"timeout_seconds": 0}, "validation_failed", "/timeout_seconds"),
        ("/api/jobs", GATED | {"start_at": "tomorrow"}, "validation_failed", "/start_at"),
        (
            "/api/jobs",
            GATED | {"start_at": "2026-01-01T00:00:00"},
            "validation_failed",
            "/start_at",
        ),
        ("/api/jobs", GATED | {"on_conflict": "x"}, "validation_failed", "/on_conflict"),
        ("/api/jobs", GATED | {"labels": {"A": "b"}}, "validation_failed", "/labels/A"),
        ("/api/jobs", GATED | {"options": []}, "validation_failed", "/options"),
        ("/api/jobs", GATED | {"user_id": "bob"}, "validation_failed", "/user_id"),
        (
            "/api/jobs",
            GATED | {"repository_url": REPOSITORY},
            "validation_failed",
            "/repository_url",
        ),
        ("/api/sync", {"project_id": "p", "job_type": "x"}, "validation_failed", "/job_type"),
        ("/api/sync", {"project_id": "p"}, "validation_failed", "/options/repository_url"),
        (
            "/api/sync",
            {"project_id": "p", "options": {"repository_url": REPOSITORY, "branch": "-b"}},
            "validation_failed",
            "/options/branch",
        ),
    ],
)
async def test_a_wrong_member_is_named(
    house: House, path: str, body: dict[str, Any], code: str, pointer: str
) -> None:
    """422 with the pointer of what is wrong; nothing is stored."""
    answer = await house.ask("POST", path, json=body)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (422, code)
    assert pointer in [fault["pointer"] for fault in problem["errors"]]
    assert not await house.jobs.list()


async def test_the_options_reach_the_job_and_its_result_comes_back(house: House) -> None:
    """What was submitted is what the handler saw."""
    options = {"names": ["a", "b"], "deep": {"x": [1, 2.5, None, True]}}
    job = await house.submit(job_type="quick", options=options)

    await house.until(job["job_id"], JobStatus.COMPLETED)
    answer = await house.ask("GET", f"/api/jobs/{job['job_id']}")

    assert (await answer.json())["result"] == {"seen": options}


async def test_a_key_outlives_its_job(house: House) -> None:
    """A repeat within the day makes no second job, though the first was deleted."""
    body = {"job_type": "quick", "project_id": "p"}
    sent: dict[str, Any] = {"json": body, "headers": {"Idempotency-Key": "order-1"}}
    first = await (await house.ask("POST", "/api/jobs", **sent)).json()
    await house.jobs.wait(first["job_id"], timeout=WAIT_SECONDS)
    cleaned = await house.ask(
        "POST", "/api/admin/cleanup", user="root", json={"older_than_seconds": 0}
    )

    again = await house.ask("POST", "/api/jobs", **sent)
    other = await house.ask(
        "POST", "/api/jobs", json=body | {"project_id": "q"}, headers=sent["headers"]
    )

    assert (await cleaned.json())["deleted"] == 1
    assert (again.status, (await again.json())["code"]) == (410, "job_expired")
    assert (await again.json())["job_id"] == first["job_id"]
    assert (other.status, (await other.json())["code"]) == (422, "idempotency_key_reused")
