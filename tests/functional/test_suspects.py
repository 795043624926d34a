"""Jobs that may kill the server: whom a start blames, and how long they have it to themselves."""

import copy

import pytest
from msgspec.structs import replace

from cidx_jobs import Job, JobStatus
from cidx_jobs.engine.run.suspects import ALONE_SECONDS, Suspects
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.testing import open_for_tests
from tests.fakes import FakeClock, Gate

POISON_AFTER = 3


async def died_running(gate: Gate, count: int, losses: int) -> tuple[MemoryPersistence, list[Job]]:
    """Give what a server leaves that dies while *count* jobs run which saw so many deaths."""
    store = MemoryPersistence()
    async with open_for_tests([gate.job_type], persistence=store) as jobs:
        submitted = [await jobs.submit("u", "p", job_type="gated") for _ in range(count)]
        await gate.arrived(count)
        left = copy.deepcopy(store)
    for job in submitted:
        left._table.jobs[job.job_id] = replace(left._table.jobs[job.job_id], losses=losses)
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

    suspects.watch(store._table.jobs[job.job_id])

    assert suspects.seconds_left == pytest.approx(seconds * ALONE_SECONDS)
