"""Why jobs wait, told and obeyed: whatever happens, a queued job is told no reason when it goes.

The engine's memory is moved here by the same events as in a server, with each commit at once or
left under way. What jobs are told is compared with what the scheduler would take.
"""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cidx_jobs.clock import EngineClock
from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.engine.queue.suspects import Suspects
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.notifier import Notifier
from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType, JobTypes
from cidx_jobs.model.error_codes import make_error
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.events import (
    Cancel,
    Complete,
    Event,
    Interrupt,
    RetryLater,
    Revise,
    Start,
)
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.key_limits import KeyLimits, LimitKey, key_of_host, make_key_limits
from cidx_jobs.model.job.lifecycle import advance, record_progress
from cidx_jobs.model.limits import Limits, Pauses
from tests.fakes import FakeClock
from tests.queueing import make_waiting_job

pytestmark = pytest.mark.slow

USERS = ("ann", "bob", "cyd")
POISON_AFTER = 1
OUTAGE_SECONDS = 1_000.0
LIMITS = (
    Limits(max_running_per_user=1, max_running_total=2, resources={"gpu": 1}),
    Limits(max_running_per_user=2, max_running_total=3, resources={"gpu": 2}),
    Limits(max_running_per_user=3, max_running_total=1, resources={"gpu": 1}),
    Limits(max_running_per_user=5, max_running_total=9, resources={"gpu": 3}),
)
PAUSES = (
    *(Pauses(),) * 8,
    Pauses(everything=True),
    Pauses(draining=True),
    Pauses(users=frozenset({UserId("ann")})),
    Pauses(job_types=frozenset({"plain"})),
)


HOST = key_of_host("code")
KEYS = ("red", "blue", HOST.name)
numbers_by_key: st.SearchStrategy[dict[str, int]] = st.sampled_from(
    (
        {},
        {"red": 1},
        {"red": 1},
        {"red": 2},
        {"red": 4},
        {"red": 1, "blue": 1},
        {HOST.name: 2},
        {HOST.name: 2},
    )
)


async def _never_runs(_: JobContext) -> None:
    raise AssertionError


TYPES = JobTypes(
    [JobType("plain", _never_runs), JobType("heavy", _never_runs, resources=("gpu",))]
)


class Server(RuleBasedStateMachine):
    """Jobs wait, start, end and fail; operators interfere; time passes; servers die and stop."""

    @initialize(limits=st.sampled_from(LIMITS))
    def begin(self, limits: Limits) -> None:
        """Begin with nothing."""
        # Timers are set on it and never go off: the machine rings them itself.
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.limits = limits
        self.made = 0
        self.starting: dict[JobId, Job] = {}
        self._build()
        for user in USERS:
            self.submit(user, "plain", {}, {})
            self.start()

    def teardown(self) -> None:
        """Close the loop of the timers."""
        if hasattr(self, "loop"):
            self.loop.close()

    @rule(
        user=st.sampled_from(USERS),
        job_type=st.sampled_from(sorted(TYPES)),
        own=numbers_by_key,
        shared=numbers_by_key,
    )
    def submit(
        self, user: str, job_type: str, own: dict[str, int], shared: dict[str, int]
    ) -> None:
        """Somebody submits a job, with keys of their own and of its type."""
        self.made += 1
        name = f"j{self.made:03}"
        key = self.board.queue.make_key(UserId(user), 5, self.made, job_type)
        limits = (*self._limits(own, UserId(user)), *self._limits(shared, None))
        self._apply(make_waiting_job(name, user, key, job_type=job_type, limits=limits))

    @precondition(lambda self: self._jobs(JobStatus.QUEUED))
    @rule(data=st.data(), own=numbers_by_key)
    def join(self, data: st.DataObject, own: dict[str, int]) -> None:
        """Another request joins a job that waits, and brings other keys."""
        job = data.draw(st.sampled_from(self._jobs(JobStatus.QUEUED)))
        if job.job_id not in self.starting:
            self.made += 1
            self._advance(job, Revise(limits=self._limits(own, job.user_id)))

    @rule()
    def choose(self) -> None:
        """The scheduler takes the next job; its start is under way from now on."""
        job = self.board.find_next()
        if job is not None:
            self._begin_start(job)
            self.starting[job.job_id] = job

    @rule()
    def start(self) -> None:
        """The scheduler takes the next job, and its start is stored."""
        job = self.board.find_next()
        if job is not None:
            self._begin_start(job)
            self._advance(job, Start(epoch=1))

    @precondition(lambda self: self.starting)
    @rule(data=st.data(), is_stored=st.booleans())
    def store_start(self, data: st.DataObject, is_stored: bool) -> None:
        """A start that was under way is stored, or is not."""
        job = self.starting.pop(data.draw(st.sampled_from(sorted(self.starting))))
        if is_stored:
            self._advance(job, Start(epoch=1))
        else:
            self._run(lambda: self.board.abandon_start(job))

    @precondition(lambda self: self._jobs(JobStatus.RUNNING))
    @rule(data=st.data(), seconds=st.sampled_from((None, 0.0, 5.0, 500.0, 5_000.0)))
    def end(self, data: st.DataObject, seconds: float | None) -> None:
        """A run ends for good, or is to be tried again later."""
        job = data.draw(st.sampled_from(self._jobs(JobStatus.RUNNING)))
        if seconds is None:
            self._advance(job, Complete(result={}, elapsed_seconds=1.0))
            return
        now = self.clock.now()
        error = make_error("HANDLER_ERROR", "boom", at=now)
        key = self.board.make_key(job)
        later = FakeClock(now)
        later.advance(seconds)
        self._advance(
            job, RetryLater(error=error, retry_at=later.now(), key=key, elapsed_seconds=1.0)
        )

    @precondition(lambda self: self._jobs(JobStatus.RUNNING))
    @rule(data=st.data(), seconds=st.sampled_from((0.0, 15.0)))
    def find_host_down(self, data: st.DataObject, seconds: float) -> None:
        """A run finds its host down; it goes on where it has none, or others got an answer."""
        job = data.draw(st.sampled_from(self._jobs(JobStatus.RUNNING)))
        if self._mark_host(job, seconds):
            error = make_error("NET-002", "nobody there", at=self.clock.now())
            self._advance(job, Interrupt(elapsed_seconds=1.0, is_clean=True, error=error))

    @rule()
    def host_answers(self) -> None:
        """The host answers somebody."""
        self._run(lambda: self.board.outages.answer(HOST))

    @precondition(lambda self: self._jobs(JobStatus.RUNNING))
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        """A run comes on: a suspect that does is proven."""
        job = data.draw(st.sampled_from(self._jobs(JobStatus.RUNNING)))
        self._apply(record_progress(job, self.clock.now(), progress=10))

    @precondition(lambda self: self._jobs(JobStatus.QUEUED))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Somebody cancels a job that waits."""
        job = data.draw(st.sampled_from(self._jobs(JobStatus.QUEUED)))
        if job.job_id not in self.starting:
            error = make_error("CANCELLED", "enough", at=self.clock.now())
            self._advance(job, Cancel(error=error))

    @rule(limits=st.sampled_from(LIMITS))
    def set_limits(self, limits: Limits) -> None:
        """An administrator sets other limits."""
        self.limits = limits
        self.board.set_limits(limits)

    @rule(pauses=st.sampled_from(PAUSES))
    def set_pauses(self, pauses: Pauses) -> None:
        """An operator pauses, drains or goes on."""
        self.board.set_pauses(pauses)

    @rule(
        seconds=st.sampled_from((1.0, 6.0, 31.0, 600.0)),
        step=st.sampled_from((0.0, -3_600.0, 3_600.0)),
    )
    def pass_time(self, seconds: float, step: float) -> None:
        """Time passes; the wall clock may be set."""
        self.clock.advance(seconds)
        self.clock.step_wall_clock(step)

    @rule()
    def notice_time(self) -> None:
        """Timers notice what time it is: not in the moment in which a wall clock is set."""
        self._run(self.board.due_times.ring_due)
        self._run(self.board.outages.ring_due)

    @rule()
    def die(self) -> None:
        """The server dies; the next one finds its runs, and what was not stored is not."""
        jobs = [job for job in self.board.live if not job.done]
        self.starting.clear()
        self._build()
        self._run(lambda: self.board.restore(jobs))
        for job in jobs:
            if job.status is JobStatus.RUNNING:
                self._advance(job, Interrupt(elapsed_seconds=1.0, is_clean=False))
        self.board.suspects.line_up(self.board.live)

    @rule(is_sure=st.sampled_from((False,) * 19 + (True,)))
    def stop(self, is_sure: bool) -> None:
        """The server begins to stop, in few lives: from then on nothing starts."""
        if is_sure:
            self.board.begin_stop()

    @invariant()
    def the_first_that_is_told_no_reason_starts_next(self) -> None:
        """And nobody starts when everybody has a reason."""
        free = [job for job in self._queued() if not self.board.reasons.find(job)]
        chosen = self.board.find_next()

        assert chosen == (free[0] if free else None)

    @invariant()
    def who_is_told_no_reason_would_start_if_it_were_the_first(self) -> None:
        """And who is told one would not."""
        queue = self.board.queue
        jobs = self._queued()
        as_before = {job.job_id: queue._waiting[job.job_id].is_eligible for job in jobs}
        for job in jobs:
            for job_id, is_eligible in as_before.items():
                queue.set_eligible(job_id, is_eligible=is_eligible and job_id == job.job_id)
            is_chosen = self.board.find_next() == job
            for job_id, is_eligible in as_before.items():
                queue.set_eligible(job_id, is_eligible=is_eligible)

            assert is_chosen == (not self.board.reasons.find(job)), job.job_id

    @invariant()
    def no_key_is_held_beyond_what_is_told(self) -> None:
        """The places of each key are those of who runs or starts; its number is the newest."""
        jobs = [job for job in self.board.live if not job.done]
        holders = [job for job in jobs if self._holds(job)]
        for name in KEYS:
            for owner in (None, *map(UserId, USERS)):
                key = LimitKey(name, owner)
                held = sum(key in self._keys(job) for job in holders)
                newest = max(
                    (
                        (each.set_at, job.job_id, each.limit)
                        for job in jobs
                        for each in job.limits
                        if each.key == key
                    ),
                    default=None,
                )

                numbers = self.board.slots.keys
                assert numbers.count(key) == held
                assert numbers.limit_of(key) == (None if newest is None else newest[-1])

    @invariant()
    def who_is_being_started_is_told_no_reason(self) -> None:
        """It was chosen; its own slot is no reason against it."""
        assert not any(map(self.board.reasons.find, self.starting.values()))

    def _build(self) -> None:
        self.board = Board(
            clock=self.clock,
            engine_clock=EngineClock(self.clock, 0.0),
            job_types=TYPES,
            queue=JobQueue(drift=self.limits.max_running_per_user),
            slots=Slots(self.limits),
            notifier=Notifier(),
            suspects=Suspects(self.clock, POISON_AFTER),
            outage_seconds=OUTAGE_SECONDS,
        )

    def _limits(self, numbers: dict[str, int], owner: UserId | None) -> KeyLimits:
        return make_key_limits(numbers, owner, float(self.made))

    def _holds(self, job: Job) -> bool:
        return job.status is JobStatus.RUNNING or job.job_id in self.starting

    def _keys(self, job: Job) -> set[LimitKey]:
        # A job that is being started holds what it had when it was chosen.
        chosen = self.starting.get(job.job_id, job)
        return {each.key for each in chosen.limits}

    def _words(self) -> list[list[str]]:
        return [[each.word for each in self.board.reasons.find(job)] for job in self._queued()]

    def _queued(self) -> list[Job]:
        jobs = [self.board.live.find(job_id) for job_id in self.board.queue]
        return [job for job in jobs if job is not None]

    def _jobs(self, status: JobStatus) -> list[Job]:
        return [job for job in self.board.live if job.status is status]

    def _advance(self, job: Job, event: Event) -> None:
        self._apply(advance(job, event, self.clock.now())[0])

    def _begin_start(self, job: Job) -> None:
        self._run(lambda: self.board.begin_start(job))

    def _mark_host(self, job: Job, seconds: float) -> bool:
        marked: list[bool] = []
        self._run(lambda: marked.append(self.board.mark_host(job, HOST, "NET-002", seconds)))
        return marked == [True]

    def _apply(self, job: Job) -> None:
        self._run(lambda: self.board.apply([job], []))

    def _run(self, change: Callable[[], None]) -> None:
        async def on_loop() -> None:
            change()

        self.loop.run_until_complete(on_loop())


Server.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestServer = Server.TestCase


def test_a_back_off_is_told_until_its_timer_has_noticed_its_end() -> None:
    """A wall clock that is set forward ends it within seconds, and until then nobody starts."""
    server = Server()
    server.begin(LIMITS[0])
    job = server._jobs(JobStatus.RUNNING)[0]
    error = make_error("HANDLER_ERROR", "boom", at=server.clock.now())
    later = FakeClock()
    later.advance(500)
    key = server.board.make_key(job)
    event = RetryLater(error=error, retry_at=later.now(), key=key, elapsed_seconds=1.0)
    server._advance(job, event)

    server.pass_time(1.0, 3_600.0)
    (waiting,) = [job for job in server._queued() if job.retry_at is not None]
    before = [reason.word for reason in server.board.reasons.find(waiting)]
    server.notice_time()
    after = [reason.word for reason in server.board.reasons.find(waiting)]
    server.teardown()

    assert ("retry_backoff" in before, "retry_backoff" in after) == (True, False)


def test_a_host_that_is_down_is_told_until_its_time_has_come() -> None:
    """And then of one job no more, until that one has gone to probe it."""
    server = Server()
    server.begin(LIMITS[3])
    for user in USERS:
        server.submit(user, "plain", {}, {HOST.name: 2})
    server.start()
    (first,) = [job for job in server._jobs(JobStatus.RUNNING) if job.limits]
    error = make_error("NET-002", "nobody there", at=server.clock.now())
    server._mark_host(first, 15.0)
    server._advance(first, Interrupt(elapsed_seconds=15.0, is_clean=True, error=error))

    told = [server._words()]
    server.pass_time(6.0, 0.0)
    server.notice_time()
    told.append(server._words())
    server.start()
    told.append(server._words())
    server.teardown()

    down = ["host_down:code"]
    assert told == [[down, down, down], [down, [], []], [down, down]]
