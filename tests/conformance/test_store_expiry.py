"""What every `JobStore` promises of expired jobs, and of the counts of all that is stored."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.store.end_notices import EndNoticeStore
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.errors import StaleVersionError
from cidx_jobs.model.job.events import Retry
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import EventQuery
from tests.conformance.test_store_end_notices import URL, notice_of
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


async def test_a_type_has_a_time_of_its_own(jobs: JobStore) -> None:
    """In place of that of all others: shorter or longer; the oldest of all types go first."""
    ended = [
        await store_completed(jobs, project_id=f"p{number}", job_type=name)
        for number, name in enumerate(("reindex", "short", "long", "short"))
    ]
    late = NOON + timedelta(days=1)
    completed_alone = frozenset({JobStatus.COMPLETED})

    short = await jobs.delete_expired_jobs(
        NOON, completed_alone, 1, before_by_type={"short": late, "none": late}
    )
    rest = await jobs.delete_expired_jobs(late, completed_alone, 9, before_by_type={"long": NOON})

    assert list(short) == [ended[1].job_id]
    assert list(rest) == [ended[0].job_id, ended[3].job_id]
    assert await jobs.load_job(ended[2].job_id) == ended[2]


async def test_a_job_whose_end_is_to_be_noticed_stays(
    jobs: JobStore, end_notices: EndNoticeStore
) -> None:
    """It is what the notice is made of; with the notice made it may go."""
    job = await store_completed(jobs, notify=(URL,), options={"n": 1})
    late = NOON + timedelta(days=1)

    kept = await jobs.delete_expired_jobs(late, frozenset(JobStatus), 10)
    whole = await jobs.remove_payloads(late, 10, now=late)
    await end_notices.add_notices([notice_of(job, "one")])
    removed = await jobs.remove_payloads(late, 10, now=late)
    untold = await end_notices.find_untold(10)
    gone = await jobs.delete_expired_jobs(late, frozenset(JobStatus), 10)

    assert (list(kept), list(whole), list(untold)) == ([], [], [])
    assert (list(removed), list(gone)) == ([job.job_id], [job.job_id])


async def test_a_payload_goes_earlier_than_its_job(jobs: JobStore) -> None:
    """Options, result, checkpoint; the rest stays, one version further and without a log row."""
    saved = checkpointed(
        await store_running(jobs, options={"names": ["é"] * 9}, labels={"a": "b"})
    )
    await jobs.save_checkpoint(saved, [1])
    ended = await store(jobs, completed(saved.job, {"files": 10}))
    events = await jobs.query_events(EventQuery())
    late = NOON + timedelta(days=1)

    early = await jobs.remove_payloads(NOON, 10, now=late)
    removed = await jobs.remove_payloads(late, 10, now=late)
    again = await jobs.remove_payloads(late, 10, now=late)

    left = replace(
        ended,
        options={},
        result={},
        checkpoint=None,
        removed=("options", "result"),
        version=ended.version + 1,
        updated_at=late,
    )
    assert (list(early), list(removed), list(again)) == ([], [ended.job_id], [])
    assert await jobs.load_job(ended.job_id) == left
    assert await jobs.load_checkpoint(ended.job_id) is None
    assert await jobs.query_events(EventQuery()) == events
    assert list(await jobs.delete_expired_jobs(late, frozenset(JobStatus), 9)) == [ended.job_id]


async def test_a_payload_that_is_removed_counts_no_more(jobs: JobStore) -> None:
    """What is left of the job counts as one without options and result does."""
    plain = await store(jobs, failed(await store_running(jobs, user_id="bob")))
    wrong = failed(await store_running(jobs, options={"text": "x" * 5_000}))
    await store(jobs, wrong)

    removed = await jobs.remove_payloads(NOON + timedelta(days=1), 10, now=NOON)

    assert list(removed) == [wrong.job.job_id]
    assert await jobs.count_bytes(wrong.job.user_id) == await jobs.count_bytes(plain.user_id)


async def test_what_may_be_asked_for_keeps_its_payload(jobs: JobStore) -> None:
    """Of the children of a parent that is not done, and of jobs that have none to lose."""
    parent = await store_running(jobs, project_id="a", has_children=True, options={"n": 1})
    child = await store_completed(
        jobs, project_id="b", parent_id=parent.job_id, child_key="k", options={"n": 2}
    )
    await store_completed(jobs, project_id="c")
    late = NOON + timedelta(days=1)

    kept = await jobs.remove_payloads(late, 10, now=late)
    await store(jobs, completed(parent))
    removed = await jobs.remove_payloads(late, 1, now=late)
    other = await jobs.remove_payloads(late, 1, now=late)

    assert list(kept) == []
    assert {*removed, *other} == {parent.job_id, child.job_id}
    assert len(removed) == 1


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
