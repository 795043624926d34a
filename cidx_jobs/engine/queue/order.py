"""The one dispatch order: all waiting jobs, the rank of each, and who may start next.

The same order serves dispatch, positions and estimates. It is the order of the stored keys
(`cidx_jobs.engine.queue.fair_turns` says how they are computed); limits, pauses and
resources never change it, they only make the dispatcher pass jobs over
(`cidx_jobs.engine.queue.startable`).

Nothing here does I/O or waits. No job is kept, only what its place needs: about 500 bytes for a
waiting job. Adding, removing, starting and ranking take O(log n) (sortedcontainers).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from sys import intern

import msgspec
from sortedcontainers import SortedList

from cidx_jobs.engine.counts import decrease
from cidx_jobs.engine.queue.fair_turns import Placed, Turns
from cidx_jobs.engine.queue.startable import (
    Keys,
    Lane,
    Lanes,
    Rank,
    Resources,
    ResourceShare,
    pack_key,
)
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import DispatchKey, Job
from cidx_jobs.model.job.key_limits import LimitKey, keys_of
from cidx_jobs.model.listing import UnreadJob

DEFAULT_AGEING_SECONDS = 60.0
DEFAULT_DRIFT = 10


class _Waiting(msgspec.Struct):
    """What the queue knows of a job."""

    key: DispatchKey
    rank: Rank
    user_id: UserId
    job_type: str
    keys: Keys
    resources: Resources
    priority: int
    is_eligible: bool


class JobQueue:
    """All queued jobs in the order in which they go."""

    def __init__(
        self,
        ageing_seconds_per_level: float = DEFAULT_AGEING_SECONDS,
        *,
        drift: int = DEFAULT_DRIFT,
    ) -> None:
        """Begin empty.

        Args:
            ageing_seconds_per_level: in this time a waiting job gains one priority level.
            drift: how many slots a user has; see `cidx_jobs.engine.queue.fair_turns`.
        """
        self._turns = Turns(ageing_seconds_per_level, drift)
        self._lanes = Lanes()
        self._order: SortedList[Rank] = SortedList()
        self._waiting: dict[JobId, _Waiting] = {}
        self._job_ids: dict[Rank, JobId] = {}
        self._later: dict[UserId, set[Rank]] = {}
        """The jobs that are ranked but not eligible yet."""
        self._users: Counter[UserId] = Counter()
        self._types: Counter[str] = Counter()
        self._keys: Counter[LimitKey] = Counter()

    def make_key(
        self,
        user_id: UserId,
        priority: int,
        clock_seconds: float,
        job_type: str | None = None,
        keys: Iterable[LimitKey] = (),
    ) -> DispatchKey:
        """Return the place in the order of a job that is about to be queued.

        Keys may be given long before their jobs are pushed, in any number; one that is never
        pushed does no harm. What was made before comes before, for one user and priority.

        Args:
            user_id: whose job it is.
            priority: 0 to 9.
            clock_seconds: the engine's time; an earlier one than before counts as that.
            job_type: places the job fairly among its own type while the type is closed.
            keys: the same, of the first of them that is everybody's and closed.
        """
        closed = self._lanes.closed_types
        closed_key = None
        for key in keys:
            if key.owner is None and key in self._lanes.closed_keys:
                closed_key = key
                break
        return self._turns.make_key(
            user_id, priority, clock_seconds, job_type, closed, closed_key=closed_key
        )

    def push(self, job: Job, *, is_eligible: bool = True, resources: Resources = ()) -> None:
        """Put a job at its stored place; one that is not eligible is ranked but does not start.

        It goes when its user has a share of each of the *resources*. Jobs of an earlier life of
        the server may be pushed in any order.

        Raises:
            ValueError: the job has no key, or waits here already.
        """
        waiting = self._note(job, is_eligible=is_eligible, resources=resources)
        self._order.add(waiting.rank)
        self._turns.enter(_placed(waiting))
        self._admit(waiting)

    def push_all(self, jobs: Iterable[tuple[Job | UnreadJob, bool, Resources]]) -> None:
        """Put many jobs at their places, each with its eligibility and resources, as `push` does.

        It takes a third of the time: what is in order is put in order once.

        Raises:
            ValueError: a job has no key, or waits here already.
        """
        eligible: dict[Lane, list[Rank]] = {}
        placed: list[Placed] = []
        ranks: list[Rank] = []
        for job, is_eligible, resources in jobs:
            waiting = self._note(job, is_eligible=is_eligible, resources=resources)
            ranks.append(waiting.rank)
            placed.append(_placed(waiting))
            if is_eligible:
                eligible.setdefault(_lane(waiting), []).append(waiting.rank)
            else:
                self._admit(waiting)
        self._order.update(ranks)
        self._turns.enter_all(placed)
        for lane, in_lane in eligible.items():
            self._lanes.add_all(in_lane, lane)

    def set_eligible(self, job_id: JobId, *, is_eligible: bool) -> None:
        """Let a job start when it is next, or only rank it; nothing happens if it is not here."""
        waiting = self._waiting.get(job_id)
        if waiting is None or waiting.is_eligible == is_eligible:
            return
        self._withdraw(waiting)
        waiting.is_eligible = is_eligible
        self._admit(waiting)

    def remove(self, job_id: JobId) -> bool:
        """Take a job out that will not start; False when it does not wait here."""
        return self._take_out(job_id) is not None

    def remove_started(self, job_id: JobId) -> bool:
        """Take a job out because it starts now; False when it does not wait here."""
        waiting = self._take_out(job_id)
        if waiting is None:
            return False
        self._turns.serve(*_placed(waiting))
        return True

    def pass_through(self, job: Job) -> None:
        """Learn of a job with a key that starts without having waited here."""
        key = job.dispatch_key
        if key is None:
            message = f"job {job.job_id} has no dispatch key"
            raise ValueError(message)
        keys = _shared(keys_of(job.limits)) if job.limits else ()
        self._turns.pass_through((key, job.user_id, job.priority, job.job_type, keys))

    def next_startable(self) -> JobId | None:
        """Return the first job in order that is eligible and all whose gates are open."""
        first = self._lanes.first()
        return None if first is None else self._job_ids[first]

    def position(self, job_id: JobId) -> int:
        """Return the job's rank among all waiting jobs, from 1, as if no limit applied.

        Raises:
            KeyError: the job does not wait here.
        """
        return self._order.bisect_left(self._waiting[job_id].rank) + 1

    def position_in_user(self, job_id: JobId) -> int:
        """Return the job's rank among the waiting jobs of its user, from 1.

        Raises:
            KeyError: the job does not wait here.
        """
        waiting = self._waiting[job_id]
        ahead = self._lanes.count_before(waiting.rank, waiting.user_id)
        later = self._later.get(waiting.user_id, ())
        return 1 + ahead + sum(rank < waiting.rank for rank in later)

    def count_passed_over(self, job_id: JobId) -> dict[UserId, int]:
        """Count the jobs before this one that may not start because their user is closed.

        Jobs that are not eligible yet are not counted. The users are those of whom there is one.

        Raises:
            KeyError: the job does not wait here.
        """
        return self._lanes.count_closed_before(self._waiting[job_id].rank)

    def set_user_open(self, user_id: UserId, *, is_open: bool) -> None:
        """Let the user's jobs start, or pass them over; every user is open at first."""
        self._lanes.set_user_open(user_id, is_open=is_open)

    def set_type_open(self, job_type: str, *, is_open: bool) -> None:
        """Let jobs of the type start, or pass them over; every type is open at first."""
        self._lanes.set_type_open(job_type, is_open=is_open)

    def set_key_open(self, key: LimitKey, *, is_open: bool) -> None:
        """Let jobs with the key start, or pass them over; every key is open at first."""
        self._lanes.set_key_open(key, is_open=is_open)

    def has_eligible(self, key: LimitKey) -> bool:
        """Tell whether a job with the key waits that is eligible, whatever gates keep it."""
        return self._lanes.leads_through(key)

    def set_share_open(self, share: ResourceShare, *, is_open: bool) -> None:
        """Let the user's jobs that need the resource start, or pass them over."""
        self._lanes.set_share_open(share, is_open=is_open)

    def set_drift(self, drift: int) -> None:
        """Learn how many slots a user has now; see `cidx_jobs.engine.queue.fair_turns`."""
        self._turns.drift = drift

    def count_waiting(self, user_id: UserId) -> int:
        """Count the user's jobs here."""
        return self._users[user_id]

    def jobs_of(self, user_id: UserId) -> list[JobId]:
        """Return the user's jobs in the order in which they go."""
        ranks = self._lanes.of_user(user_id)
        ranks += self._later.get(user_id, ())
        return [self._job_ids[rank] for rank in sorted(ranks)]

    def users(self) -> set[UserId]:
        """Return the users of whom a job waits."""
        return set(self._users)

    def job_types(self) -> set[str]:
        """Return the types of which a job waits."""
        return set(self._types)

    def keys(self) -> set[LimitKey]:
        """Return the keys with which a job waits."""
        return set(self._keys)

    def closed_shares(self) -> list[ResourceShare]:
        """Return the shares of users that let nobody start: no more than there are holders."""
        return list(self._lanes.closed_shares)

    def __len__(self) -> int:
        """Count all jobs here."""
        return len(self._waiting)

    def __contains__(self, job_id: object) -> bool:
        """Tell whether the job waits here."""
        return job_id in self._waiting

    def __iter__(self) -> Iterator[JobId]:
        """Go through all jobs in the order in which they go."""
        return (self._job_ids[rank] for rank in self._order)

    def _note(self, job: Job | UnreadJob, *, is_eligible: bool, resources: Resources) -> _Waiting:
        key = job.dispatch_key
        if key is None or job.job_id in self._waiting:
            message = f"job {job.job_id} has no dispatch key, or waits already"
            raise ValueError(message)
        rank = pack_key(key)
        while rank in self._job_ids:
            rank += 1
        self._job_ids[rank] = job.job_id
        user_id, job_type = UserId(intern(job.user_id)), intern(job.job_type)
        keys = keys_of(job.limits) if isinstance(job, Job) and job.limits else ()
        waiting = _Waiting(
            key, rank, user_id, job_type, keys, resources, job.priority, is_eligible
        )
        self._waiting[job.job_id] = waiting
        self._users[user_id] += 1
        self._types[job_type] += 1
        for each in keys:
            self._keys[each] += 1
        return waiting

    def _take_out(self, job_id: JobId) -> _Waiting | None:
        waiting = self._waiting.pop(job_id, None)
        if waiting is None:
            return None
        decrease(self._users, waiting.user_id)
        decrease(self._types, waiting.job_type)
        for each in waiting.keys:
            decrease(self._keys, each)
        self._order.remove(waiting.rank)
        del self._job_ids[waiting.rank]
        self._turns.leave(_placed(waiting))
        self._withdraw(waiting)
        return waiting

    def _admit(self, waiting: _Waiting) -> None:
        if waiting.is_eligible:
            self._lanes.add(waiting.rank, _lane(waiting))
        else:
            self._later.setdefault(waiting.user_id, set()).add(waiting.rank)

    def _withdraw(self, waiting: _Waiting) -> None:
        if waiting.is_eligible:
            self._lanes.discard(waiting.rank, _lane(waiting))
            return
        later = self._later[waiting.user_id]
        later.remove(waiting.rank)
        if not later:
            del self._later[waiting.user_id]


def _placed(waiting: _Waiting) -> Placed:
    keys = waiting.keys
    if keys:
        keys = _shared(keys)
    return waiting.key, waiting.user_id, waiting.priority, waiting.job_type, keys


def _lane(waiting: _Waiting) -> Lane:
    return waiting.user_id, waiting.job_type, waiting.keys, waiting.resources


def _shared(keys: Keys) -> Keys:
    """Return those of the keys that are everybody's."""
    return tuple([key for key in keys if key.owner is None])
