"""Slots against a naive model: never beyond a limit, never given back twice."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cidx_jobs.engine.queue.slots import SlotError, Slots
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.limits import Limits

pytestmark = pytest.mark.slow

USERS = ("ann", "bob", "cyd")
RESOURCES = ("git", "disk")

limits = st.builds(
    Limits,
    max_running_per_user=st.integers(1, 3),
    max_running_total=st.integers(1, 5),
    resources=st.fixed_dictionaries({name: st.integers(0, 3) for name in RESOURCES}),
)
job_ids = st.integers(1, 8).map(lambda number: JobId(f"j{number}"))


class SlotMachine(RuleBasedStateMachine):
    """Jobs take and give back, with and without looking first; limits change."""

    @initialize(first=limits)
    def begin(self, first: Limits) -> None:
        """Begin with every slot free."""
        self.slots = Slots(first)
        self.limits = first
        self.held: dict[JobId, tuple[str, frozenset[str]]] = {}

    @rule(
        job_id=job_ids,
        user=st.sampled_from(USERS),
        resources=st.lists(st.sampled_from(RESOURCES), max_size=3),
    )
    def take(self, job_id: JobId, user: str, resources: list[str]) -> None:
        """A take succeeds just when the model has room and the job holds nothing yet."""
        fits = self._fits(user, set(resources))
        assert self.slots.has_room(UserId(user), resources) == fits
        if fits and job_id not in self.held:
            self.slots.take(job_id, UserId(user), resources)
            self.held[job_id] = user, frozenset(resources)
        else:
            with pytest.raises(SlotError):
                self.slots.take(job_id, UserId(user), resources)

    @rule(job_id=job_ids)
    def give_back(self, job_id: JobId) -> None:
        """Only a holder can give back, and only once."""
        if self.held.pop(job_id, None) is None:
            with pytest.raises(SlotError):
                self.slots.give_back(job_id)
        else:
            self.slots.give_back(job_id)

    @rule(other=limits)
    def change_limits(self, other: Limits) -> None:
        """Limits change; nobody loses anything."""
        self.slots.set_limits(other)
        self.limits = other

    @invariant()
    def the_books_agree(self) -> None:
        """Holders and counts are the model's."""
        users = [user for user, _ in self.held.values()]
        now = self.slots.snapshot()
        assert now.holders == {job_id: user for job_id, (user, _) in self.held.items()}
        assert now.running == self.slots.count_running() == len(users)
        assert now.users == {user: users.count(user) for user in users}
        for name in RESOURCES:
            assert now.resources[name].used == self._used(name)

    def _fits(self, user: str, resources: set[str]) -> bool:
        own = sum(holder == user for holder, _ in self.held.values())
        return (
            own < self.limits.max_running_per_user
            and len(self.held) < self.limits.max_running_total
            and all(self._used(name) < self.limits.resources[name] for name in resources)
            and not any(self._is_last_unit(name) and self._has(user, name) for name in resources)
        )

    def _is_last_unit(self, name: str) -> bool:
        limit = self.limits.resources[name]
        return limit > 1 and self._used(name) == limit - 1

    def _has(self, user: str, name: str) -> bool:
        return any(
            user == holder and name in resources for holder, resources in self.held.values()
        )

    def _used(self, name: str) -> int:
        return sum(name in resources for _, resources in self.held.values())


SlotMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestSlotMachine = SlotMachine.TestCase
