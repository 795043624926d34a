"""The estimated wait: what is known, what is not, and how often it is right."""

import heapq
import itertools
import math
from collections.abc import Sequence
from random import Random

import attrs
import pytest

from cidx_jobs.engine.queue import wait_estimate as estimates
from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.engine.queue.wait_estimate import KEPT_DURATIONS, WaitEstimator
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.limits import Limits
from tests.queueing import Line

MEAN_SECONDS = {"short": 10.0, "long": 30.0}


@attrs.define
class Shop:
    """A queue, slots and an estimator; time and ends are the test's."""

    limits: Limits
    now: float = 1_000.0
    line: Line = attrs.field(factory=Line)
    slots: Slots = attrs.field(init=False)
    estimator: WaitEstimator = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Wire the parts as the engine does."""
        self.slots = Slots(self.limits)
        self.estimator = WaitEstimator(self.line.queue, self.slots)

    def refresh(self, user: UserId) -> None:
        """Open or close the user's gate."""
        self.line.queue.set_user_open(user, is_open=self.slots.has_user_room(user))

    def start_all(self) -> list[Job]:
        """Start what may start."""
        started = []
        while self.slots.has_total_room() and (name := self.line.start()) is not None:
            job = self.line.jobs[name]
            self.slots.take(job.job_id, job.user_id)
            self.refresh(job.user_id)
            self.estimator.began(job, self.now)
            started.append(job)
        return started

    def end(self, name: str, *, is_typical: bool = True) -> None:
        """End a job now."""
        self.refresh(self.slots.give_back(JobId(name)).user_id)
        self.estimator.ended(JobId(name), self.now, is_typical=is_typical)

    def learn(self, seconds: float, *, times: int = 5, user: str = "teacher") -> None:
        """Run a few jobs, one after the other, of the same length."""
        for number in range(times):
            name = f"{user}{100 + number}"
            self.line.add(name)
            (job,) = self.start_all()
            self.now += seconds
            self.end(job.job_id)

    def estimate(self, name: str, *, not_before: float = 0.0) -> tuple[float, float] | None:
        """Ask for a waiting job."""
        job = self.line.jobs[name]
        return self.estimator.estimate(job, self.now, not_before=not_before)

    def guess(self, name: str) -> float:
        """Give the point that the range is made around, in seconds."""
        guess = self.estimator._guess(self.line.jobs[name], self.now)
        assert guess is not None
        return guess.seconds


def make_shop(*, total: int, per_user: int) -> Shop:
    """Make a shop with so many slots."""
    return Shop(Limits(max_running_total=total, max_running_per_user=per_user))


def test_without_a_finished_run_nothing_is_known() -> None:
    """Before any run ended there is no estimate, rather than an invented one."""
    shop = make_shop(total=1, per_user=1)
    shop.line.add("a1", "b1")
    shop.start_all()

    assert shop.estimate("b1") is None


def test_a_run_that_was_broken_off_teaches_nothing() -> None:
    """How long a cancelled run took says nothing of the kind."""
    shop = make_shop(total=1, per_user=1)
    shop.line.add("a1", "b1")
    shop.start_all()
    shop.end("a1", is_typical=False)

    assert shop.estimate("b1") is None


def test_a_job_whose_start_is_being_stored_waits_no_more() -> None:
    """A job that has left the queue and does not run yet starts at any moment."""
    shop = make_shop(total=1, per_user=1)
    shop.learn(60)
    shop.line.add("a1")
    shop.line.start()

    low, high = shop.estimate("a1") or (9, 9)

    assert low == 0
    assert high < 1


def test_jobs_before_start_in_the_slots_that_are_free() -> None:
    """Right after a start of the server nothing runs: the first in line start now."""
    shop = make_shop(total=2, per_user=2)
    shop.learn(60)
    shop.line.add("a1", "b1", "c1", "d1", "e1")

    assert [round(shop.guess(f"{user}1")) for user in "abcde"] == [0, 0, 60, 60, 120]


def test_a_line_of_ones_own_starts_in_ones_free_slots() -> None:
    """Of a user of whom nothing runs, those beyond the limit wait for the first to end."""
    shop = make_shop(total=10, per_user=2)
    shop.learn(60)
    shop.line.flood("a", 4)

    assert [round(shop.guess(f"a{number}")) for number in range(1, 5)] == [0, 0, 60, 60]


def test_a_job_with_a_free_slot_waits_hardly_at_all() -> None:
    """A job that is next and has a slot waits for its start to be stored, no more."""
    shop = make_shop(total=2, per_user=2)
    shop.learn(60)
    shop.line.add("a1")

    low, high = shop.estimate("a1") or (9, 9)

    assert low == 0
    assert high < 1


def test_the_guess_is_what_is_left_of_the_jobs_before() -> None:
    """One slot, jobs of 60 s: the rest of the running one and all of those between."""
    shop = make_shop(total=1, per_user=1)
    shop.learn(60)
    shop.line.add("a1", "b1", "c1", "d1")
    shop.start_all()
    shop.now += 45

    assert [round(shop.guess(name)) for name in ("b1", "c1", "d1")] == [15, 75, 135]


def test_a_long_line_is_guessed_evenly() -> None:
    """Far back, a slot comes free every mean time divided by the slots."""
    shop = make_shop(total=2, per_user=2)
    shop.learn(60)
    for number in range(402):
        shop.line.add(f"user{number}x1")
    shop.start_all()

    assert shop.guess("user401x1") == pytest.approx(200 * 60)


def test_a_guess_grows_old_with_the_time() -> None:
    """Between two looks at the slots the seconds that passed are taken off."""
    shop = make_shop(total=1, per_user=1)
    shop.learn(60)
    shop.line.add("a1", "b1")
    shop.start_all()
    before = shop.guess("b1")
    shop.now += 0.01

    assert before - shop.guess("b1") == pytest.approx(0.01)


def test_a_users_own_line_counts_where_it_is_longer() -> None:
    """With slots free, a user at the limit waits for their own runs only."""
    shop = make_shop(total=10, per_user=2)
    shop.learn(60)
    shop.line.flood("a", 6)
    shop.start_all()

    assert [round(shop.guess(f"a{number}")) for number in range(3, 7)] == [60, 60, 120, 120]


def test_jobs_that_are_passed_over_are_not_waited_for() -> None:
    """A paused user's hundred jobs stand before, and take no slot."""
    shop = make_shop(total=1, per_user=1)
    shop.learn(60)
    shop.line.add("a1")
    shop.start_all()
    shop.line.close_user("paused")
    shop.line.flood("paused", 100, priority=9)
    shop.line.add("b1")

    assert shop.line.queue.position(JobId("b1")) == 101
    assert round(shop.guess("b1")) == 60


@pytest.mark.parametrize(
    ("needed", "rivals", "busy", "ends"),
    [
        (3, [], 4, 3),
        (3, [(100, 2)], 4, 6),
        (3, [(2, 2)], 4, 5),
        (2, [(100, 4)], 4, 102),
        (2, [(1, 1), (100, 2)], 4, 6),
    ],
)
def test_ends_of_rivals_are_counted_while_they_have_jobs_before(
    needed: float, rivals: Sequence[tuple[int, int]], busy: int, ends: float
) -> None:
    """Rivals keep their share of the slots until their jobs before this one are through."""
    assert estimates._ends_beside(needed, rivals, busy) == pytest.approx(ends)


def test_a_range_begins_no_earlier_than_the_job_may() -> None:
    """A job that backs off does not start before its time."""
    shop = make_shop(total=2, per_user=2)
    shop.learn(60)
    shop.line.add("a1")

    low, high = shop.estimate("a1", not_before=30) or (0, 0)

    assert 30 <= low <= high < 40
    assert not shop.estimator._guesses


def test_a_run_longer_than_any_is_expected_to_go_on() -> None:
    """The longer it took beyond all that is known, the longer the rest may be."""
    shop = make_shop(total=1, per_user=1)
    shop.learn(60)
    shop.line.add("a1", "b1")
    shop.start_all()
    shop.now += 600

    assert shop.guess("b1") == pytest.approx(300)


def test_durations_are_those_of_the_user_and_the_type() -> None:
    """A user whose jobs take long is expected to take long; of a new user the type is known."""
    shop = make_shop(total=1, per_user=1)
    shop.learn(10, user="quick")
    shop.learn(100, user="slow")
    guesses = {}
    for user in ("quick", "slow", "new"):
        shop.line.add(f"{user}1", "b1")
        shop.start_all()
        guesses[user] = round(shop.guess("b1"))
        shop.end(f"{user}1", is_typical=False)
        shop.line.queue.remove(JobId("b1"))
        shop.now += 1

    assert guesses == {"quick": 10, "slow": 100, "new": 55}


def test_only_recent_durations_count() -> None:
    """What jobs took long ago is forgotten after enough newer ones."""
    shop = make_shop(total=1, per_user=1)
    shop.learn(1_000, times=KEPT_DURATIONS)
    shop.learn(10, times=KEPT_DURATIONS)
    shop.line.add("a1", "b1")
    shop.start_all()

    assert shop.guess("b1") == pytest.approx(10)


def test_guesses_about_jobs_that_never_start_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory does not grow with cancelled jobs that somebody looked at."""
    monkeypatch.setattr(estimates, "_MAX_KINDS", 50)
    shop = make_shop(total=1, per_user=1)
    shop.learn(10)
    shop.line.add("a1")
    shop.start_all()
    for number in range(200):
        shop.line.add(f"b{number}")
        shop.estimate(f"b{number}")
        shop.line.queue.remove(JobId(f"b{number}"))

    assert len(shop.estimator._guesses) <= 51


def test_kinds_that_do_not_occur_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the users that there ever were."""
    monkeypatch.setattr(estimates, "_MAX_KINDS", 50)
    monkeypatch.setattr(estimates, "_MAX_UNSORTED", 20)
    shop = make_shop(total=1, per_user=1)
    for number in range(200):
        shop.learn(10, times=1, user=f"user{number}x")

    assert len(shop.estimator._unsorted) <= 20
    assert len(shop.estimator._kinds) <= 53
    assert shop.estimator._kinds[None].mean == pytest.approx(10)


@attrs.frozen(kw_only=True)
class Trade:
    """What comes to a shop: bursts of users' jobs, at random or all at once, and how long."""

    users: int = 8
    total: int = 6
    per_user: int = 3
    bursts: Sequence[int] = (1, 1, 2, 8)
    load: float = 0.8
    spread: float = 0.6
    """The standard deviation of the logarithm of a duration."""
    jobs: int = 1_000
    batch: int = 0
    """So many jobs come at once, and the next when they are through; 0: at random."""


def share_of_right_estimates(trade: Trade, seed: int) -> float:
    """Simulate it; give the share of waits that ended in the range told when they began."""
    random = Random(seed)  # noqa: S311 - chance that has to replay
    shop = make_shop(total=trade.total, per_user=trade.per_user)
    numbers = itertools.count()
    events: list[tuple[float, int, str, int]] = []
    told: dict[str, tuple[float, float, float]] = {}
    right: list[bool] = []
    for at, count in arrivals(trade, random):
        heapq.heappush(events, (at, next(numbers), "", count))
    while events:
        shop.now, _, ending, count = heapq.heappop(events)
        names: list[str] = []
        if ending:
            shop.end(ending)
        else:
            user = f"user{random.randrange(trade.users)}x"
            names = [f"{user}{next(numbers)}" for _ in range(count)]
            for name in names:
                shop.line.add(name, job_type=random.choice(("short", "long")))
        for job in shop.start_all():
            seconds = MEAN_SECONDS[job.job_type] * random.lognormvariate(0, trade.spread)
            heapq.heappush(events, (shop.now + seconds, next(numbers), job.job_id, 0))
            if job.job_id in told:
                at, low, high = told[job.job_id]
                right.append(low <= shop.now - at <= high)
        for name in names:
            if name in shop.line.queue and (known := shop.estimate(name)) is not None:
                told[name] = (shop.now, *known)
    assert len(right) > trade.jobs / 4
    return sum(right) / len(right)


def arrivals(trade: Trade, random: Random) -> list[tuple[float, int]]:
    """Draw when bursts of jobs come, and how many jobs each has."""
    mean = math.fsum(MEAN_SECONDS.values()) / 2 * math.exp(trade.spread**2 / 2)
    burst = sum(trade.bursts) / len(trade.bursts)
    drawn, at, made = [], 0.0, 0
    while made < trade.jobs:
        if trade.batch:
            count, pause = 1, trade.batch * mean / trade.total * 2
            at += 0.0 if made % trade.batch else pause
        else:
            count = random.choice(trade.bursts)
            at += random.expovariate(trade.total * trade.load / (burst * mean))
        drawn.append((at, count))
        made += count
    return drawn


@pytest.mark.slow
@pytest.mark.parametrize(
    "trade",
    [
        Trade(),
        Trade(load=0.5),
        Trade(load=1.0),
        Trade(spread=0.0),
        Trade(spread=1.0),
        Trade(batch=60),
        Trade(users=1, total=50, per_user=5, load=0.08),
        Trade(users=3, total=2, per_user=2),
        Trade(users=1, total=1, per_user=1),
        Trade(users=30, total=50, per_user=10, bursts=(5, 20, 60), jobs=4_000),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", [1, 2])
def test_four_of_five_waits_end_within_the_estimate(trade: Trade, seed: int) -> None:
    """With stationary durations the true wait lies in the range at least 80 % of the time."""
    assert share_of_right_estimates(trade, seed) >= 0.8


@pytest.mark.slow
def test_an_estimator_that_learns_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A range that does not follow from what happened fails the same test."""
    monkeypatch.setattr(WaitEstimator, "_range_of_shares", lambda *_: (0.8, 1.2))

    assert share_of_right_estimates(Trade(), 1) < 0.8


def test_ranges_are_not_endless() -> None:
    """The ends of a range that was learned are less than a factor of twenty apart."""
    shop = make_shop(total=1, per_user=1)
    shop.learn(60)
    for number in range(30):
        shop.line.add(f"a{number}", f"b{number}")
        shop.start_all()
        shop.estimate(f"b{number}")
        shop.now += 60
        shop.end(f"a{number}")
        shop.start_all()
        shop.now += 60
        shop.end(f"b{number}")
    shop.line.add("c1", "d1")
    shop.start_all()

    low, high = shop.estimate("d1") or (0, 0)

    assert 45 < low < 60 < high < 75


def test_the_estimator_reads_and_never_moves_the_queue() -> None:
    """An estimate changes neither the order nor who may start."""
    queue = JobQueue()
    line = Line(queue)
    estimator = WaitEstimator(queue, Slots(Limits(max_running_total=1)))
    line.flood("a", 3)
    before = (list(queue), queue.next_startable())

    for name in list(queue):
        estimator.estimate(line.jobs[name], 5.0)

    assert (list(queue), queue.next_startable()) == before
