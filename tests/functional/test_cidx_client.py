"""What the command line of CIDX asks, and reads of the answers (api.md 1.9)."""

from typing import Any

import pytest

from tests.functional.web import NO_JOB, REPOSITORY, House, problem_of


@pytest.fixture
async def alias(house: House) -> str:
    """Return a project of alice's; nothing starts, so that syncs wait."""
    await house.ask("POST", "/api/admin/pause", user="root", json={})
    body = {"project_id": "code", "repository_url": REPOSITORY, "hold": True}
    answer = await house.ask("POST", "/api/sync", json=body)
    await house.ask("DELETE", f"/api/jobs/{(await answer.json())['job_id']}")
    return "code"


async def sync(house: House, path: str, body: Any = None) -> dict[str, Any]:
    """Ask for a sync, and return the answer."""
    answer = await house.ask("POST", path, json=body)
    assert answer.status == 202, await answer.text()
    document: dict[str, Any] = await answer.json()
    return document


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/api/repositories/code/sync",
            {"force_sync": False, "incremental": True, "timeout": 300},
        ),
        ("/api/repos/code/sync", {"force_sync": False, "incremental": True, "pull_remote": True}),
        (
            "/api/repos/sync",
            {
                "repository_alias": "code",
                "force": False,
                "ignore_patterns": ["*.log"],
                "progress_webhook": None,
                "new_member": 1,
            },
        ),
    ],
)
async def test_a_sync_is_taken_by_each_route(
    house: House, alias: str, path: str, body: Any
) -> None:
    """With the members that the client reads; what it does not know of us is ignored."""
    told = await sync(house, path, body)

    assert told["status"] == "queued"
    assert told["repository_id"] == alias
    assert told["message"]
    assert told["job_url"] == f"/api/jobs/{told['job_id']}"
    assert isinstance(told["created_at"], str)
    assert told["progress"] == {
        "percentage": 0,
        "files_processed": 0,
        "files_total": 0,
        "current_file": None,
    }
    assert told["options"] == {"force": False, "full_reindex": False, "incremental": True}


@pytest.mark.parametrize("body", [{"full_reindex": True}, {"incremental": False}])
async def test_a_full_sync_is_one(house: House, alias: str, body: Any) -> None:
    """Either word is taken for it, and shown as it was understood."""
    told = await sync(house, "/api/repositories/code/sync", body)

    job = await house.jobs.get(told["job_id"])
    assert job.options["full_reindex"] is True
    assert told["options"]["full_reindex"] is True
    assert told["options"]["incremental"] is False


async def test_a_second_sync_joins_and_a_forced_one_replaces(house: House, alias: str) -> None:
    """No body is `{}`; joined, the answer is 202 all the same, and says so."""
    first = await sync(house, "/api/repositories/code/sync")
    second = await sync(house, "/api/repositories/code/sync", {"pull_remote": False})
    forced = await sync(house, "/api/repositories/code/sync", {"force_sync": True})

    assert second["job_id"] == first["job_id"]
    assert "joined" in second["message"].lower()
    assert "fetches" in second["message"]
    assert forced["job_id"] != first["job_id"]
    assert (await house.jobs.get(first["job_id"])).status == "cancelled"


async def test_an_unknown_alias_is_not_found(house: House, alias: str) -> None:
    """In the client's own words; another user's project is as good as none."""
    for user, name in (("alice", "nobody-knows-this"), ("bob", alias)):
        answer = await house.ask("POST", f"/api/repositories/{name}/sync", user=user, json={})
        assert answer.status == 404
        detail = problem_of(answer, await answer.json())["detail"]
        assert detail == f"Repository '{name}' not found"


@pytest.mark.parametrize("name", ["a%20b", "%C3%A4", "a%2Fb", "-x", "x" * 65])
async def test_an_alias_that_can_be_none_is_refused(house: House, name: str) -> None:
    """422 with the rule, or 404; never more."""
    url = house.client.make_url("/").with_path(f"/api/repositories/{name}/sync", encoded=True)
    headers = {"Authorization": f"Bearer {house.tokens['alice']}"}

    answer = await house.client.session.post(url, headers=headers)

    assert answer.status in {404, 422}
    assert len((await answer.json())["detail"]) > 10


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'"x"', 400),
        (b'{"force": "yes please"}', 422),
        (b'{"incremental": 5}', 422),
    ],
)
async def test_a_wrong_body_is_refused(house: House, alias: str, body: bytes, status: int) -> None:
    """400 what is no JSON object, 422 a wrong member; with text."""
    headers = {"Content-Type": "application/json"}

    answer = await house.ask("POST", "/api/repositories/code/sync", data=body, headers=headers)

    assert answer.status == status
    assert isinstance((await answer.json())["detail"], str)


async def test_the_short_form_is_whole_in_every_state(house: House, alias: str) -> None:
    """Waiting, cancelled, completed, failed: phase and message are text, the status is known."""
    await house.ask("POST", "/api/admin/resume", user="root", json={})
    held = await house.submit(hold=True)
    cancelled = await house.submit(project_id="q", hold=True)
    await house.ask("POST", f"/api/jobs/{cancelled['job_id']}/cancel", json={"reason": "no need"})
    good, bad = await house.submit_ended("quick"), await house.submit_ended("broken")
    running = await house.submit_running(project_id="r")
    expected = {
        held["job_id"]: ("queued", "queued"),
        cancelled["job_id"]: ("cancelled", "cancelled"),
        good.job_id: ("completed", "completed"),
        bad.job_id: ("failed", "failed"),
        running["job_id"]: ("running", "starting"),
    }

    for job_id, (status, phase) in expected.items():
        job = await (await house.ask("GET", f"/api/jobs/{job_id}/status")).json()
        assert (job["status"], job["phase"]) == (status, phase)
        assert job["id"] == job["job_id"] == job_id
        assert job["username"] == "alice"
        assert isinstance(job["operation_type"], str)
        assert job["message"]
        assert type(job["progress"]) is int
        assert {"files_processed", "total_files", "phases", "options"}.isdisjoint(job)
        if status == "cancelled":
            assert job["message"] == "no need"
        if status == "failed":
            assert job["error_details"].endswith("it broke")


async def test_what_is_not_there_or_over_is_said(house: House) -> None:
    """The words by which the client tells one from the other."""
    done = await house.submit_ended("quick")

    for method, path in (("GET", "/status"), ("DELETE", "")):
        answer = await house.ask(method, f"/api/jobs/{NO_JOB}{path}")
        assert answer.status == 404
        assert "Job not found" in (await answer.json())["detail"]
    over = await house.ask("DELETE", f"/api/jobs/{done.job_id}")
    assert over.status == 409
    assert "cancel" in (await over.json())["detail"].lower()


async def test_repositories_are_listed_as_the_client_reads_them(house: House, alias: str) -> None:
    """All members but the lists are text, also before the first sync."""
    listed = await (await house.ask("GET", "/api/repos")).json()
    status = await (await house.ask("GET", "/api/repos/code/sync-status")).json()
    everything = await (await house.ask("GET", "/api/repos/sync-status")).json()
    missing = await house.ask("GET", "/api/repos/nothing/sync-status")
    params = {"source": REPOSITORY.removesuffix(".git").replace("example", "EXAMPLE") + "/"}
    found = await (await house.ask("GET", "/api/repos/discover", params=params)).json()

    (row,) = listed["repositories"]
    assert listed["total"] == 1
    assert (row["user_alias"], row["access_permissions"], row["usage_limits"]) == (alias, [], {})
    lists = {"access_permissions", "usage_limits"}
    assert all(isinstance(row[name], str) for name in row.keys() - lists)
    assert status["sync_status"] == "needs_sync"
    assert isinstance(status["current_branch"], str)
    assert status["has_conflicts"] is False
    assert everything == {alias: status}
    assert missing.status == 404
    assert found["total_matches"] == 1
    assert found["activated_repositories"][0]["alias"] == alias
    assert found["activated_repositories"][0]["repository_type"] == "activated"


async def test_administrators_see_everybodys_jobs_and_figures(house: House) -> None:
    """Numbers always, by the days of the submits; a dry run deletes nothing."""
    await house.submit_ended("quick")
    await house.submit_ended("broken", "bob")

    async def get(path: str, method: str = "GET") -> Any:
        answer = await house.ask(method, f"/api/admin/jobs{path}", user="root")
        assert answer.status == 200, await answer.text()
        return await answer.json()

    page = await get("?limit=2&offset=0&status=completed")
    stats = await get("/stats")
    future = await get("/stats?start_date=2200-01-01&end_date=9999-12-31")
    dry = await get("/cleanup?max_age_hours=0&dry_run=true&status=completed&more=1", "DELETE")

    assert [(job["id"], job["type"]) for job in page["jobs"]] == [
        (job["job_id"], "quick") for job in page["jobs"]
    ]
    assert page["total"] == 1
    assert stats["total_jobs"] == 2
    assert stats["by_status"] == {"completed": 1, "failed": 1}
    assert stats["success_rate"] == 50.0
    assert isinstance(stats["average_duration"], float)
    assert (future["total_jobs"], future["success_rate"], future["average_duration"]) == (0, 0, 0)
    assert (dry["cleaned_count"], dry["dry_run"]) == (1, True)
    assert (await get("?status=completed"))["total"] == 1
    assert (await get("/cleanup?max_age_hours=0", "DELETE"))["cleaned_count"] == 2
    assert (await get(""))["total"] == 0


@pytest.mark.parametrize(
    "path",
    ["/stats?start_date=2026-13-01", "/stats?end_date=tomorrow", "?limit=0", "?status=odd"],
)
async def test_wrong_parameters_are_the_clients_error(house: House, path: str) -> None:
    """400 with text."""
    answer = await house.ask("GET", f"/api/admin/jobs{path}", user="root")

    assert answer.status == 400
    assert len((await answer.json())["detail"]) > 10


async def test_maintenance_drains_and_ends(house: House) -> None:
    """Drained is: nothing new is taken, and nothing runs."""
    running = await house.submit_running()

    async def ask(method: str, name: str) -> Any:
        answer = await house.ask(method, f"/api/admin/maintenance/{name}", user="root")
        assert answer.status == 200, await answer.text()
        return await answer.json()

    entered = await ask("POST", "enter")
    seen = await ask("GET", "drain-status")
    longest = await ask("GET", "drain-timeout")
    await house.jobs.cancel(running["job_id"])
    await house.jobs.wait(running["job_id"], timeout=10)
    after = await ask("GET", "status")
    left = await ask("POST", "exit")

    assert (entered["maintenance_mode"], entered["drained"]) == (True, False)
    assert [job["id"] for job in seen["jobs"]] == [running["job_id"]]
    assert longest["recommended_drain_timeout_seconds"] > 0
    assert (after["drained"], after["running_jobs"]) == (True, 0)
    assert (left["maintenance_mode"], left["drained"]) == (False, False)
