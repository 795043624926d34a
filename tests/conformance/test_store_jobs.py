"""What every `JobStore` promises of jobs: guards, all or nothing, and places in a line."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.model.errors import StaleVersionError, StorageUnavailableError, StoreError
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.events import (
    Cancel,
    Complete,
    Event,
    Fail,
    Hold,
    Interrupt,
    RequestCancel,
    Retry,
    RetryLater,
    Revise,
    Start,
)
from cidx_jobs.model.job.job import DispatchKey, JobStatus, Place, Transition
from cidx_jobs.model.job.key_limits import KeyLimit, LimitKey
from cidx_jobs.model.listing import Change, EventQuery, Project, UnreadJob
from tests.stored import (
    AN_ERROR,
    KEY,
    NOON,
    UNKNOWN,
    cancelled,
    completed,
    failed,
    filled_job,
    key_record,
    new_job,
    started,
    store,
    store_completed,
    store_running,
    submitted,
    taken,
)

ALICE = UserId("alice")
CODE = ProjectId("code")
A_LIMIT = KeyLimit(key=LimitKey("red", None), limit=1, set_at=0.0)


async def test_a_job_comes_back_as_it_was_stored(jobs: JobStore) -> None:
    """Every member comes back equal, times to the microsecond."""
    job = filled_job()

    await jobs.save_changes([Change(job=job, base_version=0)])

    assert await jobs.load_job(job.job_id) == job


async def test_a_plain_job_comes_back_as_it_was_stored(jobs: JobStore) -> None:
    """Members that have their defaults come back with them."""
    job = new_job()

    await jobs.save_changes([Change(job=job, base_version=0)])

    assert await jobs.load_job(job.job_id) == job


async def test_final_jobs_come_back_as_they_were_stored(jobs: JobStore) -> None:
    """An empty result is kept apart from none, and so is an error."""
    done = await store(jobs, completed(await store_running(jobs, project_id="a"), {}))
    wrong = await store(jobs, failed(await store_running(jobs, project_id="b")))

    assert await jobs.load_job(done.job_id) == done
    assert await jobs.load_job(wrong.job_id) == wrong
    assert done.result == {}


async def test_an_unknown_job_is_none(jobs: JobStore) -> None:
    """There is no error for an id that names nothing."""
    assert await jobs.load_job(UNKNOWN) is None


async def test_a_change_from_a_stale_version_is_refused(jobs: JobStore) -> None:
    """Of two changes made from one version the second is refused, and changes nothing."""
    job = await store(jobs, submitted())
    await store(jobs, started(job))

    with pytest.raises(StaleVersionError):
        await jobs.save_changes([cancelled(job)])

    stored = await jobs.load_job(job.job_id)
    assert stored is not None
    assert stored.status is JobStatus.RUNNING


async def test_a_new_job_whose_id_is_taken_is_refused(jobs: JobStore) -> None:
    """A base version of 0 means that there is no such row yet."""
    change = submitted()
    await jobs.save_changes([change])

    with pytest.raises(StaleVersionError):
        await jobs.save_changes([change])


async def test_a_change_of_an_unknown_job_is_refused(jobs: JobStore) -> None:
    """A base version above 0 means that the row is there."""
    with pytest.raises(StaleVersionError):
        await jobs.save_changes([started(submitted().job)])


async def test_changes_are_stored_together_or_not_at_all(
    jobs: JobStore, projects: ProjectStore
) -> None:
    """When the last of three changes is refused nothing of the others is left."""
    running = await store_running(jobs)
    new = submitted(project_id="other")
    stale = replace(started(submitted().job), base_version=99, before=None)

    with pytest.raises(StaleVersionError):
        await jobs.save_changes(
            [new, completed(running), stale],
            idempotency=key_record(new.job.job_id),
            projects=[Project(user_id=ALICE, project_id=CODE)],
        )

    assert await jobs.load_job(new.job.job_id) is None
    assert await jobs.load_job(running.job_id) == running
    assert len(await jobs.query_events(EventQuery())) == 3
    assert await jobs.find_idempotency_record(ALICE, "k1", NOON) is None
    assert await projects.load_project(ALICE, CODE) is None


async def test_unfinished_jobs_come_in_the_order_of_their_submits(jobs: JobStore) -> None:
    """Created, queued and running jobs are given, oldest first; final ones are not."""
    first = await store_running(jobs, project_id="a")
    await store_completed(jobs, project_id="b")
    held = new_job(hold=True)
    await jobs.save_changes([Change(job=held, base_version=0)])
    last = await store(jobs, submitted(project_id="c"))

    found = await jobs.load_unfinished_jobs()

    assert list(found) == [first, held, last]


async def test_a_recovery_gets_every_unfinished_job(jobs: JobStore) -> None:
    """In the order of submits; one that comes unread is, once it is read, what was stored."""
    running = await store_running(jobs, project_id="a")
    await store_completed(jobs, project_id="b")
    plain = replace(
        submitted(project_id="c", labels={"a": "b"}, options={"n": [1]}).job, place=None
    )
    await jobs.save_changes([Change(job=plain, base_version=0)])
    in_line = replace(submitted(project_id="d").job, place=Place.HEAD)
    await jobs.save_changes([Change(job=in_line, base_version=0)])
    limited = replace(submitted(project_id="e").job, place=None, limits=(A_LIMIT,))
    await jobs.save_changes([Change(job=limited, base_version=0)])

    found = await jobs.load_for_recovery()

    whole = [one.read() if isinstance(one, UnreadJob) else one for one in found]
    assert whole == [running, plain, in_line, limited]
    assert whole == list(await jobs.load_unfinished_jobs())
    for job, unread in zip(whole, found, strict=True):
        if isinstance(unread, UnreadJob):
            assert job == plain
            names = ("job_id", "user_id", "job_type", "priority", "dispatch_key")
            assert [getattr(job, name) for name in names] == [
                getattr(unread, name) for name in names
            ]


CHAINS: list[list[Event]] = [
    [Complete(result={"files": 12}, elapsed_seconds=1.5)],
    [Interrupt(elapsed_seconds=1.0, is_clean=False, drop_checkpoint=True), Start(epoch=9)],
    [RequestCancel(reason="enough"), Cancel(error=AN_ERROR, elapsed_seconds=3.0)],
    [
        RetryLater(error=AN_ERROR, retry_at=NOON, key=DispatchKey(0.5, 1, 2), elapsed_seconds=1.0),
        Revise(
            priority=9, labels={}, options={}, limits=(), key=DispatchKey(0.25, 1, 2), release=True
        ),
        Start(epoch=5),
        Fail(error=AN_ERROR, elapsed_seconds=1.0),
        Retry(key=DispatchKey(7.5, 8, 9), from_start=True, place=Place.FOLLOWER),
        Cancel(error=AN_ERROR),
        Retry(key=KEY),
    ],
]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: type(chain[0]).__name__)
async def test_every_member_that_an_edge_changes_is_stored(
    jobs: JobStore, chain: list[Event]
) -> None:
    """From a job in which no member has its default, along its edges, with what it was before."""
    job = filled_job()
    await jobs.save_changes([Change(job=job, base_version=0)])

    for event in chain:
        job = await store(jobs, taken(job, event))

        assert await jobs.load_job(job.job_id) == job


@pytest.mark.parametrize(
    "wrong",
    [
        {"finished_at": NOON},
        {"status": JobStatus.RUNNING},
        {"status": JobStatus.COMPLETED, "result": {}},
        {"progress": 101},
        {"progress": 100},
        {"progress": -1},
        {"status": JobStatus.COMPLETED, "finished_at": NOON, "result": None},
        {"status": JobStatus.FAILED, "finished_at": NOON, "error": None},
        {
            "status": JobStatus.COMPLETED,
            "finished_at": NOON,
            "result": {},
            "place": Place.HEAD,
        },
    ],
)
async def test_a_job_that_cannot_be_is_refused(jobs: JobStore, wrong: dict[str, Any]) -> None:
    """What the code might forget the store holds it to, and stores nothing."""
    job = new_job(**wrong)

    with pytest.raises(StoreError):
        await jobs.save_changes([Change(job=job, base_version=0)])

    assert await jobs.load_job(job.job_id) is None


async def test_on_commit_is_told_before_the_caller_goes_on(jobs: JobStore) -> None:
    """It gets the numbered rows of the log, once."""
    told: list[Sequence[Transition]] = []

    logged = await jobs.save_changes([submitted()], on_commit=told.append)

    assert told == [logged]


async def test_on_commit_is_told_in_the_order_of_the_commits(jobs: JobStore) -> None:
    """With many callers at once the numbers that are told only grow."""
    told: list[int] = []

    def tell(logged: Sequence[Transition]) -> None:
        told.extend(transition.sequence for transition in logged)

    await asyncio.gather(
        *(jobs.save_changes([submitted(project_id=f"p{n}")], on_commit=tell) for n in range(20))
    )

    assert told == list(range(1, 41))


async def test_on_commit_is_not_told_of_what_is_refused(jobs: JobStore) -> None:
    """A refused change tells nobody."""
    told: list[Sequence[Transition]] = []

    with pytest.raises(StaleVersionError):
        await jobs.save_changes([started(submitted().job)], on_commit=told.append)

    assert told == []


async def test_on_refuse_is_told_of_what_is_refused_and_of_nothing_else(jobs: JobStore) -> None:
    """Once, before the caller goes on; of what was committed it hears nothing."""
    told: list[str] = []

    with pytest.raises(StaleVersionError):
        await jobs.save_changes(
            [started(submitted().job)], on_refuse=lambda: told.append("refused")
        )
    await jobs.save_changes(
        [submitted()],
        on_commit=lambda _: told.append("committed"),
        on_refuse=lambda: told.append("refused too"),
    )

    assert told == ["refused", "committed"]


async def test_on_refuse_is_told_where_nothing_can_be_written(persistence: Persistence) -> None:
    """Also by a store that is closed."""
    told: list[str] = []
    await persistence.close()

    with pytest.raises(StorageUnavailableError):
        await persistence.jobs.save_changes(
            [submitted()], on_refuse=lambda: told.append("refused")
        )

    assert told == ["refused"]


async def test_a_project_has_one_head_and_one_follower(jobs: JobStore) -> None:
    """A second job in either place is refused; another user's project is another project."""
    await store(jobs, submitted(place=Place.HEAD))
    await store(jobs, submitted(place=Place.FOLLOWER))
    await store(jobs, submitted(user_id="bob", place=Place.HEAD))

    for place in Place:
        with pytest.raises(StaleVersionError):
            await jobs.save_changes([submitted(place=place)])


async def test_who_is_held_leaves_the_place_to_others(jobs: JobStore) -> None:
    """It waits as created, until it is queued again."""
    head = await store(jobs, submitted(place=Place.HEAD))
    held = await store(jobs, taken(head, Hold(reason="restored")))
    other = await store(jobs, submitted(place=Place.HEAD))

    assert await jobs.load_job(head.job_id) == held
    assert await jobs.load_job(other.job_id) == other
    assert (held.status, held.hold, held.place) == (JobStatus.CREATED, True, None)


async def test_the_follower_moves_up_as_the_head_ends(jobs: JobStore) -> None:
    """The head's end and the follower's move are one transaction, in this order."""
    head = await store_running(jobs, place=Place.HEAD)
    follower = await store(jobs, submitted(place=Place.FOLLOWER))
    moved = taken(follower, Revise(place=Place.HEAD))

    await jobs.save_changes([completed(head), moved])
    third = await store(jobs, submitted(place=Place.FOLLOWER))

    assert await jobs.load_job(follower.job_id) == moved.job
    assert await jobs.load_job(third.job_id) == third


async def test_a_refused_move_leaves_the_places_as_they_were(jobs: JobStore) -> None:
    """After a refusal both places are still taken by the same jobs."""
    head = await store_running(jobs, place=Place.HEAD)
    follower = await store(jobs, submitted(place=Place.FOLLOWER))
    moved = taken(follower, Revise(place=Place.HEAD))
    stale = replace(moved, base_version=99, before=None)

    with pytest.raises(StaleVersionError):
        await jobs.save_changes([completed(head), stale])
    with pytest.raises(StaleVersionError):
        await jobs.save_changes([moved])

    await jobs.save_changes([completed(head), moved])
    stored = await jobs.load_job(follower.job_id)
    assert stored == moved.job
