"""What every `EndNoticeStore` promises."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.store.end_notices import EndNoticeStore
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.webhooks.end_notice import EndNotice, NoticeTry, next_time
from tests.stored import NOON, store_completed

ALICE, BOB = UserId("alice"), UserId("bob")
URL, OTHER = "https://ci.example.com/done", "https://chat.example.com/done"
FINAL = frozenset(status for status in JobStatus if status.is_final)


async def end_job(jobs: JobStore, *urls: str, user: UserId = ALICE) -> Job:
    """Store a job that has ended, and wants it told to the URLs."""
    return await store_completed(jobs, user_id=user, notify=urls)


def notice_of(job: Job, webhook_id: str, url: str = URL, at: datetime = NOON) -> EndNotice:
    """Return a notice of the job's end, to be told at a time."""
    return EndNotice(
        webhook_id=webhook_id,
        job_id=job.job_id,
        version=job.version,
        user_id=job.user_id,
        url=url,
        body=b"{}",
        next_at=at,
    )


def failed_try(seconds: float) -> NoticeTry:
    """Return a try that failed."""
    return NoticeTry(at=NOON + timedelta(seconds=seconds), url=URL, status=503, error="no")


async def test_a_user_has_one_secret(end_notices: EndNoticeStore) -> None:
    """The newest; another user's is another."""
    await end_notices.save_secret(ALICE, "old", NOON)
    await end_notices.save_secret(ALICE, "new", NOON)

    assert await end_notices.find_secret(ALICE) == "new"
    assert await end_notices.find_secret(BOB) is None
    assert await end_notices.list_secrets() == ((ALICE, "new"),)


async def test_an_end_is_untold_until_it_has_a_notice(
    end_notices: EndNoticeStore, jobs: JobStore
) -> None:
    """Found again after a kill; who asked for nothing, or has not ended, is not."""
    job = await end_job(jobs, URL, OTHER)
    await end_job(jobs)

    assert await end_notices.find_untold(10) == (job.job_id,)
    notices = [notice_of(job, "one"), notice_of(job, "two", OTHER)]
    assert await end_notices.add_notices(notices) == tuple(notices)
    assert await end_notices.find_untold(10) == ()


async def test_each_end_has_one_notice_for_a_url(
    end_notices: EndNoticeStore, jobs: JobStore
) -> None:
    """A second one is not stored; a later end of the same job has its own."""
    job = await end_job(jobs, URL)
    await end_notices.add_notices([notice_of(job, "one")])
    later = replace(notice_of(job, "three"), version=job.version + 3)

    assert await end_notices.add_notices([notice_of(job, "two"), later]) == (later,)
    assert await end_notices.load_notice("two") is None


async def test_a_notice_is_pending_until_it_is_told(
    end_notices: EndNoticeStore, jobs: JobStore
) -> None:
    """The next one first, without bodies; each try is kept, and the body only as long."""
    job = await end_job(jobs, URL, OTHER)
    late = notice_of(job, "late", OTHER, NOON + timedelta(seconds=9))
    await end_notices.add_notices([late, notice_of(job, "soon")])

    await end_notices.save_try("soon", failed_try(0), NOON + timedelta(seconds=5))
    pending = await end_notices.list_pending()
    tried = await end_notices.load_notice("soon")
    await end_notices.save_try("soon", NoticeTry(at=NOON, url=URL, status=204), None)
    told = await end_notices.load_notice("soon")

    assert [one.webhook_id for one in pending] == ["soon", "late"]
    assert [(one.body, one.tries) for one in pending] == [(b"", ())] * 2
    assert tried is not None
    assert (tried.body, tried.tries) == (b"{}", (failed_try(0),))
    assert told is not None
    assert (told.body, told.next_at, len(told.tries)) == (b"", None, 2)
    assert [one.webhook_id for one in await end_notices.list_pending()] == ["late"]
    assert [one.status for one in await end_notices.list_tries(job.job_id)] == [503, 204]
    assert await end_notices.list_tries(JobId("none")) == ()


async def test_what_is_not_told_outlives_its_job(
    end_notices: EndNoticeStore, jobs: JobStore
) -> None:
    """What was told goes with it, and the rest once it is told."""
    job = await end_job(jobs, URL, OTHER)
    await end_notices.add_notices([notice_of(job, "told"), notice_of(job, "open", OTHER)])
    await end_notices.save_try("told", NoticeTry(at=NOON, url=URL, status=200), None)

    await jobs.delete_expired_jobs(NOON + timedelta(days=1), FINAL, 10)

    assert await end_notices.load_notice("told") is None
    assert await end_notices.load_notice("open") is not None
    await end_notices.save_try("open", NoticeTry(at=NOON, url=URL, status=200), None)
    assert await end_notices.load_notice("open") is None


async def test_a_user_who_is_removed_is_told_nothing_more(
    end_notices: EndNoticeStore, jobs: JobStore
) -> None:
    """Neither the secret nor what was still to be told stays."""
    for user in (ALICE, BOB):
        await end_notices.save_secret(user, "sealed", NOON)
        job = await end_job(jobs, URL, user=user)
        await end_notices.add_notices([notice_of(job, user)])

    await end_notices.forget_user(ALICE)
    await end_notices.save_try(ALICE, failed_try(0), NOON + timedelta(seconds=5))

    assert await end_notices.list_secrets() == ((BOB, "sealed"),)
    assert [one.webhook_id for one in await end_notices.list_pending()] == [BOB]


@pytest.mark.parametrize(
    ("tries", "seconds"),
    [(1, 5), (2, 25), (3, 270), (4, 1_500), (5, 5_400), (6, 14_400), (7, 21_600), (8, 43_200)],
)
def test_a_notice_is_tried_at_its_times(tries: int, seconds: int) -> None:
    """At 0, 5 and 30 seconds, 5 and 30 minutes, 2, 6, 12 and 24 hours; then no more."""
    assert next_time(NOON, tries) == NOON + timedelta(seconds=seconds)
    assert next_time(NOON, 9) is None
