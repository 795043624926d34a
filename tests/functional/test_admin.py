"""What administrators do over HTTP: tokens, counts, limits, pauses, drain; and health."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cidx_jobs.engine.upkeep import retention
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Pauses
from tests.functional.web import House, eventually, problem_of
from tests.sync_kit import install_git


async def admin(house: House, method: str, path: str, **more: Any) -> Any:
    """Ask as an administrator; give the document of the answer, which is no error."""
    answer = await house.ask(method, f"/api/admin/{path}", user="root", **more)
    assert answer.status in {200, 201, 202}, await answer.text()
    return await answer.json()


async def test_a_tokens_text_is_shown_once(house: House) -> None:
    """201 with where it is; lists and the store never have the text."""
    answer = await house.ask(
        "POST",
        "/api/admin/tokens",
        user="root",
        json={"user_id": "eve", "scope": "read", "lifetime_seconds": 60, "label": "laptop"},
    )
    made = await answer.json()
    listed = await admin(house, "GET", "tokens")

    assert answer.status == 201
    assert answer.headers["Location"] == f"/api/admin/tokens/{made['token_id']}"
    assert made["token"].startswith("cidxj_")
    assert len(made["token"]) == 6 + 43
    assert made["expires_at"] > made["created_at"]
    assert made["token"] not in str(listed)
    (own,) = [one for one in listed["tokens"] if one["token_id"] == made["token_id"]]
    assert (own["user_id"], own["scope"], own["label"]) == ("eve", "read", "laptop")


async def test_a_user_of_a_token_needs_no_account(house: House) -> None:
    """Who has one can submit at once, as themselves."""
    made = await admin(house, "POST", "tokens", json={"user_id": "eve"})
    headers = {"Authorization": f"Bearer {made['token']}"}

    answer = await house.ask(
        "POST",
        "/api/jobs",
        user=None,
        headers=headers,
        json={"job_type": "quick", "project_id": "p"},
    )

    assert (await answer.json())["user_id"] == "eve"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/user_id"),
        ({"user_id": ""}, "/user_id"),
        ({"user_id": "x" * 129}, "/user_id"),
        ({"user_id": "a\nb"}, "/user_id"),
        ({"user_id": "e", "scope": "root"}, "/scope"),
        ({"user_id": "e", "lifetime_seconds": 0}, "/lifetime_seconds"),
        ({"user_id": "e", "lifetime_seconds": 1e300}, "/lifetime_seconds"),
        ({"user_id": "e", "label": "a\u202eb"}, "/label"),
    ],
)
async def test_a_wrong_token_is_named(house: House, body: dict[str, Any], pointer: str) -> None:
    """422 with the pointer."""
    answer = await house.ask("POST", "/api/admin/tokens", user="root", json=body)

    problem = problem_of(answer, await answer.json())
    assert answer.status == 422
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]


async def test_a_token_that_is_none_cannot_be_revoked(house: House) -> None:
    """404 with its own code."""
    answer = await house.ask("DELETE", "/api/admin/tokens/none", user="root")

    assert (answer.status, (await answer.json())["code"]) == (404, "token_not_found")


async def test_stats_count_what_is_stored_and_in_use(house: House) -> None:
    """By status, type and user; waits and durations; slots and waiters."""
    await house.submit_ended()
    await house.submit_ended("broken", "bob")
    await house.submit_running()
    await house.submit(hold=True)

    stats = await admin(house, "GET", "stats")

    assert stats["by_status"] == {"completed": 1, "failed": 1, "running": 1, "created": 1}
    assert stats["by_type"] == {"quick": 1, "broken": 1, "gated": 2}
    assert stats["by_user"] == {"alice": 3, "bob": 1}
    assert stats["sample"] == 2
    assert 0 <= stats["wait_seconds"]["p50"] <= stats["wait_seconds"]["p95"]
    assert 0 <= stats["run_seconds"]["p50"] <= stats["run_seconds"]["p95"]
    assert (stats["slots"]["running"], stats["slots"]["users"]) == (1, {"alice": 1})
    assert stats["waiters"] == 0
    assert UUID(stats["database_id"]).version == 4
    assert {"database_bytes", "wal_bytes", "last_seq"} <= stats.keys()
    assert stats["oldest_wait_seconds"] == 0
    assert stats["bytes_by_user"].keys() == {"alice", "bob"}
    assert all(one["jobs"] > 0 == one["projects"] for one in stats["bytes_by_user"].values())
    assert stats["disk_free_bytes"] > 0


async def test_stats_tell_how_long_the_oldest_waits(house: House) -> None:
    """While everything is paused, as who looks for what is stuck wants to know."""
    await admin(house, "POST", "pause")
    await house.submit("alice", project_id="kept")
    await admin(house, "POST", "pause", json={"user_id": "bob"})

    stats = await admin(house, "GET", "stats")

    assert stats["oldest_wait_seconds"] > 0
    assert stats["pauses"]["everything"] is True
    assert stats["pauses"]["users"] == ["bob"]


async def test_stats_of_an_empty_server_have_nothing_to_count(house: House) -> None:
    """No job, no quantile."""
    stats = await admin(house, "GET", "stats")

    assert stats["wait_seconds"] == {"p50": None, "p95": None}


async def test_limits_change_while_running_and_are_kept(house: House) -> None:
    """What is not named stays; resources are named one by one."""
    before = await admin(house, "GET", "limits")

    after = await admin(
        house,
        "PATCH",
        "limits",
        json={"max_running_per_user": 2, "resources": {"git": 1}, "user_max_priorities": {"a": 3}},
    )

    changes = {"max_running_per_user": 2, "user_max_priorities": {"a": 3}}
    assert after == before | changes | {"resources": before["resources"] | {"git": 1}}
    assert await admin(house, "GET", "limits") == after
    kept, _ = await house.jobs.persistence.controls.load_controls()
    assert kept is not None
    assert kept.max_running_per_user == 2


async def test_a_raised_limit_starts_who_waits_at_once(house: House) -> None:
    """And a lowered one ends nobody."""
    await admin(house, "PATCH", "limits", json={"max_running_per_user": 1})
    await house.submit_running()
    waiting = await house.submit(project_id="q")

    await admin(house, "PATCH", "limits", json={"max_running_per_user": 2})
    await house.gate.arrived(2)
    await admin(house, "PATCH", "limits", json={"max_running_per_user": 1})

    assert (await house.jobs.get(waiting["job_id"])).status is JobStatus.RUNNING


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"max_running_total": 0}, "/max_running_total"),
        ({"max_running_per_user": -1}, "/max_running_per_user"),
        ({"max_queued_total": 10**17}, "/max_queued_total"),
        ({"max_priority": 10}, "/max_priority"),
        ({"resources": {"git": 0}}, "/resources"),
        ({"resources": {"": 1}}, "/resources"),
        ({"resources": {"g" * 129: 1}}, "/resources"),
        ({"user_max_priorities": {"a": 10}}, "/user_max_priorities"),
        ({"user_max_priorities": {"a\n": 1}}, "/user_max_priorities"),
        ({"max_running_total": True}, "/max_running_total"),
        ({"poison_after": 3}, "/poison_after"),
    ],
)
async def test_a_wrong_limit_is_named(house: House, body: dict[str, Any], pointer: str) -> None:
    """422 with the pointer; the limits stay as they are."""
    before = await admin(house, "GET", "limits")

    answer = await house.ask("PATCH", "/api/admin/limits", user="root", json=body)

    problem = problem_of(answer, await answer.json())
    assert answer.status == 422
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert await admin(house, "GET", "limits") == before


@pytest.mark.parametrize("body", [{}, {"user_id": "alice"}, {"job_type": "gated"}])
async def test_what_is_paused_does_not_start_until_it_is_resumed(
    house: House, body: dict[str, str]
) -> None:
    """Everything, a user's jobs, or those of a type; the job says why it waits."""
    await admin(house, "POST", "pause", json=body)
    job = await house.submit()
    queue = (await (await house.ask("GET", f"/api/jobs/{job['job_id']}")).json())["queue"]

    after = await admin(house, "POST", "resume", json=body)

    await house.gate.arrived(1)
    assert queue["blocked_by"] == ["paused"]
    assert after == {"everything": False, "users": [], "job_types": [], "draining": False}


async def test_pauses_of_several_operators_at_one_time_are_all_kept(house: House) -> None:
    """Each is made from the one before it, and none from what was there when it was asked for."""
    users = [f"user{number}" for number in range(20)]
    await asyncio.gather(
        *(admin(house, "POST", "pause", json={"user_id": user}) for user in users),
        admin(house, "PATCH", "limits", json={"max_running_total": 7}),
    )

    limits, pauses = await house.jobs.persistence.controls.load_controls()

    assert pauses.users == set(users)
    assert limits is not None
    assert limits.max_running_total == 7


@pytest.mark.parametrize("action", ["pause", "resume"])
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"user_id": ""}, "/user_id"),
        ({"user_id": "x" * 129}, "/user_id"),
        ({"user_id": "a\nb"}, "/user_id"),
        ({"job_type": ""}, "/job_type"),
        ({"job_type": "a b"}, "/job_type"),
        ({"project_id": "p"}, "/project_id"),
    ],
)
async def test_a_pause_of_what_cannot_be_is_refused(
    house: House, action: str, body: dict[str, str], pointer: str
) -> None:
    """422 with the pointer: nothing is kept that nothing could ever match."""
    answer = await house.ask("POST", f"/api/admin/{action}", user="root", json=body)

    problem = problem_of(answer, await answer.json())
    assert answer.status == 422
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert house.jobs.manager.pauses == Pauses()


async def test_a_draining_server_finishes_what_it_has(house: House) -> None:
    """202 to begin, 200 to leave; it is not ready meanwhile."""
    job = await house.submit_running()
    begun = await house.ask("POST", "/api/admin/drain", user="root")
    refused = await house.ask("POST", "/api/jobs", json={"job_type": "quick", "project_id": "p"})
    ready = await house.ask("GET", "/readyz", user=None)
    house.gate.open()
    await house.until(job["job_id"], JobStatus.COMPLETED)

    left = await house.ask("DELETE", "/api/admin/drain", user="root")

    assert (begun.status, refused.status, left.status) == (202, 503, 200)
    assert (ready.status, (await ready.json())["reasons"]) == (503, ["draining"])
    await house.submit_ended()


async def test_a_drain_tells_how_far_it_is(house: House) -> None:
    """What runs and what waits are counted; it is drained once nothing runs."""

    async def look() -> dict[str, object]:
        return dict(await (await house.ask("GET", "/api/admin/drain", user="root")).json())

    job = await house.submit_running()
    await house.submit(project_id="held", hold=True)
    before = await look()
    await house.ask("POST", "/api/admin/drain", user="root")
    meanwhile = await look()
    house.gate.open()
    await house.until(job["job_id"], JobStatus.COMPLETED)

    after = await look()

    shown = [tuple(one.values()) for one in (before, meanwhile, after)]
    assert list(after) == ["draining", "drained", "running", "waiting"]
    assert shown == [(False, False, 1, 1), (True, False, 1, 1), (True, True, 0, 1)]
    refused = await house.ask("GET", "/api/admin/drain")
    assert (refused.status, (await refused.json())["code"]) == (403, "admin_required")


async def test_health_is_open_to_everybody(house: House) -> None:
    """Alive while the loop turns; ready while there is no reason not to be."""
    alive = await house.ask("GET", "/livez", user=None)
    ready = await house.ask("GET", "/readyz", user=None)

    assert (alive.status, await alive.json()) == (200, {"status": "alive"})
    assert (ready.status, await ready.json()) == (
        200,
        {
            "status": "ready",
            "reasons": [],
            "warnings": [],
        },
    )


@pytest.mark.parametrize(
    ("version", "code"), [("git version 2.34.1", "git_too_old"), (None, "git_missing")]
)
async def test_a_server_whose_git_will_not_do_is_ready_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, house: House, version: str | None, code: str
) -> None:
    """Other jobs are taken; the readiness warns, and doctor says what is wrong with the git."""
    if version is not None:
        install_git(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path))

    ready = await house.ask("GET", "/readyz", user=None)
    doctor = await house.ask("GET", "/api/admin/doctor", user="root")

    assert (ready.status, (await ready.json())["warnings"]) == (200, [code])
    found = await doctor.json()
    assert (found["ok"], found["findings"]) == (True, [])
    (note,) = found["notes"]
    assert (note["kind"], note["job_id"]) == (code, None)
    assert version is None or version in note["message"]


@pytest.mark.parametrize("path", ["/api/jobs", "/api/queue", "/api/admin/stats"])
async def test_a_server_that_waits_for_its_last_jobs_is_still_read(
    house: House, path: str
) -> None:
    """Until the grace time is over: whoever looks how the stop goes on gets an answer."""
    await house.submit_running()
    closing = asyncio.create_task(house.jobs.close())
    await eventually(lambda: not house.jobs.is_open)

    answer = await house.ask("GET", path, user="root")

    house.gate.open()
    await closing
    assert answer.status == 200


async def test_a_stopping_server_is_alive_but_not_ready(house: House) -> None:
    """503 with the reason."""
    await house.jobs.begin_stop()

    alive = await house.ask("GET", "/livez", user=None)
    ready = await house.ask("GET", "/readyz", user=None)

    problem = problem_of(ready, await ready.json())
    assert (alive.status, ready.status) == (200, 503)
    assert (problem["code"], problem["reasons"]) == ("not_ready", ["stopping"])


async def test_a_cleanup_deletes_finished_jobs_and_no_others(house: House) -> None:
    """All that ended so long ago go, with their events; what waits or runs stays."""
    ended = await house.submit_ended()
    await house.submit_ended("broken", "bob")
    running = await house.submit_running()

    done = await admin(house, "POST", "cleanup", json={"older_than_seconds": 0})

    assert done == {"matched": 2, "deleted": 2, "dry_run": False}
    gone = await house.ask("GET", f"/api/jobs/{ended.job_id}")
    left = await house.ask("GET", f"/api/jobs/{running['job_id']}")
    events = await (await house.ask("GET", "/api/events", user="root")).json()
    assert (gone.status, left.status) == (404, 200)
    assert {row["job_id"] for row in events["events"]} == {running["job_id"]}


async def test_a_cleanup_takes_only_what_is_asked_for(house: House) -> None:
    """By status and by age; in a dry run nothing."""
    await house.submit_ended()
    await house.submit_ended("broken")
    failed = {"older_than_seconds": 0, "statuses": ["failed"]}

    young = await admin(house, "POST", "cleanup", json={"older_than_seconds": 3600})
    dry = await admin(house, "POST", "cleanup", json={"older_than_seconds": 0, "dry_run": True})
    done = await admin(house, "POST", "cleanup", json=failed)

    stats = await admin(house, "GET", "stats")
    assert young == {"matched": 0, "deleted": 0, "dry_run": False}
    assert dry == {"matched": 2, "deleted": 0, "dry_run": True}
    assert done == {"matched": 1, "deleted": 1, "dry_run": False}
    assert stats["by_status"] == {"completed": 1}


async def test_a_cleanup_goes_by_batches(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a transaction of its own, and none begins once the server stops."""
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(5):
        await house.submit_ended()
    sizes = []
    delete = house.jobs.persistence.jobs.delete_expired_jobs

    async def spy(*arguments: Any, **named: Any) -> Any:
        gone = await delete(*arguments, **named)
        sizes.append(len(gone))
        if len(sizes) == 2:
            await house.jobs.begin_stop()
        return gone

    monkeypatch.setattr(house.jobs.persistence.jobs, "delete_expired_jobs", spy)

    done = await admin(house, "POST", "cleanup", json={"older_than_seconds": 0})

    assert done == {"matched": 5, "deleted": 4, "dry_run": False}
    assert sizes == [2, 2]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/older_than_seconds"),
        ({"older_than_seconds": -1}, "/older_than_seconds"),
        ({"older_than_seconds": 1e300}, "/older_than_seconds"),
        ({"older_than_seconds": True}, "/older_than_seconds"),
        ({"older_than_seconds": 0, "statuses": ["failed", "running"]}, "/statuses/1"),
        ({"older_than_seconds": 0, "statuses": ["lost"]}, "/statuses/0"),
        ({"older_than_seconds": 0, "force": True}, "/force"),
    ],
)
async def test_a_wrong_cleanup_is_named_and_deletes_nothing(
    house: House, body: dict[str, Any], pointer: str
) -> None:
    """422 with the pointer."""
    await house.submit_ended()

    answer = await house.ask("POST", "/api/admin/cleanup", user="root", json=body)

    problem = problem_of(answer, await answer.json())
    assert answer.status == 422
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert len(await house.jobs.list()) == 1
