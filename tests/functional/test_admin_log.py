"""The admin log: what administrators did, who was refused, and who asked for a change of a job."""

import logging
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.engine.access import admin_log
from cidx_jobs.runtime.log import LogEvent
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.web.http.route import Route
from cidx_jobs.web.routes.table import API_ROUTES
from tests.functional.web import AioClient, House, open_house

PASSWORD = "correct horse"
CHANGES = [
    one
    for one in API_ROUTES
    # A store in memory has no backups; theirs are in test_backups.
    if one.scope == "admin" and one.method != "GET" and one.path != "/admin/backup"
]


async def read_log(house: House, **query: Any) -> dict[str, Any]:
    """Return a page of the log."""
    answer = await house.ask("GET", "/api/admin/log", user="root", params=query)
    assert answer.status == 200, await answer.text()
    document: dict[str, Any] = await answer.json()
    return document


async def newest(house: House) -> dict[str, Any]:
    """Return the newest entry."""
    entry: dict[str, Any] = (await read_log(house))["entries"][0]
    return entry


def lines_of(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    """Return the fields of the log's lines of that name."""
    events = [one.msg for one in caplog.records if isinstance(one.msg, LogEvent)]
    return [dict(event.members()) for event in events if event.name == name]


async def test_what_an_administrator_does_is_a_row_and_a_line(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Who, what, to whom, from where and when; stored when the answer comes."""
    caplog.set_level(logging.INFO, "cidx_jobs")
    await house.ask("POST", "/api/admin/pause", user="root", json={"user_id": "bob"})

    entry = await newest(house)

    assert (entry["actor"], entry["action"], entry["target"]) == ("root", "paused", "user bob")
    assert entry["from"] == "127.0.0.1"
    assert entry["at"].endswith("Z")
    (line,) = lines_of(caplog, "admin_acted")
    assert (line["actor"], line["action"], line["target"]) == ("root", "paused", "user bob")


async def test_an_act_stands_above_the_refusals_before_it(house: House) -> None:
    """Newest first, also while refusals wait to be stored together."""
    for _ in range(3):
        await house.ask("GET", "/api/jobs", headers={"Authorization": "Bearer nonsense"})

    await house.ask("POST", "/api/admin/pause", user="root", json={"user_id": "bob"})

    entries = (await read_log(house))["entries"]
    assert [one["action"] for one in entries] == ["paused", *["token_refused"] * 3]
    assert entries == sorted(entries, key=lambda one: one["at"], reverse=True)


@pytest.mark.parametrize("changed", CHANGES, ids=lambda route: route.key)
async def test_no_route_of_administrators_changes_anything_unseen(
    house: House, changed: Route
) -> None:
    """Each that is no GET puts who called it into the log."""
    account = {"user_id": "carol", "password": PASSWORD}
    await house.ask("POST", "/api/admin/users", user="root", json=account)
    made = await house.ask("POST", "/api/admin/tokens", user="root", json={"user_id": "eve"})
    token_id = (await made.json())["token_id"]
    before = len((await read_log(house))["entries"])
    path = "/api" + changed.path.format(token_id=token_id, user_id="carol")
    if changed.path.endswith("/tokens") and changed.method == "DELETE":
        path += "?user_id=eve"
    example = dict(changed.contract.get("body_example", {}))
    if "dry_run" in example:
        example["dry_run"] = False
    if "password" in example:
        example["user_id"] = "dave"
    body = {} if changed.body is None else {"json": example}

    answer = await house.ask(changed.method, path, user="root", **body)

    entries = (await read_log(house))["entries"]
    assert answer.status in {200, 201, 202, 204}, await answer.text()
    assert len(entries) == before + 1
    assert entries[0]["actor"] == "root"


async def test_a_change_to_another_users_job_is_told(house: House) -> None:
    """What an administrator does to it is in the log; what its user does is not."""
    own = await house.submit("alice")
    other = await house.submit("alice", project_id="q")

    await house.ask("POST", f"/api/jobs/{own['job_id']}/cancel")
    await house.ask("POST", f"/api/jobs/{other['job_id']}/cancel", user="root")

    entries = (await read_log(house))["entries"]
    acts = [one for one in entries if one["action"] == "job_cancelled"]
    assert [(one["actor"], one["target"]) for one in acts] == [
        ("root", f"{other['job_id']} of alice")
    ]


async def test_a_refused_token_is_a_row_and_a_warning(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody acted; what was shown is nowhere. Who shows nothing is not refused, but asked."""
    secret = "cidxj_" + "x" * 43
    headers = {"Authorization": f"Bearer {secret}"}

    await house.ask("GET", "/api/jobs", user=None, headers=headers)
    await house.ask("GET", "/api/queue", user=None)

    entries = (await read_log(house))["entries"]
    (entry,) = [one for one in entries if one["action"] == "token_refused"]
    assert (entry["actor"], entry["target"]) == (None, "GET /api/jobs")
    assert entry["from"] == "127.0.0.1"
    (line,) = lines_of(caplog, "token_refused")
    assert line["address"] == "127.0.0.1"
    assert secret not in str(entries) + caplog.text


async def test_a_refused_login_names_the_user_if_there_is_one(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no user's name may be a password that was typed into the wrong field."""
    account = {"user_id": "carol", "password": PASSWORD}
    await house.ask("POST", "/api/admin/users", user="root", json=account)
    for user in ("carol", PASSWORD):
        body = {"username": user, "password": "wrong horse"}
        await house.ask("POST", "/auth/login", user=None, json=body)

    entries = (await read_log(house))["entries"]

    refused = [one["target"] for one in entries if one["action"] == "login_refused"]
    assert refused == [None, "carol"]
    assert PASSWORD not in str(entries)
    assert [one["target"] for one in lines_of(caplog, "login_refused")] == ["carol", None]


async def test_a_flood_of_refusals_is_counted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many have an entry of their own; one says how many more there were."""
    monkeypatch.setattr(admin_log, "MAX_REFUSALS_AT_ONCE", 3)
    log = house.jobs.admin_log

    for _ in range(10):
        log.note_refusal("token_refused", address="192.0.2.7")

    actions = [one["action"] for one in (await read_log(house))["entries"]]
    assert actions == ["refusals_not_told", *["token_refused"] * 3]
    assert (await newest(house))["target"] == "7 more"


async def test_the_log_is_in_the_order_of_its_times(house: House) -> None:
    """A refusal, which may be stored later, stays before an act that came after it."""
    log = house.jobs.admin_log
    log.note_refusal("login_refused", address=None)
    await house.ask("POST", "/api/admin/pause", user="root", json={})
    log.note_refusal("token_refused", address=None)
    await house.ask("POST", "/api/admin/resume", user="root", json={})

    entries = (await read_log(house))["entries"]

    actions = [one["action"] for one in entries]
    assert actions == ["resumed", "token_refused", "paused", "login_refused"]
    assert [one["at"] for one in entries] == sorted((one["at"] for one in entries), reverse=True)


async def test_the_log_is_read_by_pages_and_by_administrators_alone(house: House) -> None:
    """A page says how to get the next; others are refused."""
    for name in ("a", "b", "c"):
        await house.ask("POST", "/api/admin/pause", user="root", json={"user_id": name})

    first = await read_log(house, limit=2)
    rest = await read_log(house, limit=2, cursor=first["next_cursor"])
    refused = await house.ask("GET", "/api/admin/log")
    unknown = await house.ask("GET", "/api/admin/log", user="root", params={"cursor": "none"})

    entries = [*first["entries"], *rest["entries"]]
    assert [one["target"] for one in entries] == ["user c", "user b", "user a"]
    assert rest["next_cursor"] is None
    assert refused.status == 403
    assert unknown.status == 400


async def test_refusals_are_kept_over_a_stop(aiohttp_client: AioClient, tmp_path: Path) -> None:
    """What was refused just before is stored with the rest."""
    store = MemoryPersistence()
    async with open_house(aiohttp_client, tmp_path, (), store) as house:
        house.jobs.admin_log.note_refusal("token_refused", address=None)

    async with open_house(aiohttp_client, tmp_path, (), store) as house:
        assert (await newest(house))["action"] == "token_refused"


async def test_an_act_that_cannot_be_noted_is_answered(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """It is done: an error would say otherwise. The log has both lines."""
    caplog.set_level(logging.INFO, "cidx_jobs")
    await house.jobs.persistence.close()

    await house.jobs.admin_log.note_act("root", "paused", "everything", address=None)

    assert lines_of(caplog, "admin_acted")
    (line,) = lines_of(caplog, "admin_log_not_stored")
    assert line["code"] == "storage_unavailable"


async def test_each_row_of_a_jobs_log_names_who_asked(house: House) -> None:
    """The submit is its user's, the start the server's, the cancel an administrator's."""
    job = await house.submit_running()
    await house.ask("POST", f"/api/jobs/{job['job_id']}/cancel", user="root")
    await house.jobs.wait(job["job_id"], timeout=10)

    answer = await house.ask("GET", f"/api/jobs/{job['job_id']}/events")

    actors = {one["event"]: one["actor"] for one in (await answer.json())["events"]}
    assert actors == {
        "submit": "alice",
        "enqueue": "alice",
        "start": None,
        "request_cancel": "root",
        "cancel": None,
    }
