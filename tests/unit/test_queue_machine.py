"""The queue against a naive model: whatever happens to it, it is a sorted list with gates."""

from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cidx_jobs.engine.queue.fair_turns import PENDING_SECONDS
from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.job.key_limits import LimitKey, keys_of, make_key_limits
from tests.queueing import make_waiting_job

pytestmark = pytest.mark.slow

USERS = ("ann", "bob", "cyd")
TYPES = ("plain", "heavy")
PRIORITIES = (0, 5, 6)
KEYS = ("red", "green", "blue")

users = st.sampled_from(USERS)
types = st.sampled_from(TYPES)
some_keys = st.one_of(st.just(frozenset[str]()), st.frozensets(st.sampled_from(KEYS)))


@attrs.define
class Row:
    """What the model knows of a waiting job."""

    job: Job
    is_eligible: bool

    @property
    def rank(self) -> tuple[Any, str]:
        """The job's place by the rule: its key, then its id."""
        return self.job.dispatch_key, self.job.job_id


class QueueMachine(RuleBasedStateMachine):
    """Jobs come, go, start, are interrupted; gates open and close; time passes; restarts."""

    @initialize(ageing=st.sampled_from((0.5, 60.0)), drift=st.integers(1, 4))
    def begin(self, ageing: float, drift: int) -> None:
        """Begin with an empty queue."""
        self.ageing, self.drift = ageing, drift
        self.queue = JobQueue(ageing, drift=drift)
        self.seconds = 1_000.0
        self.made = 0
        self.rows: dict[JobId, Row] = {}
        self.under_way: list[Job] = []
        self.overdue: set[JobId] = set()
        self.started: list[Job] = []
        self.closed_users: set[str] = set()
        self.closed_types: set[str] = set()
        self.closed_keys: set[str] = set()

    @rule(user=users, job_type=types, priority=st.sampled_from(PRIORITIES), keys=some_keys)
    def make_key(self, user: str, job_type: str, priority: int, keys: frozenset[str]) -> None:
        """A key given later goes later, for one user and priority."""
        key = self.queue.make_key(UserId(user), priority, self.seconds, job_type)
        self.made += 1
        job = make_waiting_job(
            f"j{self.made:04}",
            user,
            key,
            priority=priority,
            job_type=job_type,
            limits=make_key_limits(dict.fromkeys(keys, 1), None, 0.0),
        )
        soon = [job for job in self.under_way if job.job_id not in self.overdue]
        for other in [row.job for row in self.rows.values()] + soon:
            if (other.user_id, other.priority) == (user, priority):
                assert other.dispatch_key is not None
                assert other.dispatch_key < key
        self.under_way.append(job)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), is_eligible=st.booleans())
    def push(self, data: st.DataObject, is_eligible: bool) -> None:
        """Jobs whose keys were given come to wait in any order."""
        job = self._take(data, self.under_way)
        self._push(job, is_eligible)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A key may be given in vain."""
        self._take(data, self.under_way)

    @precondition(lambda self: self.started)
    @rule(data=st.data())
    def interrupt(self, data: st.DataObject) -> None:
        """A started job comes back with its key."""
        self._push(self._take(data, self.started), is_eligible=True)

    @rule()
    def start_next(self) -> None:
        """What starts is the first that may, in the model, too."""
        job_id = self.queue.next_startable()
        assert job_id == self._next_in_model()
        if job_id is not None:
            assert self.queue.remove_started(job_id)
            self.started.append(self.rows.pop(job_id).job)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Any waiting job may be cancelled."""
        job_id = data.draw(st.sampled_from(sorted(self.rows)))
        assert self.queue.remove(job_id)
        assert not self.queue.remove(job_id)
        del self.rows[job_id]

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), is_eligible=st.booleans())
    def set_eligible(self, data: st.DataObject, is_eligible: bool) -> None:
        """Any waiting job may become eligible or not any more, once or again."""
        job_id = data.draw(st.sampled_from(sorted(self.rows)))
        self.queue.set_eligible(job_id, is_eligible=is_eligible)
        self.rows[job_id].is_eligible = is_eligible

    @rule(user=users, is_open=st.booleans())
    def turn_user(self, user: str, is_open: bool) -> None:
        """A user's gate opens or closes."""
        self.queue.set_user_open(UserId(user), is_open=is_open)
        (self.closed_users.discard if is_open else self.closed_users.add)(user)

    @rule(job_type=types, is_open=st.booleans())
    def turn_type(self, job_type: str, is_open: bool) -> None:
        """A type's gate opens or closes."""
        self.queue.set_type_open(job_type, is_open=is_open)
        (self.closed_types.discard if is_open else self.closed_types.add)(job_type)

    @rule(key=st.sampled_from(KEYS), is_open=st.booleans())
    def turn_key(self, key: str, is_open: bool) -> None:
        """A key's gate opens or closes."""
        self.queue.set_key_open(LimitKey(key, None), is_open=is_open)
        (self.closed_keys.discard if is_open else self.closed_keys.add)(key)

    @rule(seconds=st.sampled_from((-100.0, 0.1, 61.0, 1_000.0)))
    def pass_time(self, seconds: float) -> None:
        """Time passes, or the clock is set back."""
        self.seconds += seconds
        if seconds > PENDING_SECONDS:
            # What takes so long is given up for lost.
            self.overdue.update(job.job_id for job in self.under_way)

    @rule(data=st.data(), at_once=st.booleans())
    def restart(self, data: st.DataObject, at_once: bool) -> None:
        """A new queue is filled with the stored rows in any order; keys under way are lost."""
        self.queue = JobQueue(self.ageing, drift=self.drift)
        self.under_way.clear()
        self.started.clear()
        rows = [self.rows[job_id] for job_id in data.draw(st.permutations(sorted(self.rows)))]
        if at_once:
            self.queue.push_all([(row.job, row.is_eligible, ()) for row in rows])
            rows = []
        for row in rows:
            self.queue.push(row.job, is_eligible=row.is_eligible)
        for user in self.closed_users:
            self.queue.set_user_open(UserId(user), is_open=False)
        for job_type in self.closed_types:
            self.queue.set_type_open(job_type, is_open=False)
        for key in self.closed_keys:
            self.queue.set_key_open(LimitKey(key, None), is_open=False)

    @invariant()
    def the_order_is_that_of_the_keys(self) -> None:
        """Order, ranks and the next job are those of the sorted list."""
        rows = sorted(self.rows.values(), key=lambda row: row.rank)
        names = [row.job.job_id for row in rows]
        assert list(self.queue) == names
        assert [self.queue.position(name) for name in names] == list(range(1, len(names) + 1))
        assert self.queue.next_startable() == self._next_in_model()

    @invariant()
    def the_books_agree(self) -> None:
        """Counts, users, types and each user's own line are those of the list."""
        jobs = [row.job for row in sorted(self.rows.values(), key=lambda row: row.rank)]
        assert len(self.queue) == len(jobs)
        assert self.queue.users() == {job.user_id for job in jobs}
        assert self.queue.job_types() == {job.job_type for job in jobs}
        assert self.queue.keys() == {key for job in jobs for key in keys_of(job.limits)}
        for user in USERS:
            own = [job.job_id for job in jobs if job.user_id == user]
            assert self.queue.jobs_of(UserId(user)) == own
            assert self.queue.count_waiting(UserId(user)) == len(own)
            ranks = [self.queue.position_in_user(job_id) for job_id in own]
            assert ranks == list(range(1, len(own) + 1))

    def _push(self, job: Job, is_eligible: bool) -> None:
        self.queue.push(job, is_eligible=is_eligible)
        assert job.job_id in self.queue
        self.rows[job.job_id] = Row(job, is_eligible)

    def _take(self, data: st.DataObject, jobs: list[Job]) -> Job:
        return jobs.pop(data.draw(st.integers(0, len(jobs) - 1)))

    def _next_in_model(self) -> JobId | None:
        startable = [
            row
            for row in self.rows.values()
            if row.is_eligible
            and row.job.user_id not in self.closed_users
            and row.job.job_type not in self.closed_types
            and self.closed_keys.isdisjoint(key.name for key in keys_of(row.job.limits))
        ]
        first = min(startable, key=lambda row: row.rank, default=None)
        return None if first is None else first.job.job_id


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueueMachine = QueueMachine.TestCase
