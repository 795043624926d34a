"""How long a waiting job will wait: a range, from how long jobs took and how good that was.

The point: the slots are let come free one after the other in thought. Each running job has the
rest that jobs of its kind had which ran as long, each job after it the mean time. Two lines count:
all slots, for the jobs before it, and its user's slots, for the user's own jobs before it. The
later one is the *guess*.

The range: how long jobs really waited, as a share of what was guessed, is kept for guesses over
about as many ends of runs; all but the extremes of these shares make the range. So whatever the
guess does not know (who comes later and goes before, how durations spread, who is cancelled, which
resource is short) is in the range as far as it happens.

Nothing here does I/O or knows a clock; times are monotonic seconds.
"""

import math
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Sequence
from functools import partial
from heapq import heapify, heapreplace
from statistics import fmean

import msgspec

from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job

KEPT_DURATIONS = 100
"""How many durations are kept of one job type and user, and of one job type."""

KEPT_SHARES = 200
"""How many shares of guessed waits are kept for guesses over about as many ends."""

FRESH_SECONDS = 0.5
"""How long the times at which slots come free are used for all readers, if nothing changes."""

BUSY_SECONDS = 0.02
"""How long they are used while jobs start and end."""

_ENOUGH_DURATIONS = 3
"""From so many of a user's own runs of a type on they count alone, and not those of all."""
_ENOUGH_SHARES = 10
"""From so many outcomes on the range is made of them."""
_TAIL = 0.03
"""The share of outcomes that is left out on each side of the range."""

_MARGIN = 1.1
"""How much wider the range is made on each side, for what has not happened lately."""

_UNTRIED = (0.3, 2.5)
"""The range of shares as long as too little is known of them."""

_SLACK_SECONDS = 0.2
"""What storing and starting a job may add; also keeps shares of short waits sane."""

_MAX_KINDS = 10_000
"""Beyond so many pairs of type and user all are learned anew: most are of the past."""
_MAX_UNSORTED = 1_000
"""So many are sorted in at the latest, where nobody asks."""
_MAX_ENDS = 128
"""Beyond so many ends of runs the slots come free evenly."""

_Kind = tuple[str, UserId | None] | None
"""Runs that last alike: of a job type and user, of a job type, or all."""
_make_newest = partial(deque[float], maxlen=KEPT_DURATIONS)

_Over = tuple[str, bool, int]
"""What guesses are alike: of one job type, over the user's own line or all, and over about as
many ends of runs (a power of two)."""


class _Run(msgspec.Struct, frozen=True):
    job_type: str
    user_id: UserId
    began: float


class _Guess(msgspec.Struct, frozen=True):
    at: float
    seconds: float
    over: _Over


class _Recent:
    """The last so many numbers, also in order."""

    __slots__ = ("_ages", "_kept", "_total", "ordered")

    def __init__(self, kept: int) -> None:
        self.ordered: list[float] = []
        self._ages: deque[float] = deque()
        self._kept = kept
        self._total = 0.0

    def add(self, number: float) -> None:
        if len(self._ages) == self._kept:
            oldest = self._ages.popleft()
            del self.ordered[bisect_left(self.ordered, oldest)]
            self._total -= oldest
        self._ages.append(number)
        self._total += number
        insort(self.ordered, number)

    @property
    def mean(self) -> float:
        return max(0.0, self._total / len(self.ordered))

    def mean_above(self, least: float) -> float | None:
        """Return the mean of the numbers that are above *least*; None when none is."""
        start = bisect_left(self.ordered, least)
        above = self.ordered[start:] if start else self.ordered
        return sum(above) / len(above) if above else None

    def middle(self) -> tuple[float, float]:
        """Return the range without the tails."""
        last = len(self.ordered) - 1
        return self.ordered[int(_TAIL * last)], self.ordered[last - int(_TAIL * last)]


class WaitEstimator:
    """Watches jobs run, and estimates from it how long those that wait will wait."""

    def __init__(self, queue: JobQueue, slots: Slots) -> None:
        """Begin knowing nothing of durations; places are read from the queue and the slots."""
        self._queue = queue
        self._slots = slots
        self._runs: dict[JobId, _Run] = {}
        self._kinds: dict[_Kind, _Recent] = {}
        self._unsorted: list[tuple[_Run, float]] = []
        """Durations that are known, and are not among `_kinds` yet."""
        self._guesses: dict[JobId, dict[_Over, _Guess]] = {}
        self._shares: dict[_Over | None, _Recent] = {}
        self._ends: dict[UserId | None, list[float]] = {}
        self._fresh_at = -math.inf
        self._has_changed = False

    def began(self, job: Job, now: float) -> None:
        """Learn that the job runs since *now*."""
        self._has_changed = True
        self._runs[job.job_id] = _Run(job.job_type, job.user_id, now)
        for guess in self._guesses.pop(job.job_id, {}).values():
            share = (now - guess.at + _SLACK_SECONDS) / (guess.seconds + _SLACK_SECONDS)
            for key in (guess.over, None):
                self._shares.setdefault(key, _Recent(KEPT_SHARES)).add(share)

    def ended(self, job_id: JobId, now: float, *, is_typical: bool = True) -> None:
        """Learn that a run is over; one that was broken off is not typical of its kind."""
        self._has_changed = True
        run = self._runs.pop(job_id, None)
        if run is None or not is_typical:
            return
        self._unsorted.append((run, now - run.began))
        if len(self._unsorted) > _MAX_UNSORTED:
            self._learn()

    def _learn(self) -> None:
        # Sorted in only when somebody asks: a server that nobody watches does not pay for it.
        newest: defaultdict[_Kind, deque[float]] = defaultdict(_make_newest)
        for run, seconds in self._unsorted:
            kinds: tuple[_Kind, ...] = ((run.job_type, run.user_id), (run.job_type, None), None)
            for kind in kinds:
                newest[kind].append(seconds)
        self._unsorted.clear()
        for kind, durations in newest.items():
            known = self._kinds.get(kind)
            if known is None:
                if len(self._kinds) > _MAX_KINDS:
                    # The kinds that still occur are soon known again.
                    self._kinds = {None: self._kinds[None]}
                known = self._kinds[kind] = _Recent(KEPT_DURATIONS)
            for seconds in durations:
                known.add(seconds)

    def estimate(
        self, job: Job, now: float, *, not_before: float = 0.0
    ) -> tuple[float, float] | None:
        """Return a range in which at least four of five such waits end; None if nothing is known.

        Args:
            job: a job that is queued; one that has left the queue is just being started.
            now: monotonic seconds.
            not_before: the job does not start in so many seconds, whoever else does.
        """
        if job.job_id not in self._queue:
            return not_before, not_before + _SLACK_SECONDS
        guess = self._guess(job, now)
        if guess is None:
            return None
        if not not_before:
            # How long a back-off lasts says nothing of the queue.
            self._remember(job.job_id, guess)
        low, high = self._range_of_shares(guess.over)
        whole = guess.seconds + _SLACK_SECONDS
        return (
            max(not_before, low * whole - _SLACK_SECONDS, 0.0),
            max(not_before + _SLACK_SECONDS, high * whole),
        )

    def _guess(self, job: Job, now: float) -> _Guess | None:
        self._learn()
        if None not in self._kinds:
            return None
        self._refresh(now)
        limits = self._slots.limits
        ends_of_all = self._ends_of_all(job.job_id)
        ends_of_own = self._ends_of_own(job.job_id, job.user_id)
        of_all = self._seconds_until(None, ends_of_all, limits.max_running_total, now)
        of_own = self._seconds_until(job.user_id, ends_of_own, limits.max_running_per_user, now)
        is_own = of_own > of_all
        ends = math.ceil(ends_of_own if is_own else ends_of_all)
        over = (job.job_type, is_own, max(0, ends).bit_length())
        return _Guess(now, max(of_own, of_all), over)

    def _remember(self, job_id: JobId, guess: _Guess) -> None:
        # The first guess of its kind counts: later ones would only count busy readers twice.
        if len(self._guesses) > len(self._queue) + _MAX_KINDS:
            waiting = self._queue
            self._guesses = {job: kept for job, kept in self._guesses.items() if job in waiting}
        self._guesses.setdefault(job_id, {}).setdefault(guess.over, guess)

    def _range_of_shares(self, over: _Over) -> tuple[float, float]:
        for key in (over, None):
            shares = self._shares.get(key)
            if shares is not None and len(shares.ordered) >= _ENOUGH_SHARES:
                low, high = shares.middle()
                return low / _MARGIN, high * _MARGIN
        return _UNTRIED

    def _ends_of_own(self, job_id: JobId, user_id: UserId) -> float:
        """Count the user's runs that have to end before their limit lets the job start."""
        limit = self._slots.limits.max_running_per_user
        free = max(0, limit - self._slots.count_running(user_id))
        return self._queue.position_in_user(job_id) - free

    def _ends_of_all(self, job_id: JobId) -> float:
        """Count the runs that have to end before the job is next and a slot is free.

        Slots of users at their limit go to jobs of theirs first, while they have any before.
        """
        running = self._slots.count_running()
        slots = max(running, self._slots.limits.max_running_total)
        passed = self._queue.count_passed_over(job_id)
        needed = self._queue.position(job_id) - sum(passed.values()) - (slots - running)
        if needed <= 0:
            return 0.0
        rivals = [(ahead, self._slots.count_running(user)) for user, ahead in passed.items()]
        return _ends_beside(needed, [rival for rival in rivals if rival[1]], slots)

    def _seconds_until(self, whose: UserId | None, ends: float, slots: int, now: float) -> float:
        """Return the seconds until so many runs ended in these slots, of the user or of all."""
        if ends <= 0:
            return 0.0
        number = math.ceil(ends)
        times = self._ends.get(whose)
        if times is None or len(times) < min(number, _MAX_ENDS):
            times = self._draw_ends(whose, slots, min(_MAX_ENDS, 2 * number))
            self._ends[whose] = times
        beyond = max(0, number - len(times))
        last = times[min(number, len(times)) - 1] + beyond * times[-1] / len(times)
        return max(0.0, last - (now - self._fresh_at))

    def _draw_ends(self, whose: UserId | None, slots: int, count: int) -> list[float]:
        runs = [run for run in self._runs.values() if whose in {None, run.user_id}]
        kinds = [self._kind_of(run) for run in runs]
        mean = fmean(kind.mean for kind in kinds) if kinds else self._kinds[None].mean
        rests = [
            _rest(kind, self._fresh_at - run.began) for kind, run in zip(kinds, runs, strict=True)
        ]
        # The jobs before start now in the slots that are free; more of them than ends are asked
        # for make no difference.
        rests += [mean] * max(1 - len(runs), min(count, slots - len(runs)))
        heapify(rests)
        ends = []
        for _ in range(count):
            ends.append(rests[0])
            heapreplace(rests, rests[0] + mean)
        return ends

    def _kind_of(self, run: _Run) -> _Recent:
        own = self._kinds.get((run.job_type, run.user_id))
        if own is not None and len(own.ordered) >= _ENOUGH_DURATIONS:
            return own
        return self._kinds.get((run.job_type, None)) or self._kinds[None]

    def _refresh(self, now: float) -> None:
        fresh = BUSY_SECONDS if self._has_changed else FRESH_SECONDS
        if not 0 <= now - self._fresh_at < fresh:
            self._fresh_at, self._has_changed = now, False
            self._ends.clear()


def _rest(kind: _Recent, elapsed: float) -> float:
    mean = kind.mean_above(elapsed)
    # Longer than any: who knows; the longer it took the longer it may take.
    return elapsed / 2 if mean is None else mean - elapsed


def _ends_beside(needed: float, rivals: Sequence[tuple[int, int]], slots: int) -> float:
    """Count the ends of all runs until *needed* of them left a slot to others than the rivals.

    Args:
        needed: more than 0.
        rivals: how many jobs each has before, and how many slots each holds.
        slots: how many slots there are in all, at least 1.
    """
    open_share = 1 - sum(held for _, held in rivals) / slots
    for ahead, held in sorted(rivals, key=lambda rival: rival[0] / rival[1]):
        share = held / slots
        if open_share > 0 and needed / open_share * share <= ahead:
            break
        # All of these are through before.
        needed += ahead
        open_share += share
    return needed / max(open_share, 1 / slots)
