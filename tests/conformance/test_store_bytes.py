"""What every `JobStore` promises of the bytes that are stored of a user."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import StaleVersionError, UserStorageFullError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.events import Retry
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.stored_bytes import JOB_BYTES, LOG_BYTES
from cidx_jobs.model.listing import Change
from tests.stored import (
    KEY,
    NOON,
    checkpointed,
    completed,
    failed,
    started,
    store,
    store_completed,
    store_running,
    submitted,
    taken,
)

ALICE, BOB = UserId("alice"), UserId("bob")
LONG = {"text": "x" * 5_000}
ALL_TIME = NOON + timedelta(days=1)


def bounded(change: Change, max_bytes: int) -> Change:
    """Return a submit whose user may take so many bytes in all."""
    return replace(change, max_user_bytes=max_bytes)


async def test_rows_options_and_log_count_for_their_user(jobs: JobStore) -> None:
    """A job counts a round sum for its row and each of its log, and its options as their text."""
    await store(jobs, submitted())
    short = await jobs.count_bytes(ALICE)
    await store(jobs, submitted(project_id="b", options=LONG))
    both = await jobs.count_bytes(ALICE)

    assert short == JOB_BYTES + 2 * LOG_BYTES
    assert both == 2 * short + len('{"text":"') + 5_000 + len('"}')
    assert await jobs.count_bytes(BOB) == 0
    assert (await jobs.collect_stats()).bytes_by_user == {ALICE: both}


async def test_a_result_counts_from_the_end_of_its_job(jobs: JobStore) -> None:
    """So do the log's rows of start and end, and the record of the attempt."""
    running = await store_running(jobs)
    before = await jobs.count_bytes(ALICE)
    await store(jobs, completed(running, LONG))

    grown = await jobs.count_bytes(ALICE) - before

    assert 5_000 + LOG_BYTES < grown < 6_000


async def test_a_checkpoint_counts_while_it_is_there(jobs: JobStore) -> None:
    """A later one takes the place of the one before; the end of the job drops it."""
    running = await store_running(jobs)
    empty = await jobs.count_bytes(ALICE)
    first = checkpointed(running)
    await jobs.save_checkpoint(first, "é" * 5_000)
    one = await jobs.count_bytes(ALICE)
    second = checkpointed(first.job)
    await jobs.save_checkpoint(second, "short")
    other = await jobs.count_bytes(ALICE)
    done = completed(second.job)
    await store(jobs, replace(done, drops_checkpoint=True))

    assert one - empty == 10_002
    assert other - empty == len('"short"')
    assert await jobs.count_bytes(ALICE) < empty + 1_000


async def test_what_is_deleted_counts_no_more(jobs: JobStore) -> None:
    """With everything of a user's gone nothing is counted, whatever the jobs went through."""
    await store_completed(jobs, project_id="a")
    wrong = await store(jobs, failed(await store_running(jobs, project_id="b")))
    again = await store(jobs, taken(wrong, Retry(key=KEY)))
    saved = checkpointed(await store(jobs, started(again)))
    await jobs.save_checkpoint(saved, LONG)
    await store(jobs, failed(saved.job))

    await jobs.delete_expired_jobs(ALL_TIME, frozenset(JobStatus), 10)

    assert await jobs.count_bytes(ALICE) == 0


async def test_a_change_of_a_job_that_was_not_known_before_counts_the_difference(
    jobs: JobStore,
) -> None:
    """Also where only the row itself says what it held before."""
    queued = await store(jobs, submitted(options=LONG))
    before = await jobs.count_bytes(ALICE)
    change = replace(started(queued), before=None)
    await store(jobs, replace(change, job=replace(change.job, options={})))

    grown = await jobs.count_bytes(ALICE) - before

    assert grown == LOG_BYTES - 5_011


async def test_a_job_for_which_there_is_no_room_is_refused(jobs: JobStore) -> None:
    """The error names bound and figure; nothing is stored, and there is room for others."""
    first = submitted()
    await store(jobs, first)
    used = await jobs.count_bytes(ALICE)

    with pytest.raises(UserStorageFullError) as refusal:
        await store(jobs, bounded(submitted(project_id="b"), 2 * used - 1))
    others = await store(jobs, bounded(submitted(user_id="bob"), used))
    fits = await store(jobs, bounded(submitted(project_id="c"), 2 * used))

    assert refusal.value.members == {"limit": 2 * used - 1, "used": used}
    assert await jobs.load_unfinished_jobs() == (first.job, others, fits)


async def test_new_jobs_of_one_transaction_are_counted_together(jobs: JobStore) -> None:
    """Where only one of two has room, both are refused."""
    size = JOB_BYTES + 2 * LOG_BYTES
    two = [bounded(submitted(project_id=name), 2 * size - 1) for name in "ab"]

    with pytest.raises(UserStorageFullError):
        await jobs.save_changes(two)

    assert await jobs.count_bytes(ALICE) == 0


async def test_a_refused_change_counts_nothing(jobs: JobStore) -> None:
    """Also where a change that is fine stood before it in the same transaction."""
    running = await store_running(jobs)
    before = await jobs.count_bytes(ALICE)

    with pytest.raises(StaleVersionError):
        await jobs.save_changes([completed(running, LONG), started(submitted().job)])

    assert await jobs.count_bytes(ALICE) == before


async def test_the_figure_outlives_a_restart(persistence: Persistence) -> None:
    """It is stored with the jobs."""
    job: Job = await store_completed(persistence.jobs)
    before = await persistence.jobs.count_bytes(job.user_id)
    await persistence.close()
    await persistence.open()

    after = await persistence.jobs.count_bytes(job.user_id)

    assert after == before > 0
