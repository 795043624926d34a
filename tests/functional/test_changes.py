"""Changing jobs over HTTP: cancel, delete, retry, start, patch."""

from typing import Any

import pytest

from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Pauses
from tests.functional.web import REPOSITORY, House, problem_of


async def test_a_waiting_job_is_cancelled_at_once(house: House) -> None:
    """200, cancelled, with the reason; a second time changes nothing."""
    job = await house.submit(hold=True)
    path = f"/api/jobs/{job['job_id']}/cancel"

    answer = await house.ask("POST", path, json={"reason": "not needed"})
    again = await house.ask("POST", path)

    after = await answer.json()
    assert (answer.status, after["status"], after["done"]) == (200, "cancelled", True)
    assert after["cancel_reason"] == "not needed"
    assert (again.status, (await again.json())["version"]) == (200, after["version"])


async def test_a_running_job_is_told_to_stop(house: House) -> None:
    """202 while it stops, then it is cancelled."""
    job = await house.submit_running()

    answer = await house.ask("POST", f"/api/jobs/{job['job_id']}/cancel")

    after = await answer.json()
    assert (answer.status, after["status"]) == (202, "running")
    assert after["cancel_requested_at"] is not None
    await house.until(job["job_id"], JobStatus.CANCELLED)


@pytest.mark.parametrize("runs", [False, True])
async def test_the_reason_of_a_cancel_keeps_no_secret(house: House, runs: bool) -> None:
    """It is the text of the job's error: passwords are taken out before it is stored."""
    job = await (house.submit_running() if runs else house.submit(hold=True))
    reason = {"reason": "https://ann:hunter2@example.com does not answer"}

    await house.ask("POST", f"/api/jobs/{job['job_id']}/cancel", json=reason)

    await house.until(job["job_id"], JobStatus.CANCELLED)
    stored = await (await house.ask("GET", f"/api/jobs/{job['job_id']}")).text()
    log = await (await house.ask("GET", f"/api/jobs/{job['job_id']}/events")).text()
    assert stored.count("https://[secret]@example.com does not answer") >= 2
    assert "hunter2" not in stored + log


@pytest.mark.parametrize("runs", [True, False])
async def test_delete_is_cancel_for_clients_that_expect_the_verb(house: House, runs: bool) -> None:
    """200 with the job, success and a message, whether it has stopped yet or not."""
    job = await (house.submit_running() if runs else house.submit(hold=True))

    answer = await house.ask("DELETE", f"/api/jobs/{job['job_id']}")

    after = await answer.json()
    assert (answer.status, after["success"]) == (200, True)
    assert after["status"] == ("running" if runs else "cancelled")
    assert isinstance(after["message"], str)
    assert after["job_id"] == job["job_id"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_what_has_finished_cannot_be_cancelled(house: House, method: str) -> None:
    """409 already_finished, with the word that the CIDX client looks for."""
    job = await house.submit_ended()
    path = f"/api/jobs/{job.job_id}" + ("/cancel" if method == "POST" else "")

    answer = await house.ask(method, path)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (409, "already_finished")
    assert "cancel" in problem["detail"]
    assert problem["job_id"] == job.job_id


async def test_a_failed_job_is_tried_again_on_request(house: House) -> None:
    """202, queued; from the start if that is asked for."""
    job = await house.submit_ended("broken")

    answer = await house.ask("POST", f"/api/jobs/{job.job_id}/retry", json={"from_start": True})

    after = await answer.json()
    assert (answer.status, after["status"], after["done"]) == (202, "queued", False)
    assert after["version"] > job.version


@pytest.mark.parametrize("action", ["retry", "start"])
async def test_what_the_status_does_not_allow_is_a_conflict(house: House, action: str) -> None:
    """409 invalid_transition with the status that is in the way."""
    job = await house.submit_running()

    answer = await house.ask("POST", f"/api/jobs/{job['job_id']}/{action}")

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (409, "invalid_transition")
    assert problem["current_status"] == "running"


async def test_a_held_job_starts_on_request(house: House) -> None:
    """202, and it runs."""
    job = await house.submit(hold=True)

    answer = await house.ask("POST", f"/api/jobs/{job['job_id']}/start")

    assert answer.status == 202
    await house.gate.arrived(1)


async def test_priority_and_labels_of_a_waiting_job_change(house: House) -> None:
    """200; labels are replaced whole, what is not named stays."""
    job = await house.submit(hold=True, labels={"a": "1"}, priority=3)
    path = f"/api/jobs/{job['job_id']}"

    first = await (await house.ask("PATCH", path, json={"labels": {"b": "2"}})).json()
    answer = await house.ask("PATCH", path, json={"priority": 7})

    second = await answer.json()
    assert answer.status == 200
    assert (first["labels"], first["priority"]) == ({"b": "2"}, 3)
    assert (second["labels"], second["priority"]) == ({"b": "2"}, 7)


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ('W/"{version}"', 200),
        ('"{version}"', 200),
        ('W/"{version}.17"', 200),
        ('W/"0", W/"{version}"', 200),
        ("*", 200),
        ('W/"99"', 412),
        ('W/"0", W/"99"', 412),
        ("nonsense", 412),
        ('W/"' + "9" * 5_000 + '"', 412),
    ],
)
async def test_a_change_may_depend_on_the_version(house: House, tag: str, status: int) -> None:
    """`If-Match` is compared by the version's number."""
    job = await house.submit(hold=True)
    headers = {"If-Match": tag.format(version=job["version"])}

    answer = await house.ask(
        "PATCH", f"/api/jobs/{job['job_id']}", json={"priority": 7}, headers=headers
    )

    assert answer.status == status
    if status == 412:
        problem = problem_of(answer, await answer.json())
        assert (problem["code"], problem["version"]) == ("precondition_failed", job["version"])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"priority": 10}, "/priority"),
        ({"priority": "7"}, "/priority"),
        ({"labels": {"A B": "x"}}, "/labels/A B"),
        ({"status": "completed"}, "/status"),
    ],
)
async def test_a_wrong_change_is_named(house: House, body: dict[str, Any], pointer: str) -> None:
    """422 with the pointer; the job stays as it is."""
    job = await house.submit(hold=True)

    answer = await house.ask("PATCH", f"/api/jobs/{job['job_id']}", json=body)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (422, "validation_failed")
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert (await house.jobs.get(job["job_id"])).version == job["version"]


async def test_a_running_job_cannot_be_patched(house: House) -> None:
    """409 invalid_transition."""
    job = await house.submit_running()

    answer = await house.ask("PATCH", f"/api/jobs/{job['job_id']}", json={"priority": 7})

    assert (answer.status, (await answer.json())["code"]) == (409, "invalid_transition")


async def test_a_reason_is_short(house: House) -> None:
    """It is shown to people, and kept."""
    job = await house.submit(hold=True)

    answer = await house.ask(
        "POST", f"/api/jobs/{job['job_id']}/cancel", json={"reason": "x" * 501}
    )

    assert (answer.status, (await answer.json())["errors"][0]["pointer"]) == (422, "/reason")


async def test_every_change_answers_with_the_job_and_its_tag(house: House) -> None:
    """A client need not read again what it has just changed."""
    job = await house.submit(hold=True)
    path = f"/api/jobs/{job['job_id']}"

    for method, route in [("PATCH", path), ("POST", f"{path}/start"), ("DELETE", path)]:
        answer = await house.ask(method, route)

        after = await answer.json()
        assert after["job_id"] == job["job_id"]
        assert answer.headers["ETag"].startswith(f'W/"{after["version"]}')


async def test_a_retry_beside_an_active_sync_is_refused(house: House) -> None:
    """409 project_busy with the active job."""
    await house.jobs.manager.set_controls(pauses=Pauses(everything=True))
    body = {"project_id": "p", "repository_url": REPOSITORY}
    first = await (await house.ask("POST", "/api/sync", json=body)).json()
    await house.ask("DELETE", f"/api/jobs/{first['job_id']}")
    second = await (await house.ask("POST", "/api/sync", json=body)).json()

    answer = await house.ask("POST", f"/api/jobs/{first['job_id']}/retry")

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (409, "project_busy")
    assert problem["active_job_id"] == second["job_id"]
