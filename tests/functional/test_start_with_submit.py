"""A job that can start at once: its submit and its start are one transaction (api.md 1.2)."""

import asyncio
import contextlib
import select
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import Job, JobContext, JobStatus, JobType, StorageUnavailableError
from cidx_jobs.clock import SystemClock
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.submit import RequestKey, SubmitRequest
from cidx_jobs.model.limits import Pauses
from cidx_jobs.model.listing import Change, EventQuery
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.fakes import WAIT_SECONDS, Gate
from tests.functional.scripted import ended, opened, submit, turns
from tests.functional.web import AioClient, House, eventually, open_house, problem_of

SUBMIT_AND_START = ["submit", "enqueue", "start"]


async def do_nothing(_: JobContext) -> None:
    """End at once."""


async def test_an_idle_job_makes_two_commits() -> None:
    """One with its submit and its start, one with its end."""
    async with opened(JobType("noop", do_nothing)) as (jobs, store):
        job = await submit(jobs, job_type="noop")
        over = await ended(jobs, job)
        rows = await jobs.manager.query_events(EventQuery(job_id=job.job_id))

    assert store.commits == [SUBMIT_AND_START, ["complete"]]
    assert (job.status, job.version, over.version) == (JobStatus.QUEUED, 2, 4)
    assert [(row.version, row.to_status) for row in rows] == [
        (1, JobStatus.CREATED),
        (2, JobStatus.QUEUED),
        (3, JobStatus.RUNNING),
        (4, JobStatus.COMPLETED),
    ]


@pytest.mark.parametrize(
    "reason", ["paused", "user paused", "no slot", "no resource", "project busy", "key"]
)
async def test_who_has_to_wait_is_stored_as_waiting(reason: str) -> None:
    """Whatever makes the scheduler pass a job over keeps its submit from starting it."""
    gate = Gate(resources=("git",)) if reason == "no resource" else Gate(exclusive=True)
    others: dict[str, Any] = {
        "resources": {"git": 1},
        "max_running_total": 1 if reason == "no slot" else 9,
    }
    second: dict[str, Any] = {"limits": {"k": 1}} if reason == "key" else {}
    project = "p" if reason == "project busy" else "q"
    async with opened(gate.job_type, JobType("other", do_nothing, exclusive=True), **others) as (
        jobs,
        store,
    ):
        first = await submit(jobs, **second)
        await gate.arrived(1)
        if reason == "paused":
            await jobs.manager.set_controls(pauses=Pauses(everything=True))
        elif reason == "user paused":
            await jobs.manager.set_controls(pauses=Pauses(users=frozenset({first.user_id})))
        job_type = "other" if reason == "project busy" else "gated"
        job = await submit(jobs, project, job_type=job_type, **second)
        await turns()
        place = jobs.manager.queue_status(await jobs.get(job.job_id))

    assert store.commits[1] == ["submit", "enqueue"]
    assert place is not None
    assert place.blocked_by != ()


async def test_a_refused_submit_gives_its_slot_back() -> None:
    """Nothing of it was stored: the only slot is there for the next."""

    def refuse(_: Sequence[Change]) -> None:
        raise StorageUnavailableError

    gate = Gate()
    async with opened(gate.job_type, max_running_total=1) as (jobs, store):
        store.before = refuse
        with pytest.raises(StorageUnavailableError):
            await submit(jobs, limits={"k": 1})
        left = jobs.concurrency.count_running()
        store.before = lambda _: None
        await submit(jobs, limits={"k": 1})
        await gate.arrived(1)

    assert left == 0
    assert store.commits[0] == SUBMIT_AND_START


async def test_who_lost_the_race_for_a_key_holds_no_slot() -> None:
    """Of many equal requests in one moment one makes the job; the others answer with it."""
    gate = Gate()
    request = SubmitRequest(
        user_id=UserId("u"),
        project_id=ProjectId("p"),
        job_type="gated",
        request_key=RequestKey(key="k", fingerprint="f"),
    )
    async with opened(gate.job_type) as (jobs, store):
        store.until = _after_some_turns
        answers = await asyncio.gather(*[jobs.manager.create_job(request) for _ in range(10)])
        await gate.arrived(1)
        running = jobs.concurrency.count_running()

    assert len({answer.job.job_id for answer in answers}) == 1
    assert (running, len(gate.contexts)) == (1, 1)


async def _after_some_turns(_: Sequence[Change]) -> None:
    await turns(3)


async def test_no_start_overtakes_a_submit_on_its_way() -> None:
    """While an earlier job is just being stored as waiting, a slot that is freed is not taken."""
    gate, arrive = Gate(), asyncio.Event()

    async def hold_back(changes: Sequence[Change]) -> None:
        if changes[0].job.project_id == "late" and changes[0].base_version == 0:
            await arrive.wait()

    async with opened(gate.job_type, max_running_per_user=1) as (jobs, store):
        store.until = hold_back
        first = await submit(jobs)
        await gate.arrived(1)
        earlier = asyncio.create_task(submit(jobs, "late"))
        await turns()
        gate.open()
        await ended(jobs, first)
        later = await submit(jobs, "later")
        told = [list(commit) for commit in store.commits]
        arrive.set()
        over = [await ended(jobs, job) for job in (await earlier, later)]

    assert told[-1] == ["submit", "enqueue"]
    assert [job.status for job in over] == [JobStatus.COMPLETED] * 2
    assert [context.job.project_id for context in gate.contexts][:1] == ["p"]
    assert store.commits.index(["submit", "enqueue"]) > 0


async def test_exclusive_jobs_of_two_types_do_not_start_in_one_moment() -> None:
    """They are of one project: the second waits for the first, though both are on their way."""
    gate, other = Gate(exclusive=True), Gate("other", exclusive=True)
    async with opened(gate.job_type, other.job_type) as (jobs, store):
        store.until = _after_some_turns
        answers = await asyncio.gather(submit(jobs), submit(jobs, job_type="other"))
        await gate.arrived(1)
        await turns()
        before = len(other.contexts)
        gate.open()
        other.open()
        over = [await ended(jobs, job) for job in answers]

    assert before == 0
    assert [job.status for job in over] == [JobStatus.COMPLETED] * 2


async def test_jobs_with_a_key_do_not_start_in_one_moment() -> None:
    """The number of a key holds before anything of its first jobs is stored."""
    gate = Gate()
    async with opened(gate.job_type) as (jobs, store):
        store.until = _after_some_turns
        answers = await asyncio.gather(
            *[submit(jobs, f"p{number}", limits={"k": 2}) for number in range(5)]
        )
        await gate.arrived(2)
        await turns()
        most = gate.most_running
        gate.open()
        over = [await ended(jobs, job) for job in answers]

    assert (most, gate.most_running) == (2, 2)
    assert [job.status for job in over] == [JobStatus.COMPLETED] * 5


async def test_many_submits_in_one_moment_keep_to_the_limits() -> None:
    """A slot is taken before the start is stored, so that nobody else finds it free."""
    gate = Gate()
    async with opened(gate.job_type, max_running_per_user=3) as (jobs, store):
        store.until = _after_some_turns
        answers = await asyncio.gather(*[submit(jobs, f"p{number}") for number in range(9)])
        await gate.arrived(3)
        await turns()
        most = gate.most_running
        gate.open()
        over = [await ended(jobs, job) for job in answers]

    assert (most, gate.most_running) == (3, 3)
    assert [job.status for job in over] == [JobStatus.COMPLETED] * 9


async def test_a_stop_waits_for_starts_that_are_being_stored() -> None:
    """Such a run is interrupted as every other: its job waits again, with no attempt counted."""
    gate = Gate()
    async with opened(gate.job_type, shutdown_grace_seconds=0) as (jobs, store):
        store.may_tell.clear()
        submitting = asyncio.create_task(submit(jobs))
        await turns()
        closing = asyncio.create_task(jobs.close())
        await turns()
        was_closed = closing.done()
        store.may_tell.set()
        async with asyncio.timeout(WAIT_SECONDS):
            job = await submitting
            await closing
        row = await store.load_job(job.job_id)

    assert not was_closed
    assert row is not None
    assert (row.status, row.attempt, row.run) == (JobStatus.QUEUED, 0, 1)


async def test_a_cancel_between_the_commit_and_the_task_is_kept() -> None:
    """It found no task that could be told; the handler never begins."""
    gate = Gate()
    cancels: list[asyncio.Task[Job]] = []
    async with opened(gate.job_type) as (jobs, _):

        def cancel_at_once(job: Job) -> bool:
            if job.status is JobStatus.RUNNING and not cancels:
                cancels.append(asyncio.create_task(jobs.cancel(job.job_id)))
            return False

        jobs.manager.subscribe(cancel_at_once)
        job = await submit(jobs)
        over = await ended(jobs, job)
        told = await cancels[0]

    assert (told.status, over.status) == (JobStatus.RUNNING, JobStatus.CANCELLED)
    assert gate.contexts == []


async def test_a_submit_that_nobody_waits_for_starts_all_the_same() -> None:
    """Its caller was cancelled; the job is stored as running, and runs."""
    gate = Gate()
    async with opened(gate.job_type) as (jobs, store):
        store.may_answer.clear()
        submitting = asyncio.create_task(submit(jobs))
        async with asyncio.timeout(WAIT_SECONDS):
            await store.has_stored.wait()
        submitting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await submitting
        await gate.arrived(1)


async def test_a_start_with_its_submit_leaves_nothing_in_the_order() -> None:
    """No turn of it is remembered as that of a job that may yet come."""
    async with opened(JobType("noop", do_nothing)) as (jobs, _):
        for _ in range(20):
            await ended(jobs, await submit(jobs, job_type="noop"))
        rows = jobs._opened().board.queue._turns._rows

    assert sum(len(row.rounds) for row in rows.values()) == 0


async def test_the_answer_is_the_job_as_it_waited(house: House) -> None:
    """Version 2, first in rank, with no reason to wait; and the tag of that is out of date."""
    answer = await house.ask(
        "POST", "/api/jobs", json={"job_type": "gated", "project_id": "p", "labels": {"a": "b"}}
    )
    job = await answer.json()
    path = f"/api/jobs/{job['job_id']}"
    now = await (await house.ask("GET", path)).json()
    stale = await house.ask(
        "PATCH", path, json={"priority": 9}, headers={"If-Match": answer.headers["ETag"]}
    )
    change = await house.ask("PATCH", path, json={"priority": 9})

    assert (answer.status, answer.headers["ETag"]) == (202, 'W/"2"')
    assert (job["status"], job["version"], job["started_at"]) == ("queued", 2, None)
    assert job["queue"] == {
        "position": 1,
        "length": 1,
        "blocked_by": [],
        "until": None,
        "estimated_wait_seconds": [0, 0],
    }
    assert (now["status"], now["version"]) == ("running", 3)
    assert problem_of(stale, await stale.json())["code"] == "precondition_failed"
    assert problem_of(change, await change.json())["code"] == "invalid_transition"


async def test_the_handler_begins_after_the_answer_was_written(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Also one that holds the loop: its submit is not answered late for it."""
    caller = socket.socket()
    caller.setblocking(False)
    seen: list[bool] = []
    store = JobPersistence(DataDirectory(tmp_path), clock=SystemClock())

    async def look(_: JobContext) -> None:
        seen.append(bool(select.select([caller], [], [], 0)[0]))

    async with open_house(aiohttp_client, tmp_path, [JobType("look", look)], store) as house:
        loop = asyncio.get_running_loop()
        body = b'{"job_type": "look", "project_id": "p"}'
        head = (
            f"POST /api/jobs HTTP/1.1\r\nHost: {house.client.host}\r\n"
            f"Authorization: Bearer {house.tokens['alice']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        await loop.sock_connect(caller, (house.client.host, house.client.port))
        await loop.sock_sendall(caller, head.encode() + body)
        # Not before: what was read would not be there to be seen.
        await eventually(lambda: bool(seen))
        answer = await loop.sock_recv(caller, 4096)
        caller.close()

    assert answer.startswith(b"HTTP/1.1 202")
    assert seen == [True]
