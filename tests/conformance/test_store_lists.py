"""What every `JobStore` promises of lists: filters, order, paging and totals."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.lifecycle import TRANSITIONS
from cidx_jobs.model.listing import MAX_LISTED_BYTES, Change, JobPage, JobQuery
from tests.stored import (
    NOON,
    cancelled,
    completed,
    failed,
    new_job,
    started,
    store,
    store_completed,
    submitted,
)

ALICE = UserId("alice")
ALL = frozenset(status for status in TRANSITIONS.values())


async def fill(jobs: JobStore) -> list[Job]:
    """Store jobs of two users, two types and every status, interleaved; return them in order."""
    stored = []
    for number in range(4):
        user_id = "alice" if number % 2 else "bob"
        job_type = "reindex" if number < 2 else "sync"
        members: dict[str, Any] = {"user_id": user_id, "job_type": job_type}
        held = new_job(**members, project_id=f"c{number}", hold=True)
        stored.append(await store(jobs, Change(job=held, base_version=0)))
        stored.append(await store(jobs, submitted(**members, project_id=f"q{number}")))
        for end in (None, completed, failed):
            job = await store(jobs, submitted(**members, project_id=f"r{number}"))
            job = await store(jobs, started(job))
            stored.append(job if end is None else await store(jobs, end(job)))
        job = await store(jobs, submitted(**members, project_id=f"x{number}"))
        stored.append(await store(jobs, cancelled(job)))
    return stored


FILTERS: list[dict[str, Any]] = [
    {},
    {"user_id": ALICE},
    {"job_type": "sync"},
    {"user_id": ALICE, "job_type": "sync"},
    {"statuses": frozenset({JobStatus.QUEUED})},
    {"statuses": frozenset({JobStatus.FAILED})},
    {"statuses": frozenset({JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.CANCELLED})},
    {"statuses": ALL},
    {"statuses": frozenset()},
    {"user_id": ALICE, "statuses": frozenset({JobStatus.CREATED, JobStatus.COMPLETED})},
    {"job_type": "sync", "statuses": frozenset({JobStatus.RUNNING, JobStatus.FAILED})},
    {"user_id": ALICE, "job_type": "sync", "statuses": frozenset({JobStatus.COMPLETED})},
    {"user_id": ALICE, "project_id": ProjectId("q1")},
    {"project_id": ProjectId("r2"), "statuses": frozenset({JobStatus.FAILED})},
    {"user_id": UserId("nobody")},
    {"user_id": UserId("")},
    {"job_type": "no-such-type"},
    {"job_type": ""},
]


def expected(stored: Sequence[Job], query: JobQuery) -> list[Job]:
    """Filter and order the jobs the plain way."""
    found = [
        job
        for job in stored
        if query.user_id in {None, job.user_id}
        and query.job_type in {None, job.job_type}
        and query.project_id in {None, job.project_id}
        and (query.statuses is None or job.status in query.statuses)
    ]
    return found[::-1] if query.newest_first else found


@pytest.mark.parametrize("newest_first", [True, False], ids=["newest", "oldest"])
@pytest.mark.parametrize("filters", FILTERS)
async def test_a_list_holds_what_fits_in_order(
    jobs: JobStore, filters: dict[str, Any], newest_first: bool
) -> None:
    """Each combination of filters gives the same as a plain search, with an exact total."""
    stored = await fill(jobs)
    query = JobQuery(**filters, newest_first=newest_first)

    page = await jobs.query_jobs(query)

    wanted = expected(stored, query)
    assert list(page.jobs) == wanted
    assert (page.total, page.total_is_exact, page.next_row) == (len(wanted), True, None)


async def pages(jobs: JobStore, query: dict[str, Any]) -> list[JobPage]:
    """Turn the pages by cursor, until the last one."""
    found = [await jobs.query_jobs(JobQuery(**query))]
    while found[-1].next_row is not None:
        assert len(found) < 50, "the pages never end"
        found.append(await jobs.query_jobs(JobQuery(**query, after_row=found[-1].next_row)))
    return found


@pytest.mark.parametrize("newest_first", [True, False], ids=["newest", "oldest"])
@pytest.mark.parametrize("filters", FILTERS[:8])
async def test_pages_by_cursor_hold_each_job_once(
    jobs: JobStore, filters: dict[str, Any], newest_first: bool
) -> None:
    """The pages one after the other are the whole list; no page but the last is short."""
    stored = await fill(jobs)
    query = {**filters, "newest_first": newest_first, "limit": 5}

    found = await pages(jobs, query)

    wanted = expected(stored, JobQuery(**query))
    assert [job for page in found for job in page.jobs] == wanted
    assert all(len(page.jobs) == 5 for page in found[:-1])
    assert all(page.total == len(wanted) for page in found)


@pytest.mark.parametrize("limit", [2, 7])
@pytest.mark.parametrize("filters", FILTERS[:8])
async def test_pages_by_offset_hold_each_job_once(
    jobs: JobStore, filters: dict[str, Any], limit: int
) -> None:
    """An offset counts the jobs before the page; one behind the end gives an empty page."""
    stored = await fill(jobs)
    wanted = expected(stored, JobQuery(**filters))

    found = [
        await jobs.query_jobs(JobQuery(**filters, limit=limit, offset=offset))
        for offset in range(0, len(stored) + limit, limit)
    ]

    assert [job for page in found for job in page.jobs] == wanted
    assert found[-1].jobs == ()
    assert found[-1].next_row is None


async def test_a_list_of_a_full_last_page_ends_there(jobs: JobStore) -> None:
    """No cursor leads to an empty page."""
    await store(jobs, submitted(project_id="a"))
    await store(jobs, submitted(project_id="b"))

    page = await jobs.query_jobs(JobQuery(limit=2))

    assert len(page.jobs) == 2
    assert page.next_row is None


async def test_jobs_that_come_later_do_not_move_a_cursor(jobs: JobStore) -> None:
    """Turning pages against a growing list shows no job twice and leaves none out."""
    first = [await store(jobs, submitted(project_id=f"p{number}")) for number in range(4)]
    page = await jobs.query_jobs(JobQuery(limit=2))
    await store(jobs, submitted(project_id="later"))

    rest = await jobs.query_jobs(JobQuery(limit=2, after_row=page.next_row))

    assert [*page.jobs, *rest.jobs] == first[::-1]


async def test_labels_must_all_fit(jobs: JobStore) -> None:
    """A label with another value, or without one, does not fit; any key and value work.

    Also a key that no label can have, and two values of one label: no job has them.
    """
    odd = {"a.b-c_d": 'it\'s "so" ü %', "origin": "ci"}
    both = await store(jobs, submitted(project_id="a", labels=odd))
    one = await store(jobs, submitted(project_id="b", labels={"origin": "ci"}))
    await store(jobs, submitted(project_id="c", labels={"origin": "me", "number": "1"}))
    await store(jobs, submitted(project_id="d"))

    async def found(*labels: tuple[str, str]) -> list[Job]:
        return list((await jobs.query_jobs(JobQuery(labels=labels))).jobs)

    assert await found(("origin", "ci")) == [one, both]
    assert await found(*odd.items()) == [both]
    assert await found(("number", "1"))
    assert await found(("origin", "ci"), ("number", "1")) == []
    assert await found(("origin", "ci"), ("origin", "me")) == []
    assert await found(('a"b', "ci")) == []


async def test_the_time_of_the_submit_narrows(jobs: JobStore) -> None:
    """Both bounds are open: a job at the bound is neither after nor before it."""
    times = [NOON + timedelta(minutes=number) for number in range(4)]
    stored = [
        await store(jobs, submitted(project_id=f"p{n}", created_at=at, updated_at=at))
        for n, at in enumerate(times)
    ]

    after = await jobs.query_jobs(JobQuery(created_after=times[1]))
    between = await jobs.query_jobs(JobQuery(created_after=times[0], created_before=times[2]))

    assert list(after.jobs) == [stored[3], stored[2]]
    assert list(between.jobs) == [stored[1]]
    assert (between.total, between.total_is_exact) == (1, True)


async def test_totals_follow_every_change(jobs: JobStore) -> None:
    """A total is that of now: after an end, and after a deletion."""
    job = await store(jobs, submitted(project_id="a"))
    await store_completed(jobs, project_id="b")

    async def total(*statuses: JobStatus) -> int:
        query = JobQuery(user_id=ALICE, statuses=frozenset(statuses) or None)
        return (await jobs.query_jobs(query)).total

    assert (await total(), await total(JobStatus.COMPLETED)) == (2, 1)

    await store(jobs, completed(await store(jobs, started(job))))
    assert (await total(), await total(JobStatus.COMPLETED)) == (2, 2)

    await jobs.delete_expired_jobs(NOON + timedelta(days=1), ALL, 1)
    assert (await total(), await total(JobStatus.COMPLETED)) == (1, 1)


async def test_a_brief_page_leaves_out_what_is_long(jobs: JobStore) -> None:
    """It names what it left out, and only a page that is asked for so is brief."""
    long = new_job(project_id="a", hold=True, options={"text": "ä" * (MAX_LISTED_BYTES // 2)})
    short = new_job(project_id="b", hold=True, options={"text": "ä" * 100})
    for job in (long, short):
        await store(jobs, Change(job=job, base_version=0))

    brief = await jobs.query_jobs(JobQuery(is_brief=True, newest_first=False))
    whole = await jobs.query_jobs(JobQuery(newest_first=False))

    assert brief.omitted == {long.job_id: ("options",)}
    assert [job.options for job in brief.jobs] == [{}, short.options]
    assert [job.options for job in whole.jobs] == [long.options, short.options]
    assert whole.omitted == {}


async def test_a_brief_page_has_no_attempts(jobs: JobStore) -> None:
    """They are the job's own, and there may be a thousand."""
    job = await store_completed(jobs, project_id="a")

    brief = await jobs.query_jobs(JobQuery(is_brief=True))

    assert job.attempts
    assert [row.attempts for row in brief.jobs] == [()]
    assert [row.result for row in brief.jobs] == [job.result]
