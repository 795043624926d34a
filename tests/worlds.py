"""A deterministic world of users, jobs and limits around the queue and the slots.

Everything follows from the seed. The scheduler is written as the engine's is: it takes the next
startable job and its slot in one step, then stores the start, which takes time and may find that
the job was cancelled meanwhile. An auditor that keeps its own books looks at every start and, as
often as the scheduler comes to rest, at everything that waits. Each run ends with all faults off:
then everything must become final.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from random import Random

import attrs
from msgspec.structs import replace

from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.engine.queue.startable import ResourceShare
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import DispatchKey, Job
from cidx_jobs.model.limits import Limits
from tests.queueing import make_waiting_job

AGEING_SECONDS = 20.0
COMMIT_SECONDS = 0.05
BUSY_SECONDS = 60.0
USERS = tuple(UserId(name) for name in ("ann", "bob", "cyd", "dan", "eve"))
RESOURCES_OF: dict[str, tuple[str, ...]] = {"plain": (), "git": ("git",), "both": ("git", "disk")}

Event = Callable[[], None]


@attrs.define
class Auditor:
    """Keeps its own books of what must hold, and believes nobody."""

    limits: Limits
    waiting: dict[JobId, Job] = attrs.field(factory=dict)
    chosen: dict[JobId, Job] = attrs.field(factory=dict)
    """Taken from the queue without a slot; none are unless slots are taken late."""
    holding: dict[JobId, Job] = attrs.field(factory=dict)
    users: Counter[UserId] = attrs.field(factory=Counter)
    units: Counter[str] = attrs.field(factory=Counter)
    backing_off: set[JobId] = attrs.field(factory=set)
    paused: set[UserId] = attrs.field(factory=set)
    starts: int = 0

    def fits(self, job: Job) -> bool:
        """Tell by the books whether the limits have room for the job."""
        limits, units = self.limits, self.units
        return (
            self.users[job.user_id] < limits.max_running_per_user
            and len(self.holding) < limits.max_running_total
            and all(units[name] < limits.resources[name] for name in RESOURCES_OF[job.job_type])
            and all(self.has_share(job.user_id, name) for name in RESOURCES_OF[job.job_type])
        )

    def has_share(self, user_id: UserId, name: str) -> bool:
        """Tell by the books whether the user may have a unit: the last is for somebody else."""
        limit = self.limits.resources[name]
        others = sum(name in RESOURCES_OF[job.job_type] for job in self._of_others(user_id))
        is_last = self.units[name] == limit - 1
        return limit == 1 or not is_last or others == self.units[name]

    def _of_others(self, user_id: UserId) -> Iterator[Job]:
        return (job for job in self.holding.values() if job.user_id != user_id)

    def may_start(self, job: Job) -> bool:
        """Tell by the books whether nothing keeps the job from starting."""
        is_passed = job.job_id in self.backing_off or job.user_id in self.paused
        return not is_passed and self.fits(job)

    def see_choice(self, job: Job) -> None:
        """Check that no startable job stands before the one that was chosen (G9)."""
        for other in self.waiting.values():
            assert rank(other) >= rank(job) or not self.may_start(other), (
                f"{job.job_id} passed {other.job_id}"
            )
        assert self.may_start(job), f"{job.job_id} was chosen and may not start"
        self.chosen[job.job_id] = self.waiting.pop(job.job_id)

    def see_take(self, job: Job) -> None:
        """Check that a slot was taken within all limits, by a job that holds none (G10)."""
        assert job.job_id not in self.holding, f"{job.job_id} runs twice"
        assert self.fits(job), f"{job.job_id} started beyond a limit"
        self.holding[job.job_id] = self.chosen.pop(job.job_id)
        self.users[job.user_id] += 1
        self.units.update(RESOURCES_OF[job.job_type])
        self.starts += 1

    def see_end(self, job: Job) -> None:
        """Count a slot that was given back."""
        del self.holding[job.job_id]
        self.users[job.user_id] -= 1
        self.units.subtract(RESOURCES_OF[job.job_type])

    def see_death(self) -> list[Job]:
        """Give all jobs that are not final; nothing is held or waits any more."""
        rows = [*self.waiting.values(), *self.chosen.values(), *self.holding.values()]
        for book in (self.waiting, self.chosen, self.holding, self.users, self.units):
            book.clear()
        self.backing_off.clear()
        return rows

    def see_rest(self, queue: JobQueue) -> None:
        """Check that no slot idles while a job may run, and that ranks are those of the keys."""
        idle = [job.job_id for job in self.waiting.values() if self.may_start(job)]
        assert not idle, f"slots idle while {idle} may run"
        order = [job.job_id for job in sorted(self.waiting.values(), key=rank)]
        assert list(queue) == order


def rank(job: Job) -> tuple[DispatchKey, JobId]:
    """Give the job's place in the one order."""
    assert job.dispatch_key is not None
    return job.dispatch_key, job.job_id


class World:
    """One simulated server with its users and its operator."""

    def __init__(
        self,
        seed: int,
        *,
        make_slots: Callable[[Limits], Slots] = Slots,
        takes_late: bool = False,
    ) -> None:
        """Prepare everything that will happen.

        Args:
            seed: from which all of it follows.
            make_slots: makes the slots, which may be some with a planted fault.
            takes_late: plants a race: looks for room first, takes it once the start is stored.
        """
        self.random = Random(seed)  # noqa: S311 - chance that has to replay
        self.now = 1_000.0
        self.outcomes: Counter[str] = Counter()
        self._make_slots = make_slots
        self._takes_late = takes_late
        self._has_faults = True
        self._events: list[tuple[float, int, Event]] = []
        self._numbers = itertools.count()
        self._life = 0
        self._retry_at: dict[JobId, float] = {}
        self._runs: dict[JobId, int] = {}
        self.limits = self._draw_limits()
        self.audit = Auditor(self.limits)
        self._build()
        for event, times in ((self._submit, 20), (self._disturb, 25)):
            for _ in range(times):
                self._after(self.random.uniform(0, BUSY_SECONDS), event)
        self._after(BUSY_SECONDS, self._end_faults)

    def run(self) -> None:
        """Let everything happen, to the end, and find nothing left over."""
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._schedule()
        assert not self.audit.waiting
        assert not self.audit.chosen
        assert not self.audit.holding
        assert len(self.queue) == self.slots.count_running() == 0
        assert all(use.used == 0 for use in self.slots.snapshot().resources.values())

    # The scheduler and the runs.

    def _schedule(self) -> None:
        while self.slots.has_total_room():
            job_id = self.queue.next_startable()
            if job_id is None:
                break
            job = self.audit.waiting[job_id]
            assert self.queue.remove_started(job_id)
            self.audit.see_choice(job)
            if not self._takes_late:
                self._take(job)
            run = self._runs[job_id] = next(self._numbers)
            self._after(COMMIT_SECONDS, partial(self._begin, run, job))
        if not self.audit.chosen:
            self.audit.see_rest(self.queue)

    def _take(self, job: Job) -> None:
        self.slots.take(job.job_id, job.user_id, RESOURCES_OF[job.job_type])
        self._refresh_user(job.user_id)
        self._refresh_types()
        self.audit.see_take(job)

    def _begin(self, run: int, job: Job) -> None:
        if self._runs.get(job.job_id) != run:
            return
        if self._takes_late:
            self._take(job)
        if self._has_faults and self.random.random() < 0.03:
            # The job was cancelled while its start was being stored.
            self._leave(job)
            self.outcomes["cancelled while starting"] += 1
            return
        seconds = self.random.choice((0.1, 0.5, 3.0)) * self.random.uniform(0.5, 1.5)
        self._after(seconds, partial(self._end, run, job))

    def _end(self, run: int, job: Job) -> None:
        if self._runs.get(job.job_id) != run:
            return
        self._leave(job)
        if self._has_faults and self.random.random() < 0.15:
            self._retry_at[job.job_id] = self.now + self.random.uniform(0, 5)
            self._wait(self._with_new_key(job, job.priority))
            self.outcomes["retried"] += 1
        else:
            self.outcomes["ended"] += 1

    def _leave(self, job: Job) -> None:
        del self._runs[job.job_id]
        self.audit.see_end(job)
        self.slots.give_back(job.job_id)
        self._refresh_user(job.user_id)
        self._refresh_types()

    # What users, faults and operators do.

    def _submit(self) -> None:
        user, priority = self.random.choice(USERS), self.random.choice((5, 5, 5, 0, 9))
        for _ in range(self.random.choice((1, 1, 2, 3, 20))):
            job_type = self.random.choice(tuple(RESOURCES_OF))
            key = self.queue.make_key(user, priority, self.now, job_type)
            name = f"j{next(self._numbers)}"
            job = make_waiting_job(name, user, key, priority=priority, job_type=job_type)
            if self.random.random() < 0.97:
                # Commits end in any order; a few of them fail.
                seconds = self.random.uniform(0, COMMIT_SECONDS)
                self._after(seconds, partial(self._wait_if_alive, self._life, job))

    def _disturb(self) -> None:
        self.random.choice(
            (
                self._cancel_some,
                self._interrupt_some,
                self._revise_some,
                self._change_limits,
                self._pause,
                self._resume,
                self._restart,
            )
        )()

    def _cancel_some(self) -> None:
        for job in self._some(self.audit.waiting.values()):
            self._take_out(job)
            self.outcomes["cancelled"] += 1

    def _revise_some(self) -> None:
        for job in self._some(self.audit.waiting.values()):
            self._take_out(job)
            self._wait(self._with_new_key(job, self.random.randrange(10)))
            self.outcomes["revised"] += 1

    def _interrupt_some(self) -> None:
        for job in self._some(self.audit.holding.values()):
            self._leave(job)
            self._wait(job)
            self.outcomes["interrupted"] += 1

    def _change_limits(self) -> None:
        self.limits = self.audit.limits = self._draw_limits()
        self.slots.set_limits(self.limits)
        self.queue.set_drift(self.limits.max_running_per_user)
        self._refresh()

    def _pause(self) -> None:
        self.audit.paused.add(self.random.choice(USERS))
        self._refresh()

    def _resume(self) -> None:
        self.audit.paused.clear()
        self._refresh()

    def _restart(self) -> None:
        """Die, and build the memory again from the rows, which come in any order."""
        self._life += 1
        rows = self.audit.see_death()
        self._runs.clear()
        self._build()
        self._refresh()
        self.random.shuffle(rows)
        for job in rows:
            self._wait(job)
        self.outcomes["restarted"] += 1

    def _end_faults(self) -> None:
        self._has_faults = False
        self._resume()

    # The memory, wired as the engine's.

    def _build(self) -> None:
        self.slots = self._make_slots(self.limits)
        self.queue = JobQueue(AGEING_SECONDS, drift=self.limits.max_running_per_user)

    def _wait_if_alive(self, life: int, job: Job) -> None:
        if life == self._life:
            self._wait(job)

    def _wait(self, job: Job) -> None:
        due = self._retry_at.get(job.job_id, 0.0)
        self.audit.waiting[job.job_id] = job
        resources = RESOURCES_OF[job.job_type]
        self.queue.push(job, is_eligible=due <= self.now, resources=resources)
        if due > self.now:
            self.audit.backing_off.add(job.job_id)
            self._after(due - self.now, partial(self._mark_eligible, self._life, job))
        self._refresh_user(job.user_id)
        self._refresh_types()

    def _mark_eligible(self, life: int, job: Job) -> None:
        if life == self._life and self._retry_at[job.job_id] <= self.now:
            self.audit.backing_off.discard(job.job_id)
            self.queue.set_eligible(job.job_id, is_eligible=True)

    def _take_out(self, job: Job) -> None:
        del self.audit.waiting[job.job_id]
        self.audit.backing_off.discard(job.job_id)
        assert self.queue.remove(job.job_id)

    def _with_new_key(self, job: Job, priority: int) -> Job:
        key = self.queue.make_key(job.user_id, priority, self.now, job.job_type)
        return replace(job, priority=priority, dispatch_key=key)

    def _refresh(self) -> None:
        for user in USERS:
            self._refresh_user(user)
        self._refresh_types()

    def _refresh_user(self, user: UserId) -> None:
        is_open = user not in self.audit.paused and self.slots.has_user_room(user)
        self.queue.set_user_open(user, is_open=is_open)

    def _refresh_types(self) -> None:
        for job_type, resources in RESOURCES_OF.items():
            is_open = all(map(self.slots.has_unit, resources))
            self.queue.set_type_open(job_type, is_open=is_open)
        for user, name in itertools.product(USERS, self.limits.resources):
            share = ResourceShare(user, name)
            self.queue.set_share_open(share, is_open=self.slots.has_share(*share))

    # Chance.

    def _draw_limits(self) -> Limits:
        return Limits(
            max_running_per_user=self.random.choice((1, 2, 3, 10)),
            max_running_total=self.random.choice((1, 2, 5, 12)),
            resources={"git": self.random.choice((1, 2, 4)), "disk": self.random.choice((1, 2))},
        )

    def _some(self, jobs: Collection[Job]) -> Sequence[Job]:
        return self.random.sample([*jobs], min(len(jobs), self.random.choice((1, 2, 10))))

    def _after(self, seconds: float, event: Event) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))
