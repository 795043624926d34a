"""Schedules in memory: each as it was last committed, and which of them is due next."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sortedcontainers import SortedDict

from cidx_jobs.engine.counts import decrease
from cidx_jobs.engine.state.dues import Dues
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.schedules.schedule import ScheduleKey, ScheduleState, Times

_AFTER_ALL_NAMES = "\x7f"
"""Behind every name that a schedule can have."""


class ScheduleBook:
    """Follows the store: what is put here was committed."""

    def __init__(self) -> None:
        """Begin empty."""
        self.changed: asyncio.Event = asyncio.Event()
        """Set when another schedule may be due first, or may fire again; the timer clears it."""
        self._states: SortedDict[ScheduleKey, ScheduleState] = SortedDict()
        self._counts: Counter[UserId] = Counter()
        self._times: dict[ScheduleKey, Times] = {}
        self.dues: Dues[ScheduleKey] = Dues()
        """When each is due next, so far as that is known."""
        self._owed: set[ScheduleKey] = set()

    def restore(self, states: Iterable[ScheduleState]) -> None:
        """Take what the store holds into an empty memory; when each is due is not known yet."""
        for state in states:
            self._keep(state)

    def put(self, state: ScheduleState) -> None:
        """Take a schedule as it was committed just now."""
        before = self._states.get(state.key)
        if before is not None and before.version >= state.version:
            return
        if before is None or before.schedule is not state.schedule:
            self._times.pop(state.key, None)
        self._keep(state)
        self.plan(state.key)

    def drop(self, key: ScheduleKey) -> None:
        """Forget a schedule that was deleted."""
        if self._states.pop(key, None) is not None:
            decrease(self._counts, key[0])
        self._times.pop(key, None)
        self._owed.discard(key)
        self.dues.discard(key)

    def drop_project(self, user_id: UserId, project_id: ProjectId) -> None:
        """Forget the schedules that went with their project."""
        for state in tuple(self.of_user(user_id)):
            if state.project == (user_id, project_id) and not state.is_declared:
                self.drop(state.key)

    def find(self, key: ScheduleKey) -> ScheduleState | None:
        """Return a schedule as it was last committed."""
        return self._states.get(key)

    def of_user(self, user_id: UserId, after: str = "") -> Iterator[ScheduleState]:
        """Yield the user's schedules by name, those behind the name *after*."""
        ends = (user_id, after), (user_id, _AFTER_ALL_NAMES)
        for key in self._states.irange(*ends, inclusive=(False, True)):
            yield self._states[key]

    def of_all(self, after: ScheduleKey | None = None) -> Iterator[ScheduleState]:
        """Yield everybody's schedules by user and name, those behind *after*."""
        for key in self._states.irange(after, inclusive=(False, True)):
            yield self._states[key]

    def count(self, user_id: UserId) -> int:
        """Return how many schedules the user has."""
        return self._counts[user_id]

    def times_of(self, state: ScheduleState) -> Times:
        """Return when a schedule fires."""
        times = self._times.get(state.key)
        if times is None:
            times = self._times[state.key] = state.schedule.make_times(state.changed_at)
        return times

    def plan(self, key: ScheduleKey, not_before: datetime | None = None) -> None:
        """Find out when the schedule is due next, not before that moment, if it is at all."""
        self.dues.discard(key)
        state = self._states.get(key)
        if state is None or not state.schedule.enabled:
            return
        moment = self.times_of(state).find_next(state.settled_at)
        if moment is None:
            return
        due = moment + state.schedule.delay
        if not_before is not None:
            due = max(due, not_before)
        self.dues.set(key, due)
        self.changed.set()

    def list_keys(self) -> Sequence[ScheduleKey]:
        """List all schedules."""
        return tuple(self._states)

    def list_owed(self) -> Sequence[ScheduleKey]:
        """List the schedules that have a time to catch up with."""
        return tuple(self._owed)

    def _keep(self, state: ScheduleState) -> None:
        if state.key not in self._states:
            self._counts[state.key[0]] += 1
        self._states[state.key] = state
        is_owed = state.owed_at is not None and state.schedule.enabled
        (self._owed.add if is_owed else self._owed.discard)(state.key)
