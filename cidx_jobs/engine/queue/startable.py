"""Who may start next: the first startable job, found without looking at those that may not.

A gate stands before each user, each job type, each key and each user's share of a resource:
limits, pauses and resources close it.
A lane holds the startable jobs that have all gates in common, in their order. Each lane stands at
one of its gates. A gate that is open shows the first job of the lanes at it, and the next job is
the first of what is shown, so a gate opens and closes in one step, however many jobs are behind
it. Where the first that is shown has another gate that is closed, its lane goes and stands there;
a lane that keeps nobody waiting stays where it is, whatever becomes of its gates.

Every step takes O(log n), but for these moves of lanes: a lane moves at most once for each time
that a gate of it opens, and seldom so.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from struct import Struct
from typing import Generic, NamedTuple, TypeVar

from sortedcontainers import SortedList

from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import DispatchKey
from cidx_jobs.model.job.key_limits import LimitKey

Rank = int
"""A job's place in the dispatch order: its key, packed by `pack_key`; no two are equal.

One number is compared twice as fast as a tuple of three, and there may be a million of them.
"""

Keys = tuple[LimitKey, ...]
Resources = tuple[str, ...]
Lane = tuple[UserId, str, Keys, Resources]
"""Whose gates a lane leads through: a user, a job type, keys, and shares of resources."""


class ResourceShare(NamedTuple):
    """What one user may have of a named resource."""

    user_id: UserId
    resource: str


_Named = TypeVar("_Named", bound=Hashable)

_SIGN = 1 << 63
_ALL_BITS = (1 << 64) - 1
_NUMBER_BITS = 48
"""Of the turn and the arrival each: a million jobs a second for nine years."""

_TIE_BITS = 16
"""Room for jobs whose keys were stored equal, by whatever fault."""

_DOUBLE = Struct("<d")
_BITS = Struct("<Q")


def pack_key(key: DispatchKey) -> Rank:
    """Return one whole number that is ordered as the keys are."""
    (bits,) = _BITS.unpack(_DOUBLE.pack(key.level))
    # IEEE 754: as whole numbers the bits of positive doubles are in order, those of negative ones
    # in reverse.
    level: int = bits ^ (_ALL_BITS if bits & _SIGN else _SIGN)
    return ((level << _NUMBER_BITS | key.turn) << _NUMBER_BITS | key.arrival) << _TIE_BITS


class _Ranks:
    """Ranks in order: a list whose first leaves at no cost."""

    __slots__ = ("_gone", "_ranks")

    def __init__(self) -> None:
        self._ranks: list[Rank] = []
        self._gone = 0
        """How many at the beginning of the list have left."""

    def __iter__(self) -> Iterator[Rank]:
        return islice(self._ranks, self._gone, None)

    @property
    def head(self) -> Rank | None:
        return self._ranks[self._gone] if self._gone < len(self._ranks) else None

    def add(self, rank: Rank) -> None:
        insort(self._ranks, rank, self._gone)

    def remove(self, rank: Rank) -> None:
        place = bisect_left(self._ranks, rank, self._gone)
        if place > self._gone:
            del self._ranks[place]
            return
        self._gone += 1
        if 2 * self._gone > len(self._ranks):
            del self._ranks[: self._gone]
            self._gone = 0

    def add_all(self, ranks: Iterable[Rank]) -> None:
        self._ranks += ranks
        if self._gone:
            del self._ranks[: self._gone]
            self._gone = 0
        # Two runs that are in order, as most of these are, are merged in one go.
        self._ranks.sort()

    def count_before(self, rank: Rank) -> int:
        return bisect_left(self._ranks, rank, self._gone) - self._gone


class _Gate:
    """What lets jobs pass or not, as a user or a job type; and the lanes that stand at it."""

    __slots__ = ("heads", "is_open", "lanes", "shown")

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open
        self.lanes = 0
        """How many lanes lead through it, wherever they stand."""
        self.heads: SortedList[Rank] = SortedList()
        """The heads of the lanes that stand at it."""
        self.shown: Rank | None = None
        """The first of them while the gate is open: who may be the next of all."""


class _Lane(_Ranks):
    """The startable jobs of one user, type and set of keys, and the gate where it stands."""

    __slots__ = ("at", "gates")

    def __init__(self, gates: tuple[_Gate, ...]) -> None:
        super().__init__()
        self.gates = gates
        self.at = gates[0]


class _Gates(Generic[_Named]):
    """The gates of one kind by name: those that lanes lead through, and which are closed."""

    __slots__ = ("_by_name", "closed")

    def __init__(self) -> None:
        self.closed: set[_Named] = set()
        self._by_name: dict[_Named, _Gate] = {}

    def find(self, name: _Named) -> _Gate | None:
        return self._by_name.get(name)

    def enter(self, name: _Named) -> _Gate:
        gate = self._by_name.get(name)
        if gate is None:
            gate = self._by_name[name] = _Gate(is_open=name not in self.closed)
        gate.lanes += 1
        return gate

    def leave(self, name: _Named) -> None:
        gate = self._by_name[name]
        gate.lanes -= 1
        if not gate.lanes:
            del self._by_name[name]


class Lanes:
    """The startable jobs, by user, job type and keys."""

    def __init__(self) -> None:
        """Begin with no job and every gate open."""
        self._users: _Gates[UserId] = _Gates()
        self._types: _Gates[str] = _Gates()
        self._keys: _Gates[LimitKey] = _Gates()
        self._shares: _Gates[ResourceShare] = _Gates()
        self._lanes: dict[Lane, _Lane] = {}
        self._at_head: dict[Rank, _Lane] = {}
        """The lane of which each is the head."""
        self._firsts: SortedList[Rank] = SortedList()
        """What the open gates show: the first is the next of all, if its other gates are open."""
        self._of_user: dict[UserId, _Ranks] = {}

    @property
    def closed_types(self) -> Collection[str]:
        """The job types whose gate is closed; to be read at once."""
        return self._types.closed

    @property
    def closed_keys(self) -> Collection[LimitKey]:
        """The keys whose gate is closed; to be read at once."""
        return self._keys.closed

    @property
    def closed_shares(self) -> Collection[ResourceShare]:
        """The shares whose gate is closed; to be read at once."""
        return self._shares.closed

    def add(self, rank: Rank, name: Lane) -> None:
        """Let a job of the lane take part."""
        lane = self._lane(name)
        head = lane.head
        lane.add(rank)
        if head is None or rank < head:
            self._change_head(lane, head, rank)
        self._ranks_of(name[0]).add(rank)

    def add_all(self, ranks: Sequence[Rank], name: Lane) -> None:
        """Let jobs of one lane take part: at least one."""
        lane = self._lane(name)
        head, first = lane.head, min(ranks)
        lane.add_all(ranks)
        if head is None or first < head:
            self._change_head(lane, head, first)
        self._ranks_of(name[0]).add_all(ranks)

    def discard(self, rank: Rank, name: Lane) -> None:
        """Take a job of the lane out."""
        lane = self._lanes[name]
        was_head = lane.head == rank
        lane.remove(rank)
        if was_head:
            self._change_head(lane, rank, lane.head)
        if lane.head is None:
            self._drop_lane(name)
        own = self._of_user[name[0]]
        own.remove(rank)
        if own.head is None:
            del self._of_user[name[0]]

    def set_user_open(self, user_id: UserId, *, is_open: bool) -> None:
        """Open or close the gate of a user."""
        self._turn(self._users, user_id, is_open=is_open)

    def set_type_open(self, job_type: str, *, is_open: bool) -> None:
        """Open or close the gate of a job type."""
        self._turn(self._types, job_type, is_open=is_open)

    def set_key_open(self, key: LimitKey, *, is_open: bool) -> None:
        """Open or close the gate of a key."""
        self._turn(self._keys, key, is_open=is_open)

    def leads_through(self, key: LimitKey) -> bool:
        """Tell whether any startable job has the key."""
        return self._keys.find(key) is not None

    def set_share_open(self, share: ResourceShare, *, is_open: bool) -> None:
        """Open or close the gate of a user's share."""
        self._turn(self._shares, share, is_open=is_open)

    def first(self) -> Rank | None:
        """Return the first job in order all whose gates are open."""
        while self._firsts:
            rank: Rank = self._firsts[0]
            lane = self._at_head[rank]
            for gate in lane.gates:
                if not gate.is_open:
                    # It may not stand in the way of others at the gate where it is.
                    self._move(lane, rank, gate)
                    break
            else:
                return rank
        return None

    def count_before(self, rank: Rank, user_id: UserId) -> int:
        """Count the user's jobs before *rank*."""
        own = self._of_user.get(user_id)
        return 0 if own is None else own.count_before(rank)

    def count_closed_before(self, rank: Rank) -> dict[UserId, int]:
        """Count the jobs of closed users before *rank*, by user."""
        closed = [user_id for user_id in self._users.closed if user_id in self._of_user]
        counts = {user_id: self._of_user[user_id].count_before(rank) for user_id in closed}
        return {user_id: count for user_id, count in counts.items() if count}

    def of_user(self, user_id: UserId) -> list[Rank]:
        """Return the user's jobs in order."""
        return list(self._of_user.get(user_id, ()))

    def _lane(self, name: Lane) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = self._make_lane(name)
        return lane

    def _ranks_of(self, user_id: UserId) -> _Ranks:
        own = self._of_user.get(user_id)
        if own is None:
            own = self._of_user[user_id] = _Ranks()
        return own

    def _make_lane(self, name: Lane) -> _Lane:
        user_id, job_type, keys, resources = name
        gates = (self._users.enter(user_id), self._types.enter(job_type))
        shares = (self._shares.enter(ResourceShare(user_id, each)) for each in resources)
        return _Lane((*gates, *map(self._keys.enter, keys), *shares))

    def _drop_lane(self, name: Lane) -> None:
        user_id, job_type, keys, resources = name
        del self._lanes[name]
        self._users.leave(user_id)
        self._types.leave(job_type)
        for key in keys:
            self._keys.leave(key)
        for each in resources:
            self._shares.leave(ResourceShare(user_id, each))

    def _change_head(self, lane: _Lane, old: Rank | None, new: Rank | None) -> None:
        if old is not None:
            del self._at_head[old]
            lane.at.heads.remove(old)
        if new is not None:
            self._at_head[new] = lane
            lane.at.heads.add(new)
        self._show(lane.at)

    def _move(self, lane: _Lane, head: Rank, gate: _Gate) -> None:
        """Let a lane stand at another of its gates: one that keeps it now."""
        left = lane.at
        left.heads.remove(head)
        lane.at = gate
        gate.heads.add(head)
        self._show(left)
        self._show(gate)

    def _turn(self, gates: _Gates[_Named], name: _Named, *, is_open: bool) -> None:
        if is_open != (name in gates.closed):
            return
        if is_open:
            gates.closed.discard(name)
        else:
            gates.closed.add(name)
        gate = gates.find(name)
        if gate is not None:
            gate.is_open = is_open
            self._show(gate)

    def _show(self, gate: _Gate) -> None:
        first = gate.heads[0] if gate.is_open and gate.heads else None
        if first == gate.shown:
            return
        if gate.shown is not None:
            self._firsts.remove(gate.shown)
        if first is not None:
            self._firsts.add(first)
        gate.shown = first
