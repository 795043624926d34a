"""What every `JobStore` promises of the transition log."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import StaleVersionError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import EventQuery
from tests.stored import NOON, cancelled, started, store, store_completed, submitted


async def test_the_log_is_numbered_from_one_without_gaps(jobs: JobStore) -> None:
    """Each row has the next number, and what is given is what is read."""
    given = [*await jobs.save_changes([submitted()])]
    given += await jobs.save_changes([submitted(project_id="b"), submitted(project_id="c")])

    assert [row.sequence for row in given] == [1, 2, 3, 4, 5, 6]
    assert list(await jobs.query_events(EventQuery())) == given


async def test_a_refused_change_takes_no_number(jobs: JobStore) -> None:
    """The log has no holes where something was refused."""
    await jobs.save_changes([submitted()])
    with pytest.raises(StaleVersionError):
        await jobs.save_changes([submitted(project_id="b"), started(submitted().job)])

    logged = await jobs.save_changes([submitted(project_id="c")])

    assert [row.sequence for row in logged] == [3, 4]


async def test_numbers_go_on_after_a_restart(jobs: JobStore, persistence: Persistence) -> None:
    """A number is never given twice, also when the newest rows were deleted meanwhile."""
    await store_completed(jobs)
    await jobs.delete_expired_jobs(NOON + timedelta(days=1), frozenset({JobStatus.COMPLETED}), 10)

    await persistence.close()
    await persistence.open()
    logged = await jobs.save_changes([submitted()])

    assert [row.sequence for row in logged] == [5, 6]


async def test_events_are_found_by_job_user_and_number(jobs: JobStore) -> None:
    """The filters narrow, the limit cuts, and the order is oldest first."""
    mine = await store_completed(jobs)
    theirs = await store_completed(jobs, user_id="bob")

    async def numbers(**query: Any) -> list[int]:
        return [row.sequence for row in await jobs.query_events(EventQuery(**query))]

    assert await numbers(job_id=mine.job_id) == [1, 2, 3, 4]
    assert await numbers(job_id=mine.job_id, after_sequence=2) == [3, 4]
    assert await numbers(job_id=mine.job_id, user_id=UserId("bob")) == []
    assert await numbers(user_id=theirs.user_id) == [5, 6, 7, 8]
    assert await numbers(user_id=theirs.user_id, after_sequence=6, limit=1) == [7]
    assert await numbers(after_sequence=3, limit=3) == [4, 5, 6]


@pytest.mark.slow
async def test_a_user_finds_their_rows_in_a_long_log(jobs: JobStore) -> None:
    """However many rows of others lie between them, and from any number on."""
    await store(jobs, submitted())
    for _ in range(3):
        await jobs.save_changes([submitted(user_id="bob") for _ in range(400)])
    last = await store(jobs, submitted())
    query = EventQuery(user_id=last.user_id)
    of_bob = EventQuery(user_id=UserId("bob"), after_sequence=1_020, limit=1_000)

    mine = [row.sequence for row in await jobs.query_events(query)]
    newest = await jobs.query_events(replace(query, after_sequence=2))
    theirs = [row.sequence for row in await jobs.query_events(of_bob)]

    assert mine == [1, 2, 2_403, 2_404]
    assert [row.job_id for row in newest] == [last.job_id] * 2
    assert theirs == list(range(1_021, 2_021))


async def test_rows_of_those_beside_a_refusal_are_found_by_their_user(jobs: JobStore) -> None:
    """Also by users of whom nothing was logged before, and who come again after it."""
    unknown = submitted(user_id="carol").job
    refused = [submitted(user_id="bob"), started(unknown)]

    answers = await asyncio.gather(
        jobs.save_changes([submitted(user_id="dora")]),
        jobs.save_changes(refused),
        return_exceptions=True,
    )
    await jobs.save_changes([submitted(user_id="bob")])
    await jobs.save_changes([submitted(user_id="dora")])

    assert isinstance(answers[1], StaleVersionError)
    assert len(await jobs.query_events(EventQuery(user_id=UserId("bob")))) == 2
    assert len(await jobs.query_events(EventQuery(user_id=UserId("dora")))) == 4


async def test_a_row_of_the_log_comes_back_as_it_was_stored(jobs: JobStore) -> None:
    """The first row has no status before it; a reason is kept."""
    job = await store(jobs, submitted())
    await store(jobs, cancelled(job))

    first, *_, last = await jobs.query_events(EventQuery(job_id=job.job_id))

    assert (first.from_status, first.to_status, first.event) == (None, "created", "submit")
    assert (last.from_status, last.to_status, last.reason) == ("queued", "cancelled", "not needed")
    assert last.at == NOON + timedelta(seconds=1)


async def test_the_oldest_number_tells_from_where_the_log_is_whole(jobs: JobStore) -> None:
    """It is 0 for an empty log, and behind everything that was deleted."""
    assert await jobs.load_oldest_sequence() == 0
    await store_completed(jobs, project_id="a")
    assert await jobs.load_oldest_sequence() == 1
    await store(jobs, submitted(project_id="b"))

    await jobs.delete_expired_jobs(NOON + timedelta(days=1), frozenset(JobStatus), 10)

    assert await jobs.load_oldest_sequence() == 5
