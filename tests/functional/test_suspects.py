"""Jobs that may kill the server: whom a start blames, and how long they have it to themselves."""

import copy
from pathlib import Path

import pytest
from msgspec.structs import replace

from cidx_jobs import Job, JobStatus, JobSystem
from cidx_jobs.engine.queue.suspects import ALONE_SECONDS, Suspects
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.testing import open_for_tests
from tests.fakes import FakeClock, Gate
from tests.functional.web import AioClient, eventually, open_house

POISON_AFTER = 3
USERS = ("alice", "bob", "root")


async def died_running(gate: Gate, count: int, losses: int) -> tuple[MemoryPersistence, list[Job]]:
    """Give what a server leaves that dies while *count* jobs run which saw so many deaths."""
    store = MemoryPersistence()
    async with open_for_tests([gate.job_type], persistence=store) as jobs:
        submitted = [await jobs.submit("u", "p", job_type="gated") for _ in range(count)]
        await gate.arrived(count)
        left = copy.deepcopy(store)
    for job in submitted:
        kept = left.jobs.database.table.jobs
        kept[job.job_id] = replace(kept[job.job_id], losses=losses)
    return left, submitted


@pytest.mark.parametrize(
    ("count", "losses", "status"),
    [
        (1, POISON_AFTER, JobStatus.FAILED),
        (1, POISON_AFTER - 1, JobStatus.QUEUED),
        (2, POISON_AFTER, JobStatus.QUEUED),
    ],
)
async def test_only_who_ran_alone_at_a_death_too_many_is_blamed(
    count: int, losses: int, status: JobStatus
) -> None:
    """Of several nobody knows which it was: they are queued again, and lose nothing by it."""
    gate = Gate()
    store, submitted = await died_running(gate, count, losses)

    async with open_for_tests(
        [gate.job_type], persistence=store, poison_after=POISON_AFTER
    ) as jobs:
        statuses = [
            (await jobs.manager.query_events(EventQuery(job_id=job.job_id)))[3].to_status
            for job in submitted
        ]
        codes = {job.error.code for job in await jobs.list() if job.error is not None}

    assert statuses == [status] * count
    assert codes == ({"POISONED"} if status is JobStatus.FAILED else set())


@pytest.mark.parametrize(("deaths_more", "seconds"), [(0, 1), (1, 2), (3, 8), (100, 4_096)])
async def test_a_suspect_has_twice_as_long_after_each_further_death(
    deaths_more: int, seconds: int
) -> None:
    """So that also one that takes its time is caught in the end; in units of `ALONE_SECONDS`."""
    gate = Gate()
    store, (job,) = await died_running(gate, 1, POISON_AFTER + deaths_more)
    suspects = Suspects(FakeClock(), POISON_AFTER)

    suspect = replace(store.jobs.database.table.jobs[job.job_id], status=JobStatus.QUEUED)
    suspects.line_up([suspect])

    suspects.begin(suspect)

    assert suspects.seconds_left == pytest.approx(seconds * ALONE_SECONDS)


def find_place(jobs: JobSystem, job: Job) -> tuple[int | None, tuple[str, ...]]:
    """Give where a waiting job stands and why."""
    place = jobs.manager.queue_status(job)
    assert place is not None
    return place.position, place.blocked_by


async def test_while_a_suspect_runs_alone_all_others_are_told_so() -> None:
    """Another suspect and a bystander wait as `recovering`, with its end, until it is proven."""
    gate = Gate()
    store, (first, second) = await died_running(gate, 2, POISON_AFTER)
    gate = Gate()

    async with open_for_tests(
        [gate.job_type], persistence=store, poison_after=POISON_AFTER
    ) as jobs:
        await gate.arrived(1)
        bystander = await jobs.submit("other", "p", job_type="gated")
        places = [find_place(jobs, await jobs.get(job.job_id)) for job in (second, bystander)]
        told = jobs.manager.queue_status(bystander)
        alone = jobs.manager.suspect_run
        notes = jobs.list_notes()
        findings = await jobs.examine()
        await gate.contexts[0].report(percent=1)
        await gate.arrived(2)
        await gate.contexts[1].report(percent=1)
        await gate.arrived(3)
        after = jobs.manager.suspect_run
        gate.open()

    assert places == [(1, ("recovering",)), (2, ("recovering",))]
    assert alone is not None
    assert (alone.job_id, alone.suspects, alone.user_id) == (first.job_id, 2, first.user_id)
    assert told is not None
    assert told.until == alone.until
    assert told.estimated_wait_seconds is None
    assert [(note.kind, note.job_id) for note in notes] == [("recovering", first.job_id)]
    assert not findings
    assert after is None


async def test_a_suspect_whose_start_is_not_stored_is_still_the_first() -> None:
    """A full disk at the wrong moment does not let it run beside others."""
    gate = Gate()
    _, (job,) = await died_running(gate, 1, POISON_AFTER)
    suspects = Suspects(FakeClock(), POISON_AFTER)
    suspect = replace(job, status=JobStatus.QUEUED, losses=POISON_AFTER)
    suspects.line_up([suspect])

    suspects.begin(suspect)
    suspects.take_back(suspect.job_id)

    assert list(suspects) == [suspect.job_id]
    assert suspects.watch is None


async def test_the_queue_and_the_doctor_name_the_suspect(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Its id is for its owner and for administrators; nothing is wrong with the server."""
    gate = Gate()
    store, (suspect,) = await died_running(gate, 1, POISON_AFTER - 1)
    rows = store.jobs.database.table.jobs
    rows[suspect.job_id] = replace(rows[suspect.job_id], user_id=UserId("bob"))

    async with open_house(aiohttp_client, tmp_path, (), store, poison_after=POISON_AFTER) as house:
        await house.gate.arrived(1)
        job = await house.submit()
        answers = [await house.ask("GET", "/api/queue", user=user) for user in USERS]
        seen = [(await answer.json())["recovering"] for answer in answers]
        answer = await house.ask("GET", f"/api/jobs/{job['job_id']}/status")
        status = await answer.json()
        doctor = await (await house.ask("GET", "/api/admin/doctor", user="root")).json()
        await house.gate.contexts[0].report(percent=1)
        await house.until(job["job_id"], JobStatus.RUNNING)
        calm = await (await house.ask("GET", "/api/queue")).json()

    assert [one["job_id"] for one in seen] == [None, suspect.job_id, suspect.job_id]
    assert {one["suspects"] for one in seen} == {1}
    assert status["queue"]["blocked_by"] == ["recovering"]
    assert status["queue"]["until"] == seen[0]["until"]
    assert "recovering" in status["message"]
    assert (doctor["ok"], doctor["findings"]) == (True, [])
    assert [(note["kind"], note["job_id"]) for note in doctor["notes"]] == [
        ("recovering", suspect.job_id)
    ]
    assert calm["recovering"] is None


async def test_a_stopping_server_says_draining() -> None:
    """From the moment at which it begins to stop nothing starts, and who waits is told."""
    gate = Gate()
    async with open_for_tests([gate.job_type], max_running_total=1) as jobs:
        await jobs.submit("u", "p", job_type="gated")
        await gate.arrived(1)
        waiting = await jobs.submit("u", "q", job_type="gated")
        await jobs.begin_stop()
        place = find_place(jobs, waiting)
        gate.open()
        await eventually(lambda: not jobs.concurrency.count_running())
        after = await jobs.get(waiting.job_id)

    assert place == (1, ("draining", "total_limit"))
    assert after.status is JobStatus.QUEUED
