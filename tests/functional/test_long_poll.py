"""Reading a job: tags, conditions and waiting, row by row of the table in api.md 1.4."""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cidx_jobs.engine.follow.long_poll import REVISION_SECONDS
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.web.app import create_app
from cidx_jobs.web.http import parked as waiters
from cidx_jobs.web.keys import API
from cidx_jobs.web.server import listening
from tests.fakes import WAIT_SECONDS
from tests.functional.web import AioClient, House, eventually, open_house

FORMS = pytest.mark.parametrize("form", ["", "/status"])


def poll(
    house: House, job_id: str, form: str, query: str, **more: Any
) -> asyncio.Task[aiohttp.ClientResponse]:
    """Begin to read the job."""
    return asyncio.create_task(house.ask("GET", f"/api/jobs/{job_id}{form}?{query}", **more))


async def tag_of(house: House, job_id: str) -> str:
    """Give the tag of the job as it is now."""
    return (await house.ask("GET", f"/api/jobs/{job_id}")).headers["ETag"]


@FORMS
async def test_reading_gives_the_job_with_its_tag(house: House, form: str) -> None:
    """A job that runs has its version as tag, and comes with when to ask again."""
    job = await house.submit_running()

    answer = await house.ask("GET", f"/api/jobs/{job['job_id']}{form}")

    document = await answer.json()
    assert answer.status == 200
    assert answer.headers["ETag"] == f'W/"{document["version"]}"'
    assert answer.headers["Retry-After"] == "1"


@FORMS
async def test_a_waiting_job_has_the_queues_revision_in_its_tag(house: House, form: str) -> None:
    """Its place may change without a new version."""
    job = await house.submit(hold=True)

    answer = await house.ask("GET", f"/api/jobs/{job['job_id']}{form}")

    version, dot, revision = answer.headers["ETag"][3:-1].partition(".")
    assert (int(version), dot, revision.isdigit()) == (job["version"], ".", True)
    assert answer.headers["Retry-After"] == "2"


@FORMS
@pytest.mark.parametrize("runs", [True, False])
async def test_a_known_tag_is_not_sent_again(house: House, form: str, runs: bool) -> None:
    """304 without a body, with the tag and when to ask again."""
    job = await (house.submit_running() if runs else house.submit(hold=True))
    path = f"/api/jobs/{job['job_id']}{form}"
    tag = (await house.ask("GET", path)).headers["ETag"]

    answer = await house.ask("GET", path, headers={"If-None-Match": f'W/"0", {tag}'})

    assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", tag)
    assert answer.headers["Retry-After"] == ("1" if runs else "2")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_tag_of_the_submit_is_known_too(house: House) -> None:
    """It names the version alone."""
    job = await house.submit(hold=True)
    headers = {"If-None-Match": f'W/"{job["version"]}"'}

    answer = await house.ask("GET", f"/api/jobs/{job['job_id']}", headers=headers)

    assert answer.status == 304


@FORMS
@pytest.mark.parametrize("query", ["wait=30&since=1", "wait=30&since=999", "wait=30&since=0"])
async def test_another_version_is_answered_at_once(house: House, form: str, query: str) -> None:
    """`change` holds already when the version is not the baseline's, also when it is behind."""
    job = await house.submit_running()

    answer = await asyncio.wait_for(poll(house, job["job_id"], form, query), WAIT_SECONDS)

    assert (answer.status, (await answer.json())["status"]) == (200, "running")


async def test_another_status_than_at_the_baseline_is_answered_at_once(house: House) -> None:
    """`status` is counted from the baseline: version 2 was queued, now it runs."""
    job = await house.submit_running()
    query = "wait=30&since=2&until=status"

    answer = await asyncio.wait_for(poll(house, job["job_id"], "", query), WAIT_SECONDS)

    assert (await answer.json())["status"] == "running"


@pytest.mark.slow
async def test_the_same_status_as_at_the_baseline_waits(house: House) -> None:
    """Version 2 was queued already and version 3 is again: a new label is no new status."""
    job = await house.submit(hold=True, labels={})
    await house.ask("PATCH", f"/api/jobs/{job['job_id']}", json={"labels": {"a": "1"}})
    begun = time.monotonic()

    answer = await poll(house, job["job_id"], "", "wait=1&since=1&until=status")

    assert answer.status == 200
    assert time.monotonic() - begun > 0.9


@FORMS
@pytest.mark.parametrize("until", ["change", "status", "done"])
async def test_a_finished_job_is_answered_at_once(house: House, form: str, until: str) -> None:
    """Whatever was asked; without a time to ask again."""
    job = await house.submit_ended()
    query = f"wait=30&until={until}&since={job.version}"

    answer = await asyncio.wait_for(poll(house, job.job_id, form, query), WAIT_SECONDS)

    assert (answer.status, (await answer.json())["done"]) == (200, True)
    assert "Retry-After" not in answer.headers


@FORMS
async def test_a_finished_job_that_is_known_is_a_304_at_once(house: House, form: str) -> None:
    """The condition is kept also when waiting was asked for."""
    job = await house.submit_ended()
    headers = {"If-None-Match": f'W/"{job.version}"'}

    answer = await asyncio.wait_for(
        poll(house, job.job_id, form, "wait=30", headers=headers), WAIT_SECONDS
    )

    assert answer.status == 304


@FORMS
@pytest.mark.parametrize("baseline", ["since", "If-None-Match"])
async def test_a_change_wakes_who_waits_for_it(house: House, form: str, baseline: str) -> None:
    """200 with the new document, as soon as it is stored."""
    job = await house.submit_running()
    running = await house.jobs.get(job["job_id"])
    query, headers = "wait=30", {}
    if baseline == "since":
        query += f"&since={running.version}"
    else:
        headers["If-None-Match"] = await tag_of(house, job["job_id"])
    reader = poll(house, job["job_id"], form, query, headers=headers)
    await house.parked(1)

    await house.gate.contexts[0].report(percent=10, message="moved")

    answer = await asyncio.wait_for(reader, WAIT_SECONDS)
    document = await answer.json()
    assert (answer.status, document["progress"]) == (200, 10)
    assert document["version"] > running.version


async def test_who_waits_for_the_end_sleeps_through_changes(house: House) -> None:
    """`done` is the default without a baseline."""
    job = await house.submit_running()
    reader = poll(house, job["job_id"], "", "wait=30")
    await house.parked(1)
    await house.gate.contexts[0].report(percent=10)
    await house.until_version(job["job_id"], 4)
    was_asleep = not reader.done()

    house.gate.open()

    answer = await asyncio.wait_for(reader, WAIT_SECONDS)
    assert was_asleep
    assert (await answer.json())["status"] == "completed"


async def test_who_waits_for_a_status_sleeps_through_progress(house: House) -> None:
    """Without a baseline it is counted from now."""
    job = await house.submit_running()
    reader = poll(house, job["job_id"], "", "wait=30&until=status")
    await house.parked(1)
    await house.gate.contexts[0].report(percent=10)
    await house.until_version(job["job_id"], 4)
    was_asleep = not reader.done()

    await house.ask("DELETE", f"/api/jobs/{job['job_id']}")

    assert was_asleep
    assert (await (await asyncio.wait_for(reader, WAIT_SECONDS)).json())["status"] == "cancelled"


@pytest.mark.slow
@FORMS
async def test_nothing_until_the_time_is_up(house: House, form: str) -> None:
    """200 with the job as it is; 304 where a condition was sent and holds."""
    job = await house.submit_running()
    version = (await house.jobs.get(job["job_id"])).version
    headers = {"If-None-Match": await tag_of(house, job["job_id"])}
    begun = time.monotonic()

    plain = poll(house, job["job_id"], form, f"wait=1&since={version}")
    conditional = poll(house, job["job_id"], form, "wait=1", headers=headers)

    assert ((await plain).status, (await conditional).status) == (200, 304)
    assert (await plain).headers["Retry-After"] == "1"
    assert 0.9 < time.monotonic() - begun < 3


@pytest.mark.slow
@pytest.mark.parametrize("is_of_submit", [False, True])
async def test_a_new_place_in_the_queue_wakes_who_waits_for_a_change(
    aiohttp_client: AioClient, tmp_path: Path, *, is_of_submit: bool
) -> None:
    """The version stays, the revision grows; the tag of a submit names the version alone."""
    async with open_house(aiohttp_client, tmp_path, max_running_per_user=1) as house:
        await house.submit_running()
        first = await house.submit(project_id="q")
        second = await house.submit(project_id="r")
        tag = await tag_of(house, second["job_id"])
        tag = f'W/"{second["version"]}"' if is_of_submit else tag
        reader = poll(house, second["job_id"], "", "wait=30", headers={"If-None-Match": tag})
        await house.parked(1)

        await house.ask("DELETE", f"/api/jobs/{first['job_id']}")

        answer = await asyncio.wait_for(reader, WAIT_SECONDS)
        document = await answer.json()
        assert (answer.status, document["version"]) == (200, second["version"])
        assert document["queue"]["position"] == 1
        assert answer.headers["ETag"] != tag


@pytest.mark.parametrize("conditional", [True, False])
async def test_a_stop_answers_who_waits(house: House, conditional: bool) -> None:
    """200 or 304, at once, with a word to come back in two seconds; never a 5xx."""
    job = await house.submit_running()
    headers = {"If-None-Match": await tag_of(house, job["job_id"])} if conditional else {}
    reader = poll(house, job["job_id"], "", "wait=30&until=change", headers=headers)
    await house.parked(1)

    await house.jobs.begin_stop()

    answer = await asyncio.wait_for(reader, WAIT_SECONDS)
    assert answer.status == (304 if conditional else 200)
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Retry-After"] == "2"


async def test_an_application_that_goes_answers_who_waits(house: House) -> None:
    """Also where the system was opened by somebody else, and stays open."""
    job = await house.submit_running()
    reader = poll(house, job["job_id"], "", "wait=30")
    await house.parked(1)

    await house.client.app.shutdown()

    answer = await asyncio.wait_for(reader, WAIT_SECONDS)
    assert (answer.status, (await answer.json())["status"]) == (200, "running")
    assert not house.jobs.is_stopping


@pytest.mark.parametrize(
    ("limits", "other_waits"),
    [
        ({"max_waiters_per_user": 2}, True),
        ({"max_waiters_total": 2}, False),
    ],
)
async def test_too_many_who_wait_are_answered_at_once(
    aiohttp_client: AioClient, tmp_path: Path, limits: dict[str, int], other_waits: bool
) -> None:
    """As if the time were up, and to come again in a second."""
    async with open_house(aiohttp_client, tmp_path, **limits) as house:
        job = await house.submit_running()
        await house.submit_running("bob")
        first = [poll(house, job["job_id"], "", "wait=30") for _ in range(2)]
        await house.parked(2)

        third = await asyncio.wait_for(poll(house, job["job_id"], "", "wait=30"), WAIT_SECONDS)
        await house.submit(user="bob", project_id="q")
        places = house.client.app[API].waiters

        assert (third.status, third.headers["Retry-After"]) == (200, "1")
        assert (await third.json())["done"] is False
        assert places.has_place("bob") is other_waits
        house.gate.open()
        assert {(await reader).status for reader in first} == {200}


async def test_many_who_wait_leave_nothing_behind(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """A03 in small: beyond the cap each is answered at once, and all places come back."""
    async with open_house(aiohttp_client, tmp_path, max_waiters_per_user=50) as house:
        job = await house.submit_running()
        path = f"/api/jobs/{job['job_id']}?wait=30"
        readers = [asyncio.create_task(house.ask("GET", path)) for _ in range(50)]
        await house.parked(50)

        beyond = await asyncio.gather(*(house.ask("GET", path) for _ in range(200)))

        assert {answer.headers["Retry-After"] for answer in beyond} == {"1"}
        house.gate.open()
        await asyncio.gather(*readers)
        assert house.client.app[API].waiters.count == 0


async def test_a_client_that_went_away_frees_its_place(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request does not wait on for nobody, though aiohttp lets handlers run on."""
    monkeypatch.setattr(waiters, "LOOK_SECONDS", 0.01)
    job = await house.submit_running()
    app = create_app(house.jobs)
    headers = {"Authorization": f"Bearer {house.tokens['alice']}"}
    async with (
        listening(app, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession(headers=headers) as http,
    ):
        reader = asyncio.create_task(http.get(f"{url}/api/jobs/{job['job_id']}?wait=55"))
        await eventually(lambda: app[API].waiters.count == 1)

        reader.cancel()

        await eventually(lambda: app[API].waiters.count == 0)


@FORMS
async def test_head_never_waits(house: House, form: str) -> None:
    """The head of the answer, at once, without a body."""
    job = await house.submit_running()

    answer = await asyncio.wait_for(
        house.ask("HEAD", f"/api/jobs/{job['job_id']}{form}?wait=30"), WAIT_SECONDS
    )

    assert (answer.status, await answer.read()) == (200, b"")
    assert answer.headers["ETag"]


@FORMS
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("wait=-1", "wait"),
        ("wait=1.5", "wait"),
        ("wait=x", "wait"),
        ("wait=", "wait"),
        ("wait=%D9%A3", "wait"),
        ("since=x", "since"),
        ("since=-1", "since"),
        ("until=never", "until"),
        ("wait=1&wait=2", "wait"),
        ("nonsense=1", "nonsense"),
    ],
)
async def test_a_fault_in_the_query_is_named(
    house: House, form: str, query: str, parameter: str
) -> None:
    """400 with the parameter."""
    job = await house.submit(hold=True)

    answer = await house.ask("GET", f"/api/jobs/{job['job_id']}{form}?{query}")

    problem = await answer.json()
    assert (answer.status, problem["code"]) == (400, "invalid_parameter")
    assert problem["parameter"] == parameter


async def test_a_longer_wait_is_cut(house: House) -> None:
    """More than 55 seconds is no fault."""
    job = await house.submit_ended()

    answer = await house.ask("GET", f"/api/jobs/{job.job_id}?wait=999999")

    assert answer.status == 200


async def test_the_short_form_is_that_of_the_pollers(house: House) -> None:
    """It is queued while it waits, and its message is text."""
    job = await house.submit(hold=True)

    document = await (await house.ask("GET", f"/api/jobs/{job['job_id']}/status")).json()

    assert (document["status"], document["phase"]) == ("queued", "queued")
    assert isinstance(document["message"], str)
    assert document["id"] == document["job_id"] == job["job_id"]
    assert not {"options", "phases", "attempts", "links"} & set(document)


async def test_the_whole_job_says_created(house: House) -> None:
    """Everywhere but in the short form."""
    job = await house.submit(hold=True)

    document = await (await house.ask("GET", f"/api/jobs/{job['job_id']}")).json()

    assert document["status"] == JobStatus.CREATED


@pytest.mark.slow
async def test_a_look_by_somebody_else_hides_no_change(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Who reads the new place first does not take it from those who wait for it."""
    async with open_house(aiohttp_client, tmp_path, max_running_per_user=1) as house:
        await house.submit_running()
        first = await house.submit(project_id="q")
        second = await house.submit(project_id="r")
        tag = await tag_of(house, second["job_id"])
        reader = poll(house, second["job_id"], "", "wait=30", headers={"If-None-Match": tag})
        await house.parked(1)
        await asyncio.sleep(REVISION_SECONDS)  # so that the next look may see a new place

        await house.ask("DELETE", f"/api/jobs/{first['job_id']}")
        await house.ask("GET", f"/api/jobs/{second['job_id']}", user="root")

        answer = await asyncio.wait_for(reader, WAIT_SECONDS)
        assert (await answer.json())["queue"]["position"] == 1


async def test_a_position_is_the_rank_when_it_is_read(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Also where the tag has not moved on yet: it does so at most once a second (G9)."""
    async with open_house(aiohttp_client, tmp_path, max_running_per_user=1) as house:
        await house.submit_running()
        waiting = [await house.submit(project_id=f"w{number}") for number in range(4)]
        path = f"/api/jobs/{waiting[-1]['job_id']}"
        positions = []
        for job in waiting[:-1]:
            positions.append((await (await house.ask("GET", path)).json())["queue"]["position"])
            await house.ask("DELETE", f"/api/jobs/{job['job_id']}")
        positions.append((await (await house.ask("GET", path)).json())["queue"]["position"])

    assert positions == [4, 3, 2, 1]
