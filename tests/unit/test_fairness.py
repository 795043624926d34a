"""Who goes before whom: turns between users, ageing between priorities (guarantees.md, G9)."""

import pytest

from cidx_jobs.engine.queue.fair_turns import PENDING_SECONDS, ROUND_SIZE, Turns
from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.key_limits import KeyLimit, LimitKey
from tests.queueing import Line

AGEING = 60.0


@pytest.fixture
def line() -> Line:
    """Give an empty queue in which a job gains one level a minute."""
    return Line(JobQueue(AGEING, drift=10))


def rank(line: Line, name: str) -> int:
    """Give the position of a waiting job."""
    return line.queue.position(JobId(name))


@pytest.mark.parametrize("running", [0, 1, 10])
def test_every_other_user_starts_within_one_turn_of_a_flood(line: Line, running: int) -> None:
    """One of 50 users floods 1,000 jobs: the others' first jobs all start after one of them."""
    line.flood("flood", 1_000)
    for _ in range(running):
        line.start()
    others = [f"user{number}x" for number in range(49)]
    for user in others:
        line.flood(user, 3)

    started = line.start_all()

    assert [name for name in started[:50] if name.startswith("flood")] == [f"flood{running + 1}"]
    assert set(started[:50]) >= {f"{user}1" for user in others}


def test_a_newcomer_waits_about_one_turn_after_forty_jobs_of_another(line: Line) -> None:
    """With two slots and 38 jobs before them in time, one job is before them in order."""
    line.flood("a", 40)
    line.start(), line.start()

    line.add("b1")

    assert rank(line, "b1") == 2


def test_users_who_flood_take_turns(line: Line) -> None:
    """Three floods at one priority, one after the other, start in turns."""
    for user in ("a", "b", "c"):
        line.flood(user, 4)

    assert line.start_all() == [f"{user}{n}" for n in range(1, 5) for user in "abc"]


def test_a_newcomer_cannot_pass_with_a_flood(line: Line) -> None:
    """A newcomer joins the current round once: their second job waits for the next round."""
    line.flood("a", 100)
    for _ in range(50):
        line.start()

    line.flood("b", 3)

    assert line.start_all()[:6] == ["a51", "b1", "a52", "b2", "a53", "b3"]


@pytest.mark.parametrize("is_somebody_stuck", [False, True])
def test_one_job_after_another_is_no_way_to_the_front(line: Line, is_somebody_stuck: bool) -> None:
    """A user who always queues the next job when the last one started takes turns as well.

    So it is, too, while the first round stays open because of somebody at the limit.
    """
    if is_somebody_stuck:
        line.add("stuck1")
        line.close_user("stuck")
    line.flood("a", 50)
    line.add("b1")
    started: list[str] = []
    for number in range(2, 22):
        started.append(line.start() or "")
        if started[-1].startswith("b"):
            line.add(f"b{number}")

    assert 9 <= sum(name.startswith("b") for name in started) <= 11


def test_uncontended_slots_cost_nobody_a_turn(line: Line) -> None:
    """Five users who took all their slots when there was room stand equal to a newcomer."""
    for user in "abcde":
        line.flood(user, 100)
        for _ in range(10):
            line.start()
        line.close_user(user)

    line.add("f1")

    for user in "abcde":
        line.open_user(user)
    assert rank(line, "f1") <= 6


def test_who_was_passed_over_leaves_no_turns_to_collect(line: Line) -> None:
    """A user stuck at the limit, far behind, gives a newcomer no way past those who went on."""
    line.flood("stuck", 100)
    line.close_user("stuck")
    line.flood("b", 600)
    for _ in range(500):
        line.start()

    line.flood("c", 100)

    started = line.start_all()
    before = started.index("b501")
    assert before <= 10 + 1
    shared = [name[0] for name in started[before : before + 40]]
    assert 18 <= shared.count("b") <= 22


def test_jobs_of_a_closed_type_take_turns_among_themselves(line: Line) -> None:
    """A flood that waits for a resource delays others who want it by one turn, not by all of it.

    Meanwhile other types went on, and are far ahead in their turns.
    """
    line.flood("a", 100, job_type="heavy")
    line.start()
    line.queue.set_type_open("heavy", is_open=False)
    line.flood("b", 600)
    for _ in range(500):
        line.start()

    line.add("c1", job_type="heavy")
    line.add("d1")

    assert rank(line, "c1") == 2
    assert [line.start(), line.start()] == ["b501", "d1"]
    line.queue.set_type_open("heavy", is_open=True)
    assert line.start_all()[:2] == ["a2", "c1"]


def test_jobs_of_a_key_that_is_full_take_turns_among_themselves(line: Line) -> None:
    """A flood that waits for a code host delays others of the host by one turn, not by all of it.

    Meanwhile other jobs went on, and are far ahead in their turns.
    """
    host = LimitKey("host:example.org", None)
    limits = (KeyLimit(key=host, limit=1, set_at=0.0),)
    line.flood("a", 100, limits=limits)
    line.start()
    line.queue.set_key_open(host, is_open=False)
    line.flood("b", 600)
    for _ in range(500):
        line.start()

    line.add("c1", limits=limits)

    assert rank(line, "c1") == 2
    line.queue.set_key_open(host, is_open=True)
    assert line.start_all()[:2] == ["a2", "c1"]


def test_a_full_key_of_their_own_lets_nobody_go_back_to_earlier_rounds(line: Line) -> None:
    """Else a user could collect turns by holding jobs up, and then pass everybody."""
    limits = (KeyLimit(key=LimitKey("mine", UserId("a")), limit=1, set_at=0.0),)
    line.queue.set_key_open(limits[0].key, is_open=False)
    line.add("a0", limits=limits)
    line.flood("b", 600)
    for _ in range(500):
        line.start()

    line.flood("a", 100, limits=limits)

    assert 10 <= line.order().index("b501") <= 12


def test_a_higher_priority_goes_first(line: Line) -> None:
    """Priority 9 goes before 5 before 0, whoever came first and whatever the turns are."""
    line.flood("low", 2, priority=0)
    line.flood("mid", 2)
    line.flood("high", 2, priority=9)

    assert line.start_all() == ["high1", "high2", "mid1", "mid2", "low1", "low2"]


@pytest.mark.parametrize(("waited", "first"), [(239, "new1"), (241, "old1")])
def test_a_job_gains_one_level_for_each_minute_that_it_waits(
    line: Line, waited: float, first: str
) -> None:
    """Four levels are four minutes: just before them the higher priority goes first."""
    line.add("old1", priority=3)
    line.seconds += waited

    line.add("new1", priority=7)

    assert line.start() == first


def test_who_joins_a_round_shares_its_age(line: Line) -> None:
    """A newcomer joins the flood's current round also after an hour, and an old flood's too.

    Else the newcomer would stand behind the whole flood, which is older.
    """
    line.flood("a", 100)
    line.seconds += 3_600

    line.add("b1")
    line.add("c1", priority=9)

    assert line.order()[:2] == ["a1", "b1"]
    assert line.order()[-1] == "c1"


def test_a_round_is_never_younger_than_the_next(line: Line) -> None:
    """Turns decide within a priority, also in a round that was forgotten meanwhile."""
    line.add("stuck1")
    line.close_user("stuck")
    line.flood("a", 100)
    for _ in range(50):
        line.start()
    line.seconds += 10_000

    line.add("b1")

    assert line.order()[:3] == ["stuck1", "b1", "a51"]


def test_a_users_jobs_stay_in_order_when_an_old_job_comes_back_between(line: Line) -> None:
    """An interrupted job is old; nobody's second job takes of its age and passes their first."""
    line.add("stuck1")
    line.close_user("stuck")
    line.flood("a", 20)
    for _ in range(20):
        line.start()
    line.seconds += 10_000
    line.add("b1")
    line.queue.push(line.jobs["a15"])

    line.add("b2")

    assert line.start_all() == ["a15", "b1", "b2"]


def test_rounds_take_a_bounded_number_of_newcomers(line: Line) -> None:
    """An endless stream of new users cannot keep a user's second job waiting for ever."""
    line.add("a1", "a2")

    for number in range(ROUND_SIZE + 500):
        line.add(f"user{number}x1")

    assert rank(line, "a2") == ROUND_SIZE + 1


def test_cancelled_jobs_cost_no_turns(line: Line) -> None:
    """A user who cancelled a flood stands as if there had been none."""
    line.flood("a", 100)
    for name in line.order():
        line.queue.remove(JobId(name))
    line.flood("b", 100)

    line.add("a101")

    assert rank(line, "a101") == 2


def test_keys_on_their_way_keep_their_order(line: Line) -> None:
    """Jobs whose keys were given first go first, however late they are stored.

    A cancel in between gives no turn away that was given to a job on its way.
    """
    line.add("a1")
    first, second = line.make("a2"), line.make("a3")
    line.queue.remove(JobId("a1"))
    last = line.make("a4")

    for job in (last, second, first):
        line.queue.push(job)

    assert line.start_all() == ["a2", "a3", "a4"]


def test_a_burst_of_keys_makes_one_flood(line: Line) -> None:
    """Many keys that were given before any job is stored spread over rounds as pushed ones do."""
    burst = [line.make(f"a{number}") for number in range(1, 51)]
    other = line.make("b1")
    for job in (*burst, other):
        line.queue.push(job)

    assert rank(line, "b1") == 2


def test_a_key_that_is_never_pushed_does_no_harm(line: Line) -> None:
    """Submits that were refused after they had a key leave no turn taken and no age behind."""
    for number in range(50):
        line.make(f"a{number}")
    line.seconds += 3_600

    line.add("a51", "b1", "a52", "b2")
    line.add("c1", priority=6)

    assert line.start_all() == ["c1", "a51", "b1", "a52", "b2"]


def test_a_key_that_is_never_pushed_is_forgotten_while_others_wait(line: Line) -> None:
    """A lost flood of keys costs its user nothing, also while a job of theirs waits."""
    line.add("a1")
    for number in range(2, 50):
        line.make(f"a{number}")
    line.seconds += PENDING_SECONDS + 1

    line.add("b1", "b2", "b3", "a51")

    assert line.start_all() == ["a1", "b1", "b2", "a51", "b3"]


def test_a_clock_that_was_set_back_changes_no_order(line: Line) -> None:
    """A new job never goes before an old one because the time is earlier than it was."""
    line.add("a1")
    line.seconds -= 1_000_000

    line.add("b1", priority=5)
    line.add("c1", priority=4)

    assert line.order() == ["a1", "b1", "c1"]


def test_old_jobs_stay_before_new_ones_when_the_ageing_time_changes(line: Line) -> None:
    """A restart with another ageing time does not let new jobs pass all the old ones."""
    line.flood("a", 3)
    again = Line(JobQueue(AGEING * 10), seconds=line.seconds + 1)
    for job in line.jobs.values():
        again.queue.push(job)

    again.add("b1", "b2", "b3", "b4")
    again.add("c1", priority=4)

    assert again.order() == ["a1", "b1", "a2", "b2", "a3", "b3", "b4", "c1"]


def test_a_restart_goes_on_where_it_was(line: Line) -> None:
    """After a restart a flood's owner and a newcomer stand as they would have without it."""
    line.flood("a", 40)
    for _ in range(20):
        line.start()
    again = Line(JobQueue(AGEING), seconds=line.seconds)
    for name in line.order():
        again.queue.push(line.jobs[name])

    for each in (line, again):
        each.add("b1", "a41", "c1")

    assert again.order() == line.order()
    assert again.jobs["a41"].dispatch_key == line.jobs["a41"].dispatch_key


def test_what_runs_after_a_restart_counts_for_the_turns(line: Line) -> None:
    """A queue that is told what was dispatched gives the same keys as one that dispatched it."""
    line.flood("a", 20)
    again = Line(JobQueue(AGEING), seconds=line.seconds)
    for _ in range(20):
        key = line.jobs[line.start() or ""].dispatch_key
        assert key is not None
        again.queue._turns.serve(key, UserId("a"), 5, None)

    for each in (line, again):
        each.add("a21", "b1")

    assert [again.jobs[name].dispatch_key for name in ("a21", "b1")] == [
        line.jobs[name].dispatch_key for name in ("a21", "b1")
    ]


def test_more_slots_for_a_user_let_newcomers_join_further_back(line: Line) -> None:
    """How far behind the newest turn a newcomer may join follows the number of slots."""
    line.add("stuck1")
    line.close_user("stuck")
    line.flood("a", 60)
    for _ in range(50):
        line.start()

    line.add("b1")
    line.queue.set_drift(40)
    line.add("c1")

    assert line.order()[:3] == ["stuck1", "c1", "b1"]


@pytest.mark.slow
def test_idle_users_are_forgotten() -> None:
    """Memory does not grow with the users that there ever were."""
    line = Line()
    for number in range(5_000):
        line.add(f"user{number}x1")
        line.start()

    (row,) = line.queue._turns._rows.values()
    assert len(row.lines) < 2_100
    assert sum(len(frame.served) for frame in row.frames.values()) <= len(row.lines)


@pytest.mark.slow
def test_waiting_users_are_never_forgotten() -> None:
    """A user of whom a job waits keeps the turn, however many others come and go."""
    line = Line()
    line.close_user("a")
    line.add("a1", "a2")
    for number in range(1_100):
        line.add(f"user{number}x1", f"b{number}")
        line.start(), line.start()
    line.open_user("a")

    line.add("a3")

    assert line.queue.jobs_of(UserId("a")) == ["a1", "a2", "a3"]
    (row,) = line.queue._turns._rows.values()
    assert row.lines[UserId("a")].waiting == 3


def test_what_came_to_nothing_is_forgotten() -> None:
    """Refused submits leave no rounds behind, cancelled jobs no users: memory stays bounded."""
    turns = Turns(60.0, drift=10)
    for number in range(20_000):
        seconds = number / 20
        turns.make_key(UserId("refused"), 5, seconds, None, ())
        user = UserId(f"user{number}")
        key = turns.make_key(user, 5, seconds, "sync", ())
        turns.enter((key, user, 5, "sync", ()))
        turns.leave((key, user, 5, "sync", ()))

    row = turns._rows[5]
    kept = len(row.rounds) + len(row.lines)
    assert kept < 5_000
