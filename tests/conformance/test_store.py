"""What every `JobStore` promises, over each implementation: jobs, their log, and their guards."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.errors import (
    IdempotencyKeyReusedError,
    StaleRunError,
    StaleVersionError,
    StorageUnavailableError,
    StoreError,
)
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.events import (
    Cancel,
    Complete,
    Event,
    Fail,
    Interrupt,
    RequestCancel,
    Retry,
    RetryLater,
    Revise,
    Start,
)
from cidx_jobs.model.job.job import CheckpointInfo, DispatchKey, JobStatus, Place, Transition
from cidx_jobs.model.job.lifecycle import record_progress
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import (
    Change,
    EventQuery,
    IdempotencyRecord,
    Project,
    RunGuard,
)
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.sqlite.persistence import JobPersistence
from cidx_jobs.store.tokens import digest_token, make_token
from tests.stored import (
    AN_ERROR,
    KEY,
    NOON,
    UNKNOWN,
    cancelled,
    completed,
    failed,
    filled_job,
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


async def reopen(jobs: JobStore) -> JobStore:
    """Restart the server on the same store."""
    await jobs.close()
    await jobs.open()
    return jobs


def record(job_id: JobId, key: str = "k1", **members: Any) -> IdempotencyRecord:
    """Give a record of a request."""
    first = IdempotencyRecord(
        user_id=ALICE, key=key, fingerprint="f1", job_id=job_id, created_at=NOON
    )
    return replace(first, **members)


# --- opening and closing ---------------------------------------------------------------------


async def test_each_start_is_a_new_epoch_of_the_same_store(jobs: JobStore) -> None:
    """The uuid stays, the epoch grows by one with each start."""
    await jobs.close()
    first = await jobs.open()
    await jobs.close()

    second = await jobs.open()

    assert second.uuid == first.uuid
    assert second.epoch == first.epoch + 1


async def test_what_is_stored_is_there_after_a_restart(jobs: JobStore) -> None:
    """A job, its log and its key survive closing and opening."""
    change = submitted()
    await jobs.save_changes([change], idempotency=record(change.job.job_id))

    await reopen(jobs)

    assert await jobs.load_job(change.job.job_id) == change.job
    assert len(await jobs.query_events(EventQuery(job_id=change.job.job_id))) == 2
    assert await jobs.find_idempotency_record(ALICE, "k1", NOON) == record(change.job.job_id)


async def test_closing_twice_is_fine_and_a_closed_store_refuses_writes(jobs: JobStore) -> None:
    """A write after the end is refused as unavailable, never lost without a word."""
    await jobs.close()
    await jobs.close()

    with pytest.raises(StorageUnavailableError):
        await jobs.save_changes([submitted()])


# --- jobs ------------------------------------------------------------------------------------


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


async def test_changes_are_stored_together_or_not_at_all(jobs: JobStore) -> None:
    """When the last of three changes is refused nothing of the others is left."""
    running = await store_running(jobs)
    new = submitted(project_id="other")
    stale = replace(started(submitted().job), base_version=99, before=None)

    with pytest.raises(StaleVersionError):
        await jobs.save_changes(
            [new, completed(running), stale],
            idempotency=record(new.job.job_id),
            project=Project(user_id=ALICE, project_id=CODE),
        )

    assert await jobs.load_job(new.job.job_id) is None
    assert await jobs.load_job(running.job_id) == running
    assert len(await jobs.query_events(EventQuery())) == 3
    assert await jobs.find_idempotency_record(ALICE, "k1", NOON) is None
    assert await jobs.load_project(ALICE, CODE) is None


async def test_unfinished_jobs_come_in_the_order_of_their_submits(jobs: JobStore) -> None:
    """Created, queued and running jobs are given, oldest first; final ones are not."""
    first = await store_running(jobs, project_id="a")
    await store_completed(jobs, project_id="b")
    held = new_job(hold=True)
    await jobs.save_changes([Change(job=held, base_version=0)])
    last = await store(jobs, submitted(project_id="c"))

    found = await jobs.load_unfinished_jobs()

    assert list(found) == [first, held, last]


CHAINS: list[list[Event]] = [
    [Complete(result={"files": 12}, elapsed_seconds=1.5)],
    [Interrupt(elapsed_seconds=1.0, is_clean=False, drop_checkpoint=True), Start(epoch=9)],
    [RequestCancel(reason="enough"), Cancel(error=AN_ERROR, elapsed_seconds=3.0)],
    [
        RetryLater(error=AN_ERROR, retry_at=NOON, key=DispatchKey(0.5, 1, 2), elapsed_seconds=1.0),
        Revise(priority=9, labels={}, options={}, key=DispatchKey(0.25, 1, 2), release=True),
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


async def test_save_job_stores_one_step(jobs: JobStore) -> None:
    """The design's `save_job` stores a job and its transition, guarded by the version before."""
    assert isinstance(jobs, MemoryPersistence | JobPersistence)
    job = await store(jobs, submitted())
    change = started(job)

    await jobs.save_job(change.job, change.transitions[0])

    assert await jobs.load_job(job.job_id) == change.job
    with pytest.raises(StaleVersionError):
        await jobs.save_job(change.job, change.transitions[0])


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


# --- on_commit -------------------------------------------------------------------------------


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


# --- places ----------------------------------------------------------------------------------


async def test_a_project_has_one_head_and_one_follower(jobs: JobStore) -> None:
    """A second job in either place is refused; another user's project is another project."""
    await store(jobs, submitted(place=Place.HEAD))
    await store(jobs, submitted(place=Place.FOLLOWER))
    await store(jobs, submitted(user_id="bob", place=Place.HEAD))

    for place in Place:
        with pytest.raises(StaleVersionError):
            await jobs.save_changes([submitted(place=place)])


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


# --- the log ---------------------------------------------------------------------------------


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


async def test_numbers_go_on_after_a_restart(jobs: JobStore) -> None:
    """A number is never given twice, also when the newest rows were deleted meanwhile."""
    await store_completed(jobs)
    await jobs.delete_expired_jobs(NOON + timedelta(days=1), frozenset({JobStatus.COMPLETED}), 10)

    await reopen(jobs)
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


# --- progress --------------------------------------------------------------------------------


async def test_progress_is_stored_without_a_row_in_the_log(jobs: JobStore) -> None:
    """A report raises the version and changes what it reports, nothing else."""
    job = await store_running(jobs)
    report = record_progress(job, NOON, progress=40, phase="reading", message="4 of 10")
    told: list[Any] = []

    refused = await jobs.save_progress([report], on_commit=told.append)

    assert list(refused) == []
    assert await jobs.load_job(job.job_id) == report
    assert [list(jobs) for jobs in told] == [[report]]
    assert len(await jobs.query_events(EventQuery())) == 3


async def test_a_stale_report_is_refused_and_its_neighbours_are_stored(jobs: JobStore) -> None:
    """Reports are refused one by one: for their version, their run, or a job that has ended."""
    job = await store_running(jobs, project_id="a")
    good = record_progress(job, NOON, progress=10)
    other = await store_running(jobs, project_id="b")
    ended = record_progress(other, NOON, progress=20)
    await store(jobs, completed(other))
    zombie = replace(
        record_progress(await store_running(jobs, project_id="c"), NOON, progress=30), run=0
    )

    refused = await jobs.save_progress([zombie, good, ended])

    assert set(refused) == {zombie.job_id, ended.job_id}
    assert await jobs.load_job(job.job_id) == good


# --- idempotency -----------------------------------------------------------------------------


async def test_a_taken_key_refuses_the_whole_submit(jobs: JobStore) -> None:
    """The second submit with a key is refused and leaves no job behind."""
    first, second = submitted(project_id="a"), submitted(project_id="b")
    await jobs.save_changes([first], idempotency=record(first.job.job_id))

    with pytest.raises(IdempotencyKeyReusedError):
        await jobs.save_changes([second], idempotency=record(second.job.job_id))

    assert await jobs.load_job(second.job.job_id) is None
    found = await jobs.find_idempotency_record(ALICE, "k1", NOON - timedelta(hours=1))
    assert found == record(first.job.job_id)


async def test_keys_belong_to_users(jobs: JobStore) -> None:
    """Another user's equal key is another key."""
    first, second = submitted(), submitted(user_id="bob")
    await jobs.save_changes([first], idempotency=record(first.job.job_id))

    await jobs.save_changes([second], idempotency=record(second.job.job_id, user_id=UserId("bob")))

    assert await jobs.find_idempotency_record(UserId("eve"), "k1", NOON) is None


async def test_a_key_is_free_again_after_a_day(jobs: JobStore) -> None:
    """After 24 hours a key may be used anew; before that it is not."""
    first, second = submitted(project_id="a"), submitted(project_id="b")
    await jobs.save_changes([first], idempotency=record(first.job.job_id))
    nearly = record(second.job.job_id, created_at=NOON + timedelta(hours=24))
    later = record(second.job.job_id, created_at=NOON + timedelta(hours=24, seconds=1))

    with pytest.raises(IdempotencyKeyReusedError):
        await jobs.save_changes([second], idempotency=nearly)
    await jobs.save_changes([second], idempotency=later)

    assert await jobs.find_idempotency_record(ALICE, "k1", NOON) == later


async def test_a_key_is_free_again_when_its_job_is_gone(jobs: JobStore) -> None:
    """Nothing is left that a replay could be answered with."""
    done = await store_completed(jobs, project_id="a")
    second, third = submitted(project_id="b"), submitted(project_id="c")
    # Young, or it would go by its age.
    now = datetime.now(UTC)
    await jobs.save_changes([second], idempotency=record(done.job_id, created_at=now))
    await jobs.delete_expired_jobs(NOON + timedelta(days=1), frozenset(JobStatus), 10)
    again = record(third.job.job_id, created_at=now)

    await jobs.save_changes([third], idempotency=again)

    assert await jobs.find_idempotency_record(ALICE, "k1", NOON) == again


async def test_an_old_record_is_not_found(jobs: JobStore) -> None:
    """*not_before* is the age from which a key no longer counts."""
    change = submitted()
    await jobs.save_changes([change], idempotency=record(change.job.job_id))

    found = await jobs.find_idempotency_record(ALICE, "k1", NOON + timedelta(microseconds=1))

    assert found is None


async def test_of_many_equal_keys_at_once_one_wins(jobs: JobStore) -> None:
    """Fifty submits with one key at the same time make one job."""
    changes = [submitted(project_id=f"p{number}") for number in range(50)]

    answers = await asyncio.gather(
        *(
            jobs.save_changes([change], idempotency=record(change.job.job_id))
            for change in changes
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(answer, IdempotencyKeyReusedError) for answer in answers) == 49
    assert len(await jobs.load_unfinished_jobs()) == 1
    assert len(await jobs.query_events(EventQuery())) == 2


# --- checkpoints -----------------------------------------------------------------------------


def checkpointed(job: Any, data_phase: str = "reading") -> Change:
    """Give the change that a checkpoint makes of a running job."""
    info = CheckpointInfo(phase=data_phase, saved_at=NOON)
    return Change(job=record_progress(job, NOON, checkpoint=info), base_version=job.version)


async def test_a_checkpoint_is_stored_with_the_job(jobs: JobStore) -> None:
    """Its content comes back as it was, and a newer one takes its place."""
    job = await store_running(jobs)
    first = checkpointed(job)
    await jobs.save_checkpoint(first, ["a", {"b": 1.5}])
    second = checkpointed(first.job, "writing")
    told: list[bool] = []

    await jobs.save_checkpoint(second, None, on_commit=lambda: told.append(True))

    checkpoint = await jobs.load_checkpoint(job.job_id)
    assert checkpoint is not None
    assert (checkpoint.data, checkpoint.phase, checkpoint.run) == (None, "writing", 1)
    assert await jobs.load_job(job.job_id) == second.job
    assert told == [True]


async def test_a_checkpoint_is_not_changed_by_its_handler_later(jobs: JobStore) -> None:
    """What was stored is what was handed over then."""
    job = await store_running(jobs)
    data = ["a"]
    await jobs.save_checkpoint(checkpointed(job), data)

    data.append("b")

    checkpoint = await jobs.load_checkpoint(job.job_id)
    assert checkpoint is not None
    assert checkpoint.data == ["a"]


async def test_a_zombie_saves_no_checkpoint(jobs: JobStore) -> None:
    """A run that is over is told so, and a run that was overtaken is told that."""
    job = await store_running(jobs)
    late = checkpointed(job)
    await jobs.save_progress([record_progress(job, NOON, progress=5)])

    with pytest.raises(StaleVersionError):
        await jobs.save_checkpoint(late, 1)
    with pytest.raises(StaleRunError):
        await jobs.save_checkpoint(replace(late, job=replace(late.job, run=99)), 1)

    assert await jobs.load_checkpoint(job.job_id) is None


async def test_a_change_can_drop_the_checkpoint(jobs: JobStore) -> None:
    """A retry from the start forgets it in its own transaction."""
    job = await store_running(jobs)
    saved = checkpointed(job)
    await jobs.save_checkpoint(saved, 1)
    ended = await store(jobs, failed(saved.job))
    again = taken(ended, Retry(key=KEY, from_start=True))

    await jobs.save_changes([replace(again, drops_checkpoint=True)])

    assert await jobs.load_checkpoint(job.job_id) is None


# --- projects --------------------------------------------------------------------------------

PROJECT = Project(
    user_id=ALICE,
    project_id=CODE,
    repository_url="https://git.example/code",
    branch="main",
    default_branch="main",
    last_commit="0a1b",
    last_synced_at=NOON,
    last_job_id=UNKNOWN,
    files_indexed=7,
    repository_bytes=2**40,
    index_bytes=3,
    phase_seconds={"git_sync": 1.5},
)


async def test_projects_come_back_as_they_were_stored(jobs: JobStore) -> None:
    """By user and project id, of one user or of all; one can be forgotten."""
    bare = Project(user_id=UserId("bob"), project_id=CODE)
    await jobs.save_project(bare)
    await jobs.save_project(PROJECT)

    assert await jobs.load_project(ALICE, CODE) == PROJECT
    assert list(await jobs.list_projects(None)) == [PROJECT, bare]
    assert list(await jobs.list_projects(ALICE)) == [PROJECT]

    await jobs.delete_project(ALICE, CODE)
    await jobs.delete_project(ALICE, CODE)

    assert await jobs.load_project(ALICE, CODE) is None


@pytest.mark.parametrize("place", [Place.HEAD, Place.FOLLOWER])
async def test_a_project_with_a_job_in_its_line_is_not_forgotten(
    jobs: JobStore, place: Place
) -> None:
    """A job that was submitted while its project was removed finds its url and branch."""
    await jobs.save_project(PROJECT)
    await store(jobs, submitted(place=place))

    await jobs.delete_project(ALICE, CODE)
    await jobs.forget_copy(ALICE, CODE)

    assert await jobs.load_project(ALICE, CODE) == PROJECT


async def test_the_sizes_of_a_project_can_be_forgotten(jobs: JobStore) -> None:
    """Of that project alone; the rest stays for its next sync. Also when there is none."""
    other = replace(PROJECT, user_id=UserId("bob"))
    await jobs.save_project(PROJECT)
    await jobs.save_project(other)
    done = await store_running(jobs, place=Place.HEAD)
    await jobs.save_changes([completed(done)])

    await jobs.forget_copy(ALICE, CODE)
    await jobs.forget_copy(ALICE, ProjectId("none"))

    kept = replace(PROJECT, files_indexed=None, repository_bytes=None, index_bytes=None)
    assert list(await jobs.list_projects(None)) == [kept, other]


async def test_a_submit_sets_url_and_branch_and_keeps_the_rest(jobs: JobStore) -> None:
    """What the last sync learned is not lost by the next submit."""
    await jobs.save_project(PROJECT)
    asked = Project(
        user_id=ALICE, project_id=CODE, repository_url="https://git.example/new", branch=None
    )

    await jobs.save_changes([submitted()], project=asked)

    expected = replace(PROJECT, repository_url="https://git.example/new", branch=None)
    assert await jobs.load_project(ALICE, CODE) == expected


async def test_a_first_submit_makes_the_project(jobs: JobStore) -> None:
    """The project of a submit is there as soon as the submit is."""
    await jobs.save_changes([submitted()], project=PROJECT)

    assert await jobs.load_project(ALICE, CODE) == PROJECT


async def test_a_run_keeps_the_url_of_a_later_submit(jobs: JobStore) -> None:
    """What a run stores at its end does not undo what was asked for meanwhile."""
    job = await store_running(jobs)
    newer = replace(PROJECT, repository_url="https://git.example/newer", branch="next")
    await jobs.save_project(newer)
    learned = replace(PROJECT, last_commit="ffff")

    await jobs.save_project(learned, RunGuard(job_id=job.job_id, run=job.run))

    expected = replace(newer, last_commit="ffff")
    assert await jobs.load_project(ALICE, CODE) == expected


async def test_a_zombie_changes_no_project(jobs: JobStore) -> None:
    """A run that is over cannot say what it learned."""
    job = await store_running(jobs)
    guard = RunGuard(job_id=job.job_id, run=job.run)
    await store(jobs, completed(job))

    with pytest.raises(StaleRunError):
        await jobs.save_project(PROJECT, guard)

    assert await jobs.load_project(ALICE, CODE) is None


# --- expiry ----------------------------------------------------------------------------------


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


# --- tokens, controls, counts ----------------------------------------------------------------


async def test_a_token_is_found_by_its_digest_until_it_is_revoked(jobs: JobStore) -> None:
    """Its text is nowhere; a change of it is stored; revoked it is gone at once."""
    text, token = make_token(ALICE, "write", now=NOON, lifetime_seconds=60, label="ci")
    await jobs.save_token(token)
    used = replace(token, last_used_at=NOON)
    await jobs.save_token(used)

    assert await jobs.find_token(digest_token(text)) == used
    assert list(await jobs.list_tokens()) == [used]
    assert await jobs.delete_token(token.token_id)
    assert not await jobs.delete_token(token.token_id)
    assert await jobs.find_token(digest_token(text)) is None


async def test_tokens_are_listed_oldest_first(jobs: JobStore) -> None:
    """The order is that of their making."""
    later = make_token(ALICE, "read", now=NOON + timedelta(seconds=1))[1]
    sooner = make_token(ALICE, "read", now=NOON)[1]
    await jobs.save_token(later)
    await jobs.save_token(sooner)

    assert list(await jobs.list_tokens()) == [sooner, later]


async def test_limits_and_pauses_are_kept(jobs: JobStore) -> None:
    """Nothing is set at first; what is set survives a restart; limits can be given back."""
    assert await jobs.load_controls() == (None, Pauses())
    limits = Limits(max_running_total=3, resources={"git": 1}, user_max_priorities={"bob": 2})
    pauses = Pauses(users=frozenset({ALICE}), job_types=frozenset({"x"}), draining=True)

    await jobs.save_controls(limits, pauses)
    await reopen(jobs)

    assert await jobs.load_controls() == (limits, pauses)
    await jobs.save_controls(None, Pauses())
    assert await jobs.load_controls() == (None, Pauses())


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
