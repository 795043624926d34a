"""What every `Persistence` promises: epochs, restarts, and the names of the design."""

from datetime import timedelta

import pytest

from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import StaleVersionError, StorageUnavailableError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import EventQuery, JobQuery
from tests.stored import (
    NOON,
    checkpointed,
    completed,
    key_record,
    started,
    store,
    store_running,
    submitted,
)

ALICE = UserId("alice")


async def test_each_start_is_a_new_epoch_of_the_same_store(persistence: Persistence) -> None:
    """The uuid stays, the epoch grows by one with each start."""
    await persistence.close()
    first = await persistence.open()
    await persistence.close()

    second = await persistence.open()

    assert second.uuid == first.uuid
    assert second.epoch == first.epoch + 1


async def test_a_stop_that_was_accepted_is_known_to_later_starts(
    persistence: Persistence,
) -> None:
    """They name its epoch until another start accepts one, however often it was said."""
    await persistence.close()
    first = await persistence.open()
    await persistence.accept_stop()
    await persistence.accept_stop()
    await persistence.close()

    second = await persistence.open()
    await persistence.close()
    third = await persistence.open()
    await persistence.accept_stop()
    await persistence.close()
    fourth = await persistence.open()

    assert first.stopped_epoch == 0
    assert (second.stopped_epoch, third.stopped_epoch) == (first.epoch, first.epoch)
    assert fourth.stopped_epoch == third.epoch


async def test_what_is_stored_is_there_after_a_restart(persistence: Persistence) -> None:
    """A job, its log and its key survive closing and opening."""
    change = submitted()
    await persistence.jobs.save_changes([change], idempotency=key_record(change.job.job_id))

    await persistence.close()
    await persistence.open()

    assert await persistence.load_job(change.job.job_id) == change.job
    assert len(await persistence.jobs.query_events(EventQuery(job_id=change.job.job_id))) == 2
    assert await persistence.jobs.find_idempotency_record(ALICE, "k1", NOON) == key_record(
        change.job.job_id
    )


async def test_closing_twice_is_fine_and_a_closed_store_refuses_writes(
    persistence: Persistence,
) -> None:
    """A write after the end is refused as unavailable, never lost without a word."""
    await persistence.close()
    await persistence.close()

    with pytest.raises(StorageUnavailableError):
        await persistence.jobs.save_changes([submitted()])


async def test_save_job_stores_one_step(persistence: Persistence) -> None:
    """The design's `save_job` stores a job and its transition, guarded by the version before."""
    job = await store(persistence.jobs, submitted())
    change = started(job)

    await persistence.save_job(change.job, change.transitions[0])

    assert await persistence.load_job(job.job_id) == change.job
    with pytest.raises(StaleVersionError):
        await persistence.save_job(change.job, change.transitions[0])


async def test_the_names_of_the_design_reach_the_store_of_jobs(persistence: Persistence) -> None:
    """Jobs are read, listed and deleted, and checkpoints kept, under the names of api.md 2."""
    saved = checkpointed(await store_running(persistence.jobs))

    await persistence.save_checkpoint(saved, ["a"])
    kept = await persistence.load_checkpoint(saved.job.job_id)
    done = await store(persistence.jobs, completed(saved.job))
    page = await persistence.query_jobs(JobQuery())
    deleted = await persistence.delete_expired_jobs(
        NOON + timedelta(days=1), frozenset(JobStatus), 10
    )

    assert kept is not None
    assert kept.data == ["a"]
    assert list(page.jobs) == [done]
    assert list(deleted) == [done.job_id]
    assert await persistence.load_job(done.job_id) is None
