"""What every `JobStore` promises of idempotency keys."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.errors import IdempotencyKeyReusedError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import EventQuery
from tests.stored import NOON, key_record, store_completed, submitted

ALICE = UserId("alice")


async def test_a_taken_key_refuses_the_whole_submit(jobs: JobStore) -> None:
    """The second submit with a key is refused and leaves no job behind."""
    first, second = submitted(project_id="a"), submitted(project_id="b")
    await jobs.save_changes([first], idempotency=key_record(first.job.job_id))

    with pytest.raises(IdempotencyKeyReusedError):
        await jobs.save_changes([second], idempotency=key_record(second.job.job_id))

    assert await jobs.load_job(second.job.job_id) is None
    found = await jobs.find_idempotency_record(ALICE, "k1", NOON - timedelta(hours=1))
    assert found == key_record(first.job.job_id)


async def test_keys_belong_to_users(jobs: JobStore) -> None:
    """Another user's equal key is another key."""
    first, second = submitted(), submitted(user_id="bob")
    await jobs.save_changes([first], idempotency=key_record(first.job.job_id))

    await jobs.save_changes(
        [second], idempotency=key_record(second.job.job_id, user_id=UserId("bob"))
    )

    assert await jobs.find_idempotency_record(UserId("eve"), "k1", NOON) is None


async def test_a_key_is_free_again_after_a_day(jobs: JobStore) -> None:
    """After 24 hours a key may be used anew; before that it is not."""
    first, second = submitted(project_id="a"), submitted(project_id="b")
    await jobs.save_changes([first], idempotency=key_record(first.job.job_id))
    nearly = key_record(second.job.job_id, created_at=NOON + timedelta(hours=24))
    later = key_record(second.job.job_id, created_at=NOON + timedelta(hours=24, seconds=1))

    with pytest.raises(IdempotencyKeyReusedError):
        await jobs.save_changes([second], idempotency=nearly)
    await jobs.save_changes([second], idempotency=later)

    assert await jobs.find_idempotency_record(ALICE, "k1", NOON) == later


async def test_a_key_outlives_its_job(jobs: JobStore) -> None:
    """Whoever repeats a request within the day makes no second job of it."""
    done = await store_completed(jobs, project_id="a")
    second, third = submitted(project_id="b"), submitted(project_id="c")
    # Young, or it would go by its age.
    record = key_record(done.job_id, created_at=datetime.now(UTC))
    await jobs.save_changes([second], idempotency=record)
    await jobs.delete_expired_jobs(NOON + timedelta(days=1), frozenset(JobStatus), 10)

    with pytest.raises(IdempotencyKeyReusedError):
        await jobs.save_changes(
            [third], idempotency=msgspec.structs.replace(record, job_id=third.job.job_id)
        )

    assert await jobs.find_idempotency_record(ALICE, "k1", NOON) == record


async def test_an_old_record_is_not_found(jobs: JobStore) -> None:
    """*not_before* is the age from which a key no longer counts."""
    change = submitted()
    await jobs.save_changes([change], idempotency=key_record(change.job.job_id))

    found = await jobs.find_idempotency_record(ALICE, "k1", NOON + timedelta(microseconds=1))

    assert found is None


async def test_of_many_equal_keys_at_once_one_wins(jobs: JobStore) -> None:
    """Fifty submits with one key at the same time make one job."""
    changes = [submitted(project_id=f"p{number}") for number in range(50)]

    answers = await asyncio.gather(
        *(
            jobs.save_changes([change], idempotency=key_record(change.job.job_id))
            for change in changes
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(answer, IdempotencyKeyReusedError) for answer in answers) == 49
    assert len(await jobs.load_unfinished_jobs()) == 1
    assert len(await jobs.query_events(EventQuery())) == 2
