"""Schedules over HTTP: who may do what, every fault, pages, and what a job carries."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cidx_jobs.client import JobsClient
from cidx_jobs.client.errors import ConflictError, NotFoundError
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.listing import Project
from tests.fakes import WAIT_SECONDS
from tests.functional.web import House

NIGHTLY = {"name": "nightly", "project_id": "p", "job_type": "quick", "cron": "30 2 * * *"}


async def make(house: House, user: str = "alice", **members: Any) -> dict[str, Any]:
    """Make a schedule and return its document."""
    answer = await house.ask("POST", "/api/schedules", user=user, json=NIGHTLY | members)
    assert answer.status == 201, await answer.text()
    document: dict[str, Any] = await answer.json()
    return document


async def test_a_schedule_is_made_and_read(house: House) -> None:
    """201 with all members; the next five times are in UTC."""
    made = await house.ask(
        "POST", "/api/schedules", json=NIGHTLY | {"timezone": "Europe/Berlin", "priority": 7}
    )
    read = await house.ask("GET", "/api/schedules/nightly")

    document = await made.json()
    assert (made.status, made.headers["Location"]) == (201, "/api/schedules/nightly")
    assert document == await read.json()
    assert document["user_id"] == "alice"
    assert (document["priority"], document["enabled"], document["declared"]) == (7, True, False)
    assert (document["jitter_seconds"], document["catch_up"]) == (0, "once")
    assert (document["last_at"], document["last_job_id"], document["last_status"]) == (None,) * 3
    times = [datetime.fromisoformat(text) for text in document["next_at"]]
    assert len(times) == 5
    assert times == sorted(times)
    assert all(time.hour in {0, 1} and time.minute == 30 for time in times)
    assert all(text.endswith("Z") for text in document["next_at"])


@pytest.mark.slow
async def test_a_time_makes_a_job_of_its_own(house: House) -> None:
    """The job carries the schedule and the time; lists filter by it, the schedule names it."""
    has_submitted = asyncio.Event()

    @house.jobs.on_transition
    async def note(job: Job, _: Transition) -> None:
        if job.schedule == "often":
            has_submitted.set()

    await make(house, cron=None, every_seconds=1, name="often", labels={"a": "b"})

    await asyncio.wait_for(has_submitted.wait(), WAIT_SECONDS)
    jobs = await (await house.ask("GET", "/api/jobs?schedule=often")).json()
    seen = await (await house.ask("GET", "/api/schedules/often")).json()

    job = jobs["jobs"][-1]
    assert (job["schedule"], job["labels"], job["job_type"]) == ("often", {"a": "b"}, "quick")
    made, time = map(datetime.fromisoformat, (job["created_at"], job["scheduled_at"]))
    assert timedelta(0) <= made - time < timedelta(seconds=2)
    assert time == datetime.fromisoformat(seen["created_at"]) + timedelta(seconds=1)
    assert seen["last_job_id"] is not None
    assert seen["last_status"] in {"queued", "running", "completed"}
    others = await (await house.ask("GET", "/api/jobs?schedule=never")).json()
    assert others["total"] == 0


async def test_a_schedule_is_run_by_hand(house: House) -> None:
    """202 with the job, also when it is disabled; it stands for no time."""
    await make(house, enabled=False)

    answer = await house.ask("POST", "/api/schedules/nightly/run")

    job = await answer.json()
    assert answer.status == 202
    assert answer.headers["Location"] == f"/api/jobs/{job['job_id']}"
    assert (job["schedule"], job["scheduled_at"]) == ("nightly", None)
    seen = await (await house.ask("GET", "/api/schedules/nightly")).json()
    assert (seen["last_job_id"], seen["next_at"], seen["missed"]) == (job["job_id"], [], 0)
    events = await (await house.ask("GET", f"/api/jobs/{job['job_id']}/events")).json()
    assert events["events"][0]["actor"] == "alice"


async def test_a_change_names_what_is_other(house: House) -> None:
    """What is not named stays; null takes an optional member back to its default."""
    await make(house, priority=7, labels={"a": "b"})

    first = await house.ask("PATCH", "/api/schedules/nightly", json={"enabled": False})
    second = await house.ask(
        "PATCH", "/api/schedules/nightly", json={"priority": None, "every_seconds": 60}
    )

    one, two = await first.json(), await second.json()
    assert (first.status, second.status) == (200, 200)
    assert (one["enabled"], one["priority"], one["cron"]) == (False, 7, "30 2 * * *")
    assert (two["priority"], two["cron"], two["every_seconds"]) == (None, None, 60)
    assert (two["enabled"], two["labels"]) == (False, {"a": "b"})


async def test_a_removed_schedule_is_unknown(house: House) -> None:
    """204 once, then 404 for whatever is asked of it."""
    await make(house)

    gone = await house.ask("DELETE", "/api/schedules/nightly")

    assert gone.status == 204
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/run")):
        answer = await house.ask(method, f"/api/schedules/nightly{path}")
        assert (answer.status, (await answer.json())["code"]) == (404, "schedule_not_found")


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"cron": "0 0 30 2 *"}, "/cron"),
        ({"cron": "@reboot"}, "/cron"),
        ({"cron": "* * * * * *"}, "/cron"),
        ({"cron": None}, "/cron"),
        ({"every_seconds": 60}, "/every_seconds"),
        ({"cron": None, "every_seconds": 0}, "/every_seconds"),
        ({"cron": None, "every_seconds": 366 * 86_400 + 1}, "/every_seconds"),
        ({"timezone": "Europe/Nowhere"}, "/timezone"),
        ({"jitter_seconds": -1}, "/jitter_seconds"),
        ({"catch_up": "twice"}, "/catch_up"),
        ({"name": "a b"}, "/name"),
        ({"project_id": ""}, "/project_id"),
        ({"job_type": "unknown"}, "/job_type"),
        ({"job_type": "repository_sync"}, "/options/repository_url"),
        ({"priority": 10}, "/priority"),
        ({"labels": {"A": "b"}}, "/labels/A"),
        ({"timeout_seconds": 0}, "/timeout_seconds"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_each_fault_has_its_pointer(
    house: House, members: dict[str, Any], pointer: str
) -> None:
    """422 with the member and the reason; nothing is made."""
    answer = await house.ask("POST", "/api/schedules", json=NIGHTLY | members)

    problem = await answer.json()
    assert (answer.status, problem["errors"][0]["pointer"]) == (422, pointer)
    assert problem["errors"][0]["message"]
    assert (await (await house.ask("GET", "/api/schedules")).json())["schedules"] == []


async def test_a_name_is_taken_once_for_each_user(house: House) -> None:
    """409 for the second of a user's; others may use it."""
    await make(house)
    await make(house, user="bob")

    answer = await house.ask("POST", "/api/schedules", json=NIGHTLY)

    assert (answer.status, (await answer.json())["code"]) == (409, "schedule_exists")


async def test_anothers_schedule_is_as_good_as_none(house: House) -> None:
    """Only administrators name a user to write, they and auditors to read; the log tells of it."""
    await make(house, user="bob")
    path = "/api/schedules/nightly"

    assert (await house.ask("GET", path)).status == 404
    for method, way in (("GET", path), ("GET", "/api/schedules"), ("DELETE", path)):
        answer = await house.ask(method, f"{way}?user_id=bob")
        assert (answer.status, (await answer.json())["code"]) == (403, "forbidden")
    audited = [
        (await house.ask(method, f"{way}?user_id=bob", user="audrey")).status
        for method, way in (("GET", path), ("GET", "/api/schedules"), ("DELETE", path))
    ]
    assert audited == [200, 200, 403]
    made = await house.ask(
        "POST", "/api/schedules", user="root", json=NIGHTLY | {"user_id": "carol"}
    )
    assert (made.status, (await made.json())["user_id"]) == (201, "carol")
    refused = await house.ask("POST", "/api/schedules", json=NIGHTLY | {"user_id": "carol"})
    assert refused.status == 422
    ran = await house.ask("POST", f"{path}/run?user_id=carol", user="root")
    assert (await ran.json())["user_id"] == "carol"
    everybody = await (await house.ask("GET", "/api/schedules?user_id=*", user="root")).json()
    assert [one["user_id"] for one in everybody["schedules"]] == ["bob", "carol"]
    log = await (await house.ask("GET", "/api/admin/log", user="root")).json()
    acts = [(entry["actor"], entry["action"], entry["target"]) for entry in log["entries"]]
    assert ("root", "schedule_created", "nightly of carol") in acts
    assert ("root", "schedule_run", "nightly of carol") in acts


async def test_lists_have_pages(house: House) -> None:
    """By name; a cursor is good for its own list alone."""
    for name in ("c", "a", "b"):
        await make(house, name=name)

    first = await (await house.ask("GET", "/api/schedules?limit=2")).json()
    cursor = first["next_cursor"]
    second = await (await house.ask("GET", f"/api/schedules?limit=2&cursor={cursor}")).json()
    wrong = await house.ask("GET", f"/api/schedules?cursor={cursor}", user="bob")

    assert [one["name"] for one in first["schedules"]] == ["a", "b"]
    assert [one["name"] for one in second["schedules"]] == ["c"]
    assert second["next_cursor"] is None
    assert (wrong.status, (await wrong.json())["code"]) == (400, "invalid_cursor")


async def test_schedules_of_a_removed_user_go_with_them(house: House) -> None:
    """Nobody's schedules go on when the user is removed; others' do."""
    account = {"user_id": "carol", "password": "correct horse"}
    await house.ask("POST", "/api/admin/users", user="root", json=account)
    await make(house)
    await make(house, user="root", user_id="carol")

    gone = await house.ask("DELETE", "/api/admin/users/carol", user="root")

    assert gone.status == 204
    assert [view.user_id for view in await house.jobs.schedules.list()] == ["alice"]


async def test_the_client_has_schedules(house: House) -> None:
    """Make, list, change, run and remove, as documents."""
    url = str(house.client.make_url(""))
    async with JobsClient(url, house.tokens["alice"]) as client:
        made = await client.create_schedule(
            "nightly", "p", job_type="quick", cron="@daily", jitter_seconds=60, catch_up="skip"
        )
        with pytest.raises(ConflictError):
            await client.create_schedule("nightly", "p", job_type="quick", every_seconds=5)
        changed = await client.change_schedule("nightly", every_seconds=60, labels={"x": "y"})
        listed = await client.list_schedules()
        job = await client.run_schedule("nightly")
        mine = await client.list_jobs(schedule="nightly")
        await client.remove_schedule("nightly")
        with pytest.raises(NotFoundError):
            await client.get_schedule("nightly")

    assert (made.cron, made.jitter_seconds, made.catch_up) == ("@daily", 60, "skip")
    assert (changed.every_seconds, changed.cron, changed.labels) == (60, None, {"x": "y"})
    assert [one.name for one in listed.schedules] == ["nightly"]
    assert [one.job_id for one in mine.jobs] == [job.job_id]
    assert made.next_at[0].astimezone(UTC).hour == 0


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"sync_every_seconds": 9}, 422, "/sync_every_seconds"),
        ({"sync_every_seconds": 604_801}, 422, "/sync_every_seconds"),
        ({"sync_every_seconds": "often"}, 422, "/sync_every_seconds"),
        ({"sync_every_seconds": True}, 422, "/sync_every_seconds"),
        ({"every": 60}, 422, "/every"),
    ],
)
async def test_a_wrong_interval_is_refused(
    house: House, body: dict[str, Any], status: int, pointer: str
) -> None:
    """Each with its pointer; the project stays as it was."""
    project = Project(user_id=UserId("alice"), project_id=ProjectId("p"))
    await house.jobs.persistence.projects.save_project(project)

    answer = await house.ask("PATCH", "/api/projects/p", json=body)

    assert (answer.status, (await answer.json())["errors"][0]["pointer"]) == (status, pointer)
    read = await (await house.ask("GET", "/api/projects/p")).json()
    assert read["sync_every_seconds"] is None


async def test_a_project_is_told_to_keep_fresh(house: House) -> None:
    """By its owner, or by an admin who is in the log for it; null takes it back."""
    project = Project(user_id=UserId("alice"), project_id=ProjectId("p"))
    await house.jobs.persistence.projects.save_project(project)
    path = "/api/projects/p"

    answers = [
        await house.ask("PATCH", path, json={"sync_every_seconds": every})
        for every in (10, "auto", 604_800, None)
    ]
    empty = await house.ask("PATCH", path, json={})
    others = await house.ask("PATCH", path, user="bob", json={"sync_every_seconds": 60})
    acting = await house.ask(
        "PATCH", f"{path}?user_id=alice", user="root", json={"sync_every_seconds": 60}
    )

    assert [answer.status for answer in answers] == [200] * 4
    shown = [(await answer.json())["sync_every_seconds"] for answer in answers]
    assert shown == [10, "auto", 604_800, None]
    assert (empty.status, (await empty.json())["sync_every_seconds"]) == (200, None)
    assert (others.status, (await others.json())["code"]) == (404, "project_not_found")
    assert (acting.status, (await acting.json())["sync_every_seconds"]) == (200, 60)
    log = await (await house.ask("GET", "/api/admin/log", user="root")).json()
    assert log["entries"][0]["action"] == "project_changed"
