"""What every `JobStore` promises of expired jobs, and of the counts of all that is stored."""

from datetime import timedelta

import pytest

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.errors import StaleVersionError
from cidx_jobs.model.job.events import Retry
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import EventQuery
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


async def test_expired_jobs_go_with_all_that_belongs_to_them(jobs: JobStore) -> None:
    """Their log and checkpoint go too; jobs that are younger, or not asked for, stay."""
    running = await store_running(jobs, project_id="a")
    saved = checkpointed(running)
    await jobs.save_checkpoint(saved, 1)
    old = await store(jobs, completed(saved.job))
    wrong = await store(jobs, failed(await store_running(jobs, project_id="b")))
    live = await store_running(jobs, project_id="c")

    deleted = await jobs.delete_expired_jobs(
        NOON + timedelta(days=1), frozenset({JobStatus.COMPLETED}), 10
    )

    assert list(deleted) == [old.job_id]
    assert await jobs.load_job(old.job_id) is None
    assert await jobs.load_checkpoint(old.job_id) is None
    assert await jobs.query_events(EventQuery(job_id=old.job_id)) == ()
    assert await jobs.load_job(wrong.job_id) == wrong
    assert await jobs.load_job(live.job_id) == live


async def test_the_oldest_are_deleted_first_and_not_more_than_asked(jobs: JobStore) -> None:
    """The limit bounds one call; who finished first goes first; the bound itself stays."""
    ended = [await store_completed(jobs, project_id=f"p{number}") for number in range(3)]
    finished_at = ended[0].finished_at
    assert finished_at is not None

    none = await jobs.delete_expired_jobs(finished_at, frozenset(JobStatus), 10)
    two = await jobs.delete_expired_jobs(
        finished_at + timedelta(seconds=1), frozenset(JobStatus), 2
    )

    assert list(none) == []
    assert list(two) == [job.job_id for job in ended[:2]]


async def test_what_would_be_deleted_can_be_counted(jobs: JobStore) -> None:
    """The count is that of a deletion without a limit: by status, and before the time."""
    ended = [await store_completed(jobs, project_id=f"p{number}") for number in range(3)]
    await store(jobs, failed(await store_running(jobs, project_id="q")))
    await store_running(jobs, project_id="r")
    first, later = ended[0].finished_at, NOON + timedelta(days=1)
    assert first is not None

    counts = [
        await jobs.count_expired_jobs(later, frozenset({JobStatus.COMPLETED})),
        await jobs.count_expired_jobs(later, frozenset(JobStatus)),
        await jobs.count_expired_jobs(first, frozenset(JobStatus)),
        await jobs.count_expired_jobs(later, frozenset()),
    ]

    assert counts == [3, 4, 0, 0]
    assert await jobs.load_job(ended[0].job_id) == ended[0]


async def test_stats_count_what_is_stored(jobs: JobStore) -> None:
    """By status, type and user, also after a retry and a deletion."""
    await store_completed(jobs, project_id="a")
    wrong = await store(jobs, failed(await store_running(jobs, project_id="b")))
    await store(jobs, taken(wrong, Retry(key=KEY)))
    await store(jobs, submitted(user_id="bob", job_type="other"))

    stats = await jobs.collect_stats()

    assert stats.by_status == {"completed": 1, "queued": 2}
    assert stats.by_type == {"reindex": 2, "other": 1}
    assert stats.by_user == {"alice": 2, "bob": 1}
    assert stats.last_sequence == 11

    await jobs.delete_expired_jobs(NOON + timedelta(days=1), frozenset(JobStatus), 10)

    assert (await jobs.collect_stats()).by_status == {"queued": 2}


async def test_a_refused_change_is_not_counted(jobs: JobStore) -> None:
    """Also where the end of a job stood before what was refused in the same transaction."""
    running = await store_running(jobs)
    with pytest.raises(StaleVersionError):
        await jobs.save_changes([completed(running), started(submitted().job)])
    await store_completed(jobs, project_id="b")

    assert (await jobs.collect_stats()).by_status == {"running": 1, "completed": 1}


async def test_jobs_of_a_span_are_counted(jobs: JobStore) -> None:
    """By the time of the submit, its beginning included and its end not."""
    await store_completed(jobs, project_id="a")
    await store(jobs, failed(await store_running(jobs, project_id="b")))
    await store(jobs, submitted(job_type="other", project_id="c"))
    second = timedelta(seconds=1)

    everything = await jobs.count_jobs(None, None)
    inside = await jobs.count_jobs(NOON, NOON + second)
    before = await jobs.count_jobs(None, NOON)
    after = await jobs.count_jobs(NOON + second, None)

    assert everything.by_status == {"completed": 1, "failed": 1, "queued": 1}
    assert everything.by_type == {"reindex": 2, "other": 1}
    assert everything.average_run_seconds is not None
    assert inside == everything
    assert before == after
    assert (before.by_status, before.average_run_seconds) == ({}, None)
