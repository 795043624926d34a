"""What every `JobStore` promises of jobs that other jobs made."""

from datetime import timedelta

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import ChildRecord, JobQuery
from tests.stored import NOON, completed, store, store_completed, store_running, submitted


async def test_children_are_found_by_their_parents(jobs: JobStore) -> None:
    """With key and status, in the order of their submits; others' are left out."""
    parent = await store_running(jobs, project_id="a", has_children=True)
    other = await store_running(jobs, project_id="b", has_children=True)
    first = await store_completed(jobs, project_id="c", parent_id=parent.job_id, child_key="one")
    second = await store(jobs, submitted(project_id="d", parent_id=parent.job_id, child_key="two"))
    await store(jobs, submitted(project_id="e", parent_id=other.job_id, child_key="one"))

    found = await jobs.load_children([parent.job_id])

    assert list(found) == [
        ChildRecord(
            parent_id=parent.job_id,
            key=str(child.child_key),
            job_id=child.job_id,
            status=child.status,
        )
        for child in (first, second)
    ]
    assert await jobs.load_children([first.job_id]) == ()


async def test_a_list_of_one_parent_s_children(jobs: JobStore) -> None:
    """Alone and with other filters, by pages, with a total."""
    parent = await store_running(jobs, project_id="a")
    children = [
        await store(jobs, submitted(project_id=f"p{n}", parent_id=parent.job_id, child_key=str(n)))
        for n in range(3)
    ]
    ended = await store_completed(jobs, project_id="d", parent_id=parent.job_id, child_key="done")
    await store(jobs, submitted(project_id="e"))

    page = await jobs.query_jobs(JobQuery(parent_id=parent.job_id, limit=2))
    rest = await jobs.query_jobs(
        JobQuery(parent_id=parent.job_id, limit=2, after_row=page.next_row)
    )
    done = await jobs.query_jobs(
        JobQuery(parent_id=parent.job_id, statuses=frozenset({JobStatus.COMPLETED}))
    )

    assert [*page.jobs, *rest.jobs] == [ended, *children[::-1]]
    assert (page.total, done.total) == (4, 1)
    assert list(done.jobs) == [ended]


async def test_a_child_stays_as_long_as_its_parent_may_ask_for_it(jobs: JobStore) -> None:
    """It expires once its parent is done, however old it is."""
    parent = await store_running(jobs, project_id="a", has_children=True)
    child = await store_completed(jobs, project_id="b", parent_id=parent.job_id, child_key="k")
    late, ended = NOON + timedelta(days=9), frozenset({JobStatus.COMPLETED})

    kept = await jobs.delete_expired_jobs(late, ended, 10)
    counted = await jobs.count_expired_jobs(late, ended)
    await store(jobs, completed(parent))
    deleted = await jobs.delete_expired_jobs(late, ended, 10)

    assert (list(kept), counted) == ([], 0)
    assert set(deleted) == {parent.job_id, child.job_id}
