"""The queue's mechanics: ranks, gates, what comes and goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.startable import pack_key
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import DispatchKey, Job
from cidx_jobs.model.job.key_limits import KeyLimits, LimitKey, keys_of, make_key_limits
from cidx_jobs.model.listing import UnreadJob
from tests.queueing import Line, make_waiting_job

levels = st.one_of(
    st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda level: level + 0.0),
    st.sampled_from((-5.0, 0.0, 1.0 / 3, 28_000_000.0, 28_000_000.0 + 2**-27)),
)
numbers = st.integers(0, 2**48 - 1)
keys = st.builds(DispatchKey, levels, st.one_of(st.integers(0, 3), numbers), numbers)
RED = LimitKey("red", None)
Row = tuple[str, int, str, KeyLimits, DispatchKey, bool, tuple[str, ...]]
"""Of a job: user, priority, type, limits, key; whether it is eligible, and its resources."""
Entry = tuple[Job, bool, tuple[str, ...]]
stored = st.lists(
    st.tuples(
        st.sampled_from(("ann", "bob")),
        st.sampled_from((4, 5)),
        st.sampled_from(("plain", "heavy")),
        st.sampled_from(((), make_key_limits({"red": 1}, None, 0.0))),
        st.builds(DispatchKey, st.floats(-9, 9), st.integers(0, 5), st.integers(0, 99)),
        st.booleans(),
        st.sampled_from(((), ("disk",))),
    ),
    max_size=25,
)


@pytest.fixture
def line() -> Line:
    """Give an empty queue."""
    return Line()


def test_positions_are_one_to_n_in_the_order_of_start(line: Line) -> None:
    """The rank of each waiting job is its place in the order in which all then start."""
    line.flood("a", 3)
    line.flood("b", 2)
    line.add("urgent1", priority=9)
    ranks = {name: line.queue.position(JobId(name)) for name in line.order()}

    started = line.start_all()

    assert sorted(ranks, key=ranks.__getitem__) == started
    assert sorted(ranks.values()) == [1, 2, 3, 4, 5, 6]
    assert started == ["urgent1", "a1", "b1", "a2", "b2", "a3"]


def test_first_in_is_first_out_within_user_and_priority(line: Line) -> None:
    """A user's jobs of one priority start in the order in which they were queued."""
    line.flood("a", 20)

    assert line.start_all() == [f"a{number}" for number in range(1, 21)]


def test_a_closed_user_is_passed_over_and_keeps_the_rank(line: Line) -> None:
    """A user at the limit hides nobody else's job, and stands where they stood."""
    line.add("a1", "a2", "b1")
    line.close_user("a")

    assert line.queue.position(JobId("a1")) == 1
    assert line.start_all() == ["b1"]

    line.open_user("a")
    assert line.start_all() == ["a1", "a2"]


def test_a_user_who_was_closed_before_their_first_job_is_passed_over(line: Line) -> None:
    """The gate of a user stands whether or not a job waits at it; closing twice is once."""
    line.close_user("a")
    line.close_user("a")
    line.add("a1", "b1")

    assert line.start_all() == ["b1"]

    line.open_user("a")
    line.open_user("a")
    assert line.start_all() == ["a1"]


def test_a_closed_type_is_passed_over(line: Line) -> None:
    """Jobs whose resource is taken hide nobody else's job, not even their own user's."""
    line.add("a1", job_type="heavy")
    line.add("a2")
    line.queue.set_type_open("heavy", is_open=False)

    assert line.start_all() == ["a2"]

    line.queue.set_type_open("heavy", is_open=True)
    assert line.start_all() == ["a1"]


def test_a_job_that_backs_off_is_ranked_and_does_not_start(line: Line) -> None:
    """A job that waits for its retry counts in every rank; it starts once it is eligible."""
    line.queue.push(line.make("a1"), is_eligible=False)
    line.add("b1")

    assert line.queue.position(JobId("b1")) == 2
    assert line.start_all() == ["b1"]

    line.queue.set_eligible(JobId("a1"), is_eligible=True)
    line.queue.set_eligible(JobId("a1"), is_eligible=True)
    assert line.start_all() == ["a1"]


def test_what_became_eligible_too_late_changes_nothing(line: Line) -> None:
    """Marking a job that does not wait any more is no error: its alarm went off late."""
    line.queue.push(line.make("a1"), is_eligible=False)
    assert line.queue.remove(JobId("a1"))

    line.queue.set_eligible(JobId("a1"), is_eligible=True)

    assert len(line.queue) == 0
    assert line.start() is None


@pytest.mark.parametrize("position", [1, 2, 3])
def test_a_removed_job_never_starts(line: Line, position: int) -> None:
    """A job that is taken out, from any place of its user's line, is gone at once."""
    line.flood("a", 3)

    assert line.queue.remove(JobId(f"a{position}"))

    assert f"a{position}" not in line.start_all()
    assert not line.queue.remove(JobId(f"a{position}"))
    assert not line.queue.remove_started(JobId(f"a{position}"))


def test_a_user_sees_their_own_line(line: Line) -> None:
    """Count, jobs and ranks of one user, over all types and with what backs off."""
    line.add("b1", "a1")
    line.add("a2", job_type="heavy")
    line.queue.push(line.make("a3"), is_eligible=False)
    line.queue.push(line.make("a4"), is_eligible=False)

    assert line.queue.jobs_of(UserId("a")) == ["a1", "a2", "a3", "a4"]
    assert line.queue.count_waiting(UserId("a")) == 4
    assert [line.queue.position_in_user(JobId(f"a{n}")) for n in range(1, 5)] == [1, 2, 3, 4]
    assert line.queue.count_waiting(UserId("nobody")) == 0
    line.queue.set_eligible(JobId("a3"), is_eligible=True)
    assert line.queue.jobs_of(UserId("a")) == ["a1", "a2", "a3", "a4"]
    assert line.queue.users() == {"a", "b"}
    assert line.queue.job_types() == {"plain", "heavy"}


def test_an_empty_queue_keeps_nothing(line: Line) -> None:
    """When the last job left, no user or type is remembered as waiting."""
    line.flood("a", 3)
    line.start()
    for name in line.order():
        line.queue.remove(JobId(name))

    assert (len(line.queue), line.queue.users(), line.queue.job_types()) == (0, set(), set())
    assert JobId("a1") not in line.queue


def test_a_job_that_waits_already_is_refused(line: Line) -> None:
    """A second push of one job raises and changes nothing."""
    line.add("a1")

    with pytest.raises(ValueError, match="waits already"):
        line.queue.push(line.jobs["a1"])

    assert len(line.queue) == 1


def test_a_rank_of_what_does_not_wait_raises(line: Line) -> None:
    """A rank is never made up."""
    with pytest.raises(KeyError):
        line.queue.position(JobId("nobody"))


def test_jobs_with_equal_keys_still_have_an_order() -> None:
    """Keys that were stored equal, by whatever fault, rank as they come and break nothing."""
    queue = JobQueue()
    key = DispatchKey(1.0, 0, 1)
    for name in ("j2", "j1"):
        queue.push(make_waiting_job(name, "alice", key))

    assert [queue.position(JobId(name)) for name in ("j2", "j1")] == [1, 2]
    assert queue.remove(JobId("j2"))
    assert queue.next_startable() == "j1"


@given(st.lists(keys, min_size=2, max_size=8, unique=True))
def test_packed_keys_are_ordered_as_the_keys(some: list[DispatchKey]) -> None:
    """One whole number a key, with the order of the keys, also below zero and far apart."""
    assert sorted(some, key=pack_key) == sorted(some)
    assert len(set(map(pack_key, some))) == len(some)


@given(before=stored, rows=stored, gates=st.sets(st.sampled_from(("ann", "heavy", "red"))))
def test_many_jobs_at_once_wait_as_if_they_had_come_one_by_one(
    before: list[Row], rows: list[Row], gates: set[str]
) -> None:
    """Order, ranks, who starts, and the places of those who come later are the same.

    So it is in an empty queue and in one where jobs wait, for jobs that are unread, too.
    """
    first, second = make_entries("b", before), make_entries("r", rows)
    one_by_one, at_once = JobQueue(), JobQueue()
    for job, is_eligible, resources in [*first, *second]:
        one_by_one.push(job, is_eligible=is_eligible, resources=resources)
    at_once.push_all(first)
    at_once.push_all([(unread(job), is_eligible, needs) for job, is_eligible, needs in second])

    for queue in (one_by_one, at_once):
        queue.set_user_open(UserId("ann"), is_open="ann" not in gates)
        queue.set_type_open("heavy", is_open="heavy" not in gates)
        queue.set_key_open(RED, is_open="red" not in gates)

    assert look_at(at_once) == look_at(one_by_one)
    assert life_of(at_once) == life_of(one_by_one)
    assert look_at(at_once) == look_at(one_by_one)


def make_entries(prefix: str, rows: list[Row]) -> list[Entry]:
    """Make the jobs of some rows."""
    return [
        (
            make_waiting_job(
                f"{prefix}{n}", user, key, priority=priority, job_type=job_type, limits=limits
            ),
            is_eligible,
            resources,
        )
        for n, (user, priority, job_type, limits, key, is_eligible, resources) in enumerate(rows)
    ]


def unread(job: Job) -> Job | UnreadJob:
    """Give the job as a store gives one that merely waits."""
    if job.limits or job.dispatch_key is None:
        return job
    return UnreadJob(
        job_id=job.job_id,
        user_id=job.user_id,
        job_type=job.job_type,
        priority=job.priority,
        dispatch_key=job.dispatch_key,
        read=lambda: job,
    )


def look_at(queue: JobQueue) -> list[object]:
    """Give all that a queue says of the jobs in it."""
    users = sorted(queue.users())
    return [
        list(queue),
        [queue.position(job_id) for job_id in queue],
        [queue.position_in_user(job_id) for job_id in queue],
        [queue.count_passed_over(job_id) for job_id in queue],
        [(user, queue.count_waiting(user), queue.jobs_of(user)) for user in users],
        (queue.job_types(), queue.keys(), queue.has_eligible(RED), queue.next_startable()),
    ]


def life_of(queue: JobQueue) -> list[object]:
    """Give what comes of a queue in which jobs go, come and start."""
    seen: list[object] = []
    for number, job_id in enumerate(list(queue)[::3]):
        queue.remove(job_id)
        user, closed = UserId("ann" if number % 2 else "bob"), keys_of(())
        seen.append(queue.make_key(user, 5, 60.0 * number, "plain", closed))
        seen.append(queue.next_startable())
    while (first := queue.next_startable()) is not None:
        queue.remove_started(first)
        seen.append((first, queue.make_key(UserId("cyd"), 4, 900.0, "heavy", (RED,))))
    return seen


def test_a_job_is_not_put_twice(line: Line) -> None:
    """Neither by itself nor among many; one without a key has no place."""
    line.add("a1")
    job = line.jobs["a1"]

    with pytest.raises(ValueError, match="waits already"):
        line.queue.push_all([(job, True, ())])
    with pytest.raises(ValueError, match="no dispatch key"):
        JobQueue().push(replace(job, dispatch_key=None))


def test_another_queue_with_the_same_rows_has_the_same_order(line: Line) -> None:
    """The order survives a restart: it is that of the stored keys, in whatever order they come."""
    line.flood("a", 7)
    line.add("urgent1", priority=8)
    line.seconds += 100
    line.flood("b", 4, priority=4)
    line.start()
    line.flood("c", 3)
    before = line.order()

    again = JobQueue()
    for name in sorted(before, reverse=True):
        again.push(line.jobs[name])

    assert list(again) == before


def test_an_interrupted_job_goes_first_again(line: Line) -> None:
    """A job that comes back with its stored key stands before all that came after it."""
    line.flood("a", 3)
    line.flood("b", 3)
    assert line.start() == "a1"
    assert line.start() == "b1"

    line.queue.push(line.jobs["a1"])

    assert line.start_all() == ["a1", "a2", "b2", "a3", "b3"]
