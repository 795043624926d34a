"""Turns between users: how the place of a job in the dispatch order is computed.

The order is the plain order of `DispatchKey` (level, turn, arrival). A key is computed once, when
its job is queued, and kept in the job's row; nothing is ever computed again, so the order is the
same after a restart. This module holds what is needed to compute the next key.

**Turns.** Each priority has a row of rounds, numbered by turn, and a user gets one place in each:
the next job of a user takes the round after their last one, but no round that has gone by. That
is start-time fair queueing (Goyal, Vin, Cheng, 1996) with jobs of equal cost: a flood spreads
over the rounds to come, and a newcomer joins the *current round*, with at most one job of each
other user before them. The current round is

- the first round in which a job waits; but
- never further behind the newest dispatched turn than *drift*. A user whose jobs wait at a limit,
  a pause or a back-off stays behind, and who comes next must not collect the turns that those did
  not use: they would pass everybody who went on meanwhile. Up to *drift* users differ only by the
  slots that they hold at a time, so it is the number of slots of a user;
- the one after the newest dispatched turn when nothing waits: then all users are equal again.

A closed job type (its resource is taken) competes only with itself, so where a job of such a type
is to wait behind others of the type, all of this is counted within the type. The same holds of a
key that is everybody's, as a code host, while all its places are taken. (A key of a user's own
would let them go back to rounds that have gone by.)

A round has `ROUND_SIZE` places. So also an endless stream of newcomers comes to an end before
each place of the next round: waiting stays bounded.

**Levels.** A round opens when its first job is queued, and its level is that second counted in
ageing times, less the priority: a job gains one priority level in each ageing time that it waits.
Who joins a round later shares its level, and a round never opens after a later one, so within a
priority the turns decide and between priorities the levels. (Inheriting the level is the price
of a fixed order: a flood's second job is older than a higher priority's new job, which goes before
a newcomer, who goes before the flood's second job; one of the three has to give way.) A round in
which nobody waits any more is forgotten.
"""

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush
from itertools import chain

import msgspec
from sortedcontainers import SortedDict

from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import DispatchKey
from cidx_jobs.model.job.key_limits import LimitKey

ROUND_SIZE = 1_000
"""How many jobs a round takes."""

PENDING_SECONDS = 60.0
"""How long a key that was given may be on its way; a round without a waiting job lives as long."""

_NEVER = -1
_LOWEST = float("-inf")
_MANY_USERS = 1_024
"""What is forgotten is thrown out only beyond so many more entries: each time looks at all."""

Placed = tuple[DispatchKey, UserId, int, str, tuple[LimitKey, ...]]
"""A job with its place: key, user, priority, type, and those of its keys that are everybody's."""


class _Round(msgspec.Struct):
    level: float
    touched: float
    """The engine second at which the last key of this round was given."""
    waiting: int = 0
    joined: int = 0
    """How many keys were given, or jobs waited at a time, whichever is more."""


class _Line(msgspec.Struct):
    """The turns of one user at one priority."""

    tail: int = _NEVER
    """The last turn that a waiting job has, or that was given to one on its way."""
    entered: int = _NEVER
    """The last turn at which a job came to wait."""
    level: float = _LOWEST
    """The highest level of those jobs: a user's later job never goes before an earlier one."""
    touched: float = 0.0
    """The engine second at which the last key was given."""
    served: int = _NEVER
    """The highest turn that was dispatched."""
    waiting: int = 0

    def enter(self, turn: int, level: float) -> None:
        self.waiting += 1
        self.entered = max(self.entered, turn)
        self.tail = max(self.tail, turn)
        self.level = max(self.level, level)

    def leave(self) -> None:
        self.waiting -= 1
        if self.waiting:
            return
        # The turns of cancelled jobs are the user's again, unless more are on their way: those
        # were given first and must come first.
        if self.tail == self.entered:
            self.tail, self.level = _NEVER, _LOWEST
        self.entered = _NEVER


class _Frame:
    """The turns of one type or key at one priority: those that wait, and what was dispatched."""

    __slots__ = ("_counts", "_heap", "newest", "served")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._heap: list[int] = []
        self.newest = _NEVER
        self.served: dict[UserId, int] = {}

    def add(self, turn: int) -> None:
        count = self._counts.get(turn, 0)
        self._counts[turn] = count + 1
        if not count:
            heappush(self._heap, turn)

    def discard(self, turn: int) -> None:
        if self._counts[turn] > 1:
            self._counts[turn] -= 1
            return
        del self._counts[turn]
        if len(self._heap) > 2 * len(self._counts) + _MANY_USERS:
            self._heap = list(self._counts)
            heapify(self._heap)

    def first(self) -> int | None:
        """Return the lowest waiting turn."""
        # Turns that went are thrown away only when they come to the top.
        while self._heap and self._heap[0] not in self._counts:
            heappop(self._heap)
        return self._heap[0] if self._heap else None

    def serve(self, turn: int, user_id: UserId) -> None:
        self.newest = max(self.newest, turn)
        self.served[user_id] = max(self.served.get(user_id, _NEVER), turn)

    @property
    def is_empty(self) -> bool:
        return not self._counts


class _Row:
    """The rounds of one priority."""

    __slots__ = ("forget_at", "frames", "keys", "lines", "newest", "rounds")

    def __init__(self) -> None:
        self.rounds: SortedDict[int, _Round] = SortedDict()
        self.lines: dict[UserId, _Line] = {}
        self.frames: dict[str, _Frame] = {}
        self.keys: dict[LimitKey, _Frame] = {}
        """The frames of the keys with which a job waits."""
        self.newest = _NEVER
        self.forget_at = _MANY_USERS

    def line(self, user_id: UserId) -> _Line:
        line = self.lines.get(user_id)
        if line is None:
            line = self.lines[user_id] = _Line()
        return line

    def frame(self, job_type: str) -> _Frame:
        frame = self.frames.get(job_type)
        if frame is None:
            frame = self.frames[job_type] = _Frame()
        return frame

    def enter(self, round_: _Round, job: Placed) -> None:
        """Learn that the job waits in the round."""
        (level, turn, _), user_id, _, job_type, keys = job
        round_.waiting += 1
        round_.joined = max(round_.joined, round_.waiting)
        self.line(user_id).enter(turn, level)
        self.frame(job_type).add(turn)
        for each in keys:
            self.keys.setdefault(each, _Frame()).add(turn)

    def first(self, closed_types: Collection[str]) -> int | None:
        """Return the lowest turn that waits for a slot of any open type."""
        first: int | None = None
        for job_type, frame in self.frames.items():
            if job_type not in closed_types:
                turn = frame.first()
                if turn is not None and (first is None or turn < first):
                    first = turn
        return first


class Turns:
    """Gives out keys, and is told of every job that begins and ends to wait."""

    def __init__(self, ageing_seconds_per_level: float, drift: int) -> None:
        """Begin with no job; *drift* is the number of slots of a user."""
        self.drift = drift
        self._ageing = ageing_seconds_per_level
        self._rows: dict[int, _Row] = {}
        self._arrivals = 0
        self._seconds = _LOWEST

    def make_key(
        self,
        user_id: UserId,
        priority: int,
        clock_seconds: float,
        job_type: str | None,
        closed_types: Collection[str],
        *,
        closed_key: LimitKey | None = None,
    ) -> DispatchKey:
        """Return the key of a job that is about to be queued.

        Keys may be given long before their jobs wait, and some jobs never will: such a key costs
        its user one turn at most. *closed_key* is a key of the job that is everybody's and whose
        places are all taken.
        """
        # A clock that was set back, or another ageing time, must not let new jobs pass old ones.
        self._seconds = max(self._seconds, clock_seconds)
        row = self._row(priority)
        turn = self._choose_turn(row, user_id, job_type, closed_types, closed_key)
        turn, round_ = self._join_round(row, turn, priority)
        line = row.line(user_id)
        line.tail, line.touched = turn, self._seconds
        line.level = max(line.level, round_.level)
        self._arrivals += 1
        self._forget_idle(row)
        return DispatchKey(line.level, turn, self._arrivals)

    def enter(self, job: Placed) -> None:
        """Learn that a job waits at its key, which may be of an earlier life of the server."""
        (level, turn, arrival), _, priority, _, _ = job
        row = self._row(priority)
        round_ = row.rounds.get(turn)
        if round_ is None:
            row.rounds[turn] = round_ = _Round(level, self._seconds)
        row.enter(round_, job)
        self._arrivals = max(self._arrivals, arrival)
        self._seconds = max(self._seconds, (level + priority) * self._ageing)

    def enter_all(self, jobs: Iterable[Placed]) -> None:
        """Learn of many jobs that wait, as `enter` of each, in that order."""
        arrivals, seconds = self._arrivals, self._seconds
        opened: dict[int, dict[int, _Round]] = {}
        for job in jobs:
            (level, turn, arrival), _, priority, _, _ = job
            row = self._row(priority)
            rounds = opened.setdefault(priority, {})
            round_ = rounds.get(turn) or row.rounds.get(turn)
            if round_ is None:
                round_ = rounds[turn] = _Round(level, seconds)
            row.enter(round_, job)
            arrivals = max(arrivals, arrival)
            opened_at = (level + priority) * self._ageing
            seconds = max(seconds, opened_at)
        self._arrivals, self._seconds = arrivals, seconds
        for priority, rounds in opened.items():
            # One that is kept in order takes many at once in a tenth of the time.
            self._rows[priority].rounds.update(rounds)

    def leave(self, job: Placed) -> None:
        """Learn that the job does not wait any more."""
        key, user_id, priority, job_type, keys = job
        row = self._rows[priority]
        round_ = row.rounds[key.turn]
        round_.waiting -= 1
        if not round_.waiting:
            del row.rounds[key.turn]
        row.lines[user_id].leave()
        row.frames[job_type].discard(key.turn)
        for each in keys:
            frame = row.keys[each]
            frame.discard(key.turn)
            if frame.is_empty:
                del row.keys[each]

    def pass_through(self, job: Placed) -> None:
        """Learn that a job which was given its key is dispatched without having waited.

        All is as if it had come to wait and left again, so that no round is kept for it.
        """
        key, user_id, priority, job_type, keys = job
        level, turn, _ = key
        row = self._row(priority)
        round_ = row.rounds.get(turn)
        if round_ is not None and round_.waiting:
            round_.joined = max(round_.joined, round_.waiting + 1)
        elif round_ is not None:
            del row.rounds[turn]
        line = row.line(user_id)
        line.enter(turn, level)
        line.leave()
        self._seconds = max(self._seconds, (level + priority) * self._ageing)
        self.serve(key, user_id, priority, job_type, keys)

    def serve(
        self,
        key: DispatchKey,
        user_id: UserId,
        priority: int,
        job_type: str | None,
        keys: Iterable[LimitKey] = (),
    ) -> None:
        """Learn that the job at *key* was dispatched."""
        row = self._row(priority)
        row.newest = max(row.newest, key.turn)
        line = row.line(user_id)
        line.served = max(line.served, key.turn)
        if job_type is not None:
            row.frame(job_type).serve(key.turn, user_id)
        for each in keys:
            if each in row.keys:
                row.keys[each].serve(key.turn, user_id)
        self._arrivals = max(self._arrivals, key.arrival)
        self._forget_idle(row)

    def _row(self, priority: int) -> _Row:
        row = self._rows.get(priority)
        if row is None:
            row = self._rows[priority] = _Row()
        return row

    def _choose_turn(
        self,
        row: _Row,
        user_id: UserId,
        job_type: str | None,
        closed_types: Collection[str],
        closed_key: LimitKey | None,
    ) -> int:
        line = row.line(user_id)
        if line.tail > line.entered and self._is_long_ago(line.touched):
            line.tail = line.entered
        frame = row.keys.get(closed_key) if closed_key is not None else None
        if frame is None and job_type in closed_types:
            frame = row.frames.get(job_type or "")
        first = None if frame is None else frame.first()
        if frame is not None and first is not None:
            newest, served = frame.newest, frame.served.get(user_id, _NEVER)
        else:
            first, newest, served = row.first(closed_types), row.newest, line.served
        current = newest + 1 if first is None else max(first, newest - self.drift)
        return max(current, line.tail + 1, served + 1, 0)

    def _join_round(self, row: _Row, turn: int, priority: int) -> tuple[int, _Round]:
        """Return a place in the round *turn*, or in the next that is not full."""
        while (round_ := self._open_round(row, turn, priority)).joined >= ROUND_SIZE:
            turn += 1
        round_.joined += 1
        round_.touched = self._seconds
        return turn, round_

    def _open_round(self, row: _Row, turn: int, priority: int) -> _Round:
        round_ = row.rounds.get(turn)
        if round_ is None or self._is_stale(round_):
            level = self._seconds / self._ageing - priority
            later = self._next_round(row, turn)
            if later is not None:
                level = min(level, later.level)
            round_ = row.rounds[turn] = _Round(level, self._seconds)
        return round_

    def _next_round(self, row: _Row, turn: int) -> _Round | None:
        place = row.rounds.bisect_right(turn)
        while place < len(row.rounds):
            later, round_ = row.rounds.peekitem(place)
            if not self._is_stale(round_):
                return round_
            del row.rounds[later]
        return None

    def _is_stale(self, round_: _Round) -> bool:
        return not round_.waiting and self._is_long_ago(round_.touched)

    def _is_long_ago(self, touched: float) -> bool:
        # What was given then and has not come never will: its submit was refused or its commit
        # failed.
        return self._seconds - touched > PENDING_SECONDS

    def _forget_idle(self, row: _Row) -> None:
        if len(row.lines) + len(row.rounds) < row.forget_at:
            return
        oldest = row.newest - self.drift
        idle = [user_id for user_id, line in row.lines.items() if self._is_idle(line, oldest)]
        for user_id in idle:
            del row.lines[user_id]
            for frame in chain(row.frames.values(), row.keys.values()):
                frame.served.pop(user_id, None)
        # Of submits that were refused, as while the disk is full.
        for turn in [turn for turn, round_ in row.rounds.items() if self._is_stale(round_)]:
            del row.rounds[turn]
        row.forget_at = 2 * (len(row.lines) + len(row.rounds)) + _MANY_USERS

    def _is_idle(self, line: _Line, oldest: int) -> bool:
        """Tell whether a user is as good as new: their turns have gone by, or came to nothing."""
        if line.waiting or line.served >= max(oldest, 0):
            return False
        return line.tail < max(oldest, 0) or self._is_long_ago(line.touched)
