"""The engine's memory, moved only by what was committed: jobs, queue, slots, and who listens.

`Board.apply` runs once for each commit, in the order of the commits, on the loop, before
whoever asked for the change goes on. Nothing in it awaits, so no other code ever sees the
memory between two states.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from contextvars import Context

from cidx_jobs.clock import EngineClock
from cidx_jobs.engine.queue.due_times import DueTimes
from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.outages import Outages
from cidx_jobs.engine.queue.slots import Slots, Waiting
from cidx_jobs.engine.queue.startable import Resources
from cidx_jobs.engine.queue.suspects import Suspects
from cidx_jobs.engine.queue.wait_estimate import WaitEstimator
from cidx_jobs.engine.queue.wait_reasons import WaitReasons
from cidx_jobs.engine.state.effects import (
    CancelChildren,
    Effect,
    EnqueueDue,
    GiveUp,
    MakeHead,
    StopRun,
)
from cidx_jobs.engine.state.families import Families
from cidx_jobs.engine.state.gates import Gates
from cidx_jobs.engine.state.hooks import Hooks
from cidx_jobs.engine.state.job_cache import LiveJobs
from cidx_jobs.engine.state.notifier import Notifier
from cidx_jobs.engine.state.schedule_book import ScheduleBook
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import (
    CANCELLED,
    COMPLETED,
    CREATED,
    QUEUED,
    RUNNING,
    DispatchKey,
    Job,
    Place,
    Transition,
)
from cidx_jobs.model.job.key_limits import LimitKey, keys_of
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import UnreadJob


class Board:
    """Jobs, queue, slots, limits and pauses of the running server, and the waiters."""

    def __init__(
        self, *, clock: Clock, engine_clock: EngineClock, job_types: JobTypes, queue: JobQueue,
        slots: Slots, notifier: Notifier, suspects: Suspects, outage_seconds: float,
    ) -> None:  # fmt: skip
        """Take the parts that make up the memory; *outage_seconds* is `git_outage_seconds`."""
        self.live: LiveJobs = LiveJobs(self._wants_place)
        self.schedules: ScheduleBook = ScheduleBook()
        self.families: Families = Families()
        self.origins: dict[JobId, Context] = {}
        """The context variables of the submits of this process, for as long as a job may run."""
        self.queue = queue
        self.slots = slots
        self.notifier = notifier
        self.hooks: Hooks = Hooks()
        self.estimator: WaitEstimator = WaitEstimator(queue, slots)
        self.due_times: DueTimes = DueTimes(clock, self.live.find, self._note_due)
        self.suspects = suspects
        self.outages: Outages = Outages(
            clock,
            outage_seconds,
            queue=queue,
            numbers=slots.keys,
            on_change=self._note_outage,
        )
        """The code hosts that are down."""
        self.reasons: WaitReasons = WaitReasons(
            clock=clock,
            slots=slots,
            job_types=job_types,
            due_times=self.due_times,
            suspects=suspects,
            outages=self.outages,
            find_job=self.live.find,
            is_project_busy=self.is_project_busy,
            waits_for_children=self.families.is_waiting,
        )
        self.clock = clock
        self.stop_begun: asyncio.Event = asyncio.Event()
        """Set for good once the server was told to stop."""
        self.look_again: asyncio.Event = asyncio.Event()
        """Set when something may have become startable; the scheduler clears it and looks."""
        self.gates: Gates = Gates(
            queue=queue,
            slots=slots,
            reasons=self.reasons,
            live=self.live,
            job_types=job_types,
            look_again=self.look_again,
        )
        self.effects: asyncio.Queue[Effect] = asyncio.Queue()
        """What is to be done next because of what was committed."""
        self.engine_clock = engine_clock
        self.arriving = 0
        """How many jobs are just being stored as queued: who comes now comes after them."""
        self._job_types = job_types
        self._newcomers: dict[tuple[UserId, ProjectId], JobId] = {}
        """The exclusive jobs whose start is just being stored with their submit."""

    def make_key(self, job: Job, priority: int | None = None) -> DispatchKey:
        """Return a place in the order for a job that is about to be queued, at its priority."""
        return self.queue.make_key(
            job.user_id,
            job.priority if priority is None else priority,
            self.engine_clock.seconds(),
            job.job_type,
            keys_of(job.limits),
        )

    def find_position(self, job_id: JobId) -> int | None:
        """Return the rank of a queued job among all queued jobs, from 1; None for any other."""
        if job_id in self.queue:
            return self.queue.position(job_id)
        job = self.live.find(job_id)
        # A job whose start is just being stored has left the queue: it is next.
        return 1 if job is not None and job.status is QUEUED else None

    @property
    def starting(self) -> Collection[JobId]:
        """Jobs that were chosen, and whose start is just being stored."""
        return self.reasons.starting

    @property
    def pauses(self) -> Pauses:
        """What is paused, and whether the server drains."""
        return self.reasons.pauses

    def find_next(self) -> Job | None:
        """Return the job that starts now: the first in rank with no reason to wait, if any."""
        if any(self.reasons.of_everything()):
            return None
        if any(self.reasons.of_recovery(None)):
            # Nobody but the suspect whose turn it is, and nobody while one runs alone.
            return None if self.reasons.find_watch() else self.reasons.find_suspect()
        job_id = self.queue.next_startable()
        return None if job_id is None else self.live.find(job_id)

    def may_start_at_once(self, job: Job) -> bool:
        """Tell whether a job that is just being submitted, as queued, is the next to start.

        Nobody may be before it: no job that waits and may run, and none on its way to wait.
        """
        return (
            not self.arriving
            and self.queue.next_startable() is None
            and self.reasons.is_free(job)
            and self.slots.keys.has_room_for_new(job.limits)
        )

    def has_moved_on(self, job: Job) -> bool:
        """Tell whether a job that was queued has left the queue since: it was next, and free."""
        now = None if job.status is not QUEUED else self.live.find(job.job_id)
        return now is not None and now.version > job.version and not now.status.is_waiting

    def head_of(self, job: Job) -> Job | None:
        """Return the head of the line of the job's type in its project."""
        return self.live.in_place(job.user_id, job.project_id, job.job_type, Place.HEAD)

    def follower_of(self, job: Job) -> Job | None:
        """Return who follows in the line of the job's type in its project."""
        return self.live.in_place(job.user_id, job.project_id, job.job_type, Place.FOLLOWER)

    def is_exclusive(self, job: Job) -> bool:
        """Return whether the job is of a type of which none runs beside another in a project."""
        known = self._job_types.get(job.job_type)
        return job.has_place or (known is not None and known.exclusive)

    def is_project_busy(self, job: Job) -> bool:
        """Return whether the job, which is due, has to wait for another of its project."""
        if job.place is Place.FOLLOWER:
            return True
        if job.status is CREATED:
            return self.is_exclusive(job) and self.head_of(job) is not None
        if not job.has_place:
            return False
        newcomer = self._newcomers.get((job.user_id, job.project_id))
        return newcomer not in {None, job.job_id} or any(
            other.job_id != job.job_id and self._is_at_work(other)
            for other in self.live.in_lines(job.user_id, job.project_id)
        )

    def _is_at_work(self, job: Job) -> bool:
        return job.status is RUNNING or job.job_id in self.reasons.starting

    def apply(self, jobs: Sequence[Job], rows: Sequence[Transition]) -> None:
        """Take committed states into the memory, then tell of them."""
        for job in jobs:
            before = self._put(job)
            if before is None or before.version < job.version:
                self._move(before, job)
        # Only now: who is told of one job may look at the others of the same commit.
        for job in jobs:
            own = rows if len(jobs) == 1 else [row for row in rows if row.job_id == job.job_id]
            self.notifier.publish(job, own)
            if own:
                self.hooks.tell(job, own)
        if self.live.has_lines:
            self._check_lines(jobs)
        self.look_again.set()

    def restore(self, jobs: Sequence[Job | UnreadJob]) -> None:
        """Take the unfinished jobs of the store into an empty memory."""
        whole = [job for job in jobs if isinstance(job, Job)]
        for job in whole:
            # A parent that is looked at must find its children, which come after it.
            self.families.note(job)
        self.queue.push_all([*self._restore_each(jobs)])
        self.slots.restore(
            [job for job in whole if job.status is RUNNING], self._job_types.resources_of
        )
        # Once for all: each job by itself would look again at its user and its type.
        self.gates.refresh_all()
        for job in whole:
            # Those that were loaded after it may run.
            if job.has_place:
                self.gates.refresh_job(job)
        self._check_lines(whole)

    def _restore_each(
        self, jobs: Sequence[Job | UnreadJob]
    ) -> Iterator[tuple[Job | UnreadJob, bool, Resources]]:
        """Take the jobs into the memory; yield those that are queued, for the queue."""
        for job in jobs:
            if isinstance(job, UnreadJob):
                self.live.put_unread(job)
                is_eligible = True
            else:
                self._put(job)
                if job.status is not QUEUED:
                    self._move(None, job)
                    continue
                self.due_times.set(job)
                is_eligible = not any(self.reasons.of_job(job))
            yield job, is_eligible, self._job_types.resources_of(job.job_type)

    def set_limits(self, limits: Limits) -> None:
        """Put other limits in force; no running job is ended by it."""
        self.slots.set_limits(limits)
        self.queue.set_drift(limits.max_running_per_user)
        self.gates.refresh_all()

    def set_pauses(self, pauses: Pauses) -> None:
        """Put other pauses in force; what runs goes on."""
        self.reasons.pauses = pauses
        self.gates.refresh_all()
        self.schedules.changed.set()

    @asynccontextmanager
    async def hold_resource(
        self, name: str, job_id: JobId, waiting: Waiting = nullcontext
    ) -> AsyncIterator[None]:
        """Hold one unit of the resource inside a run, as `Slots.hold_resource`."""
        try:
            async with self.slots.hold_resource(name, job_id, waiting):
                self.gates.refresh_resources((name,))
                yield
        finally:
            self.gates.refresh_resources((name,))

    def give_back(self, job_id: JobId) -> None:
        """Give back all that the job holds, once.

        Raises:
            SlotError: the job holds no slot.
        """
        freed = self.slots.give_back(job_id)
        self.outages.end(job_id, freed.keys)
        self.gates.refresh_user(freed.user_id)
        self.gates.refresh_resources(freed.resources)
        self.gates.refresh_keys(freed.keys)

    def mark_host(self, job: Job, key: LimitKey, code: str, silent_seconds: float) -> bool:
        """Mark the host of the key as down, as `Outages.mark`; False where it is not.

        Jobs that have waited for the host as long as they may are given up.
        """
        if key not in keys_of(job.limits):
            return False
        if not self.outages.mark(key, job, code, silent_seconds):
            return False
        waiting = self.find_waiting(key)
        for each in waiting:
            if self.outages.is_over(key, each.queued_at):
                self.effects.put_nowait(GiveUp(each.job_id, key))
        self.outages.hasten(key, [*waiting, job])
        return True

    def find_waiting(self, key: LimitKey) -> list[Job]:
        """Return the queued jobs that have the key."""
        jobs = map(self.live.find, self.slots.keys.jobs_with(key))
        return [job for job in jobs if job is not None and job.status is QUEUED]

    def stop_run(self, job: Job, *, again: bool = False) -> None:
        """Have the run of a running job asked to end, or asked *again*."""
        self.effects.put_nowait(StopRun(ActiveRun(job_id=job.job_id, run=job.run), again))

    def begin_stop(self) -> None:
        """Let nothing start any more, and nobody wait for a change."""
        self.reasons.is_stopping = True
        self.stop_begun.set()
        self.notifier.close()

    def begin_start(self, job: Job) -> None:
        """Take the next job out of the queue and a slot for it, while its start is stored.

        A job whose submit is stored with it has never been in the queue. Nothing awaits between
        the look at the queue and this, so that both are one step.
        """
        self.reasons.starting.add(job.job_id)
        self.suspects.begin(job)
        if not self.queue.remove_started(job.job_id):
            self.queue.pass_through(job)
            if job.has_place:
                self._newcomers[job.user_id, job.project_id] = job.job_id
        resources = self._job_types.resources_of(job.job_type)
        keys = keys_of(job.limits)
        self.slots.take(job.job_id, job.user_id, resources, keys)
        if self.outages:
            self.outages.begin(job)
        self.gates.refresh_user(job.user_id)
        self.gates.refresh_resources(resources)
        self.gates.refresh_keys(keys)
        self.gates.refresh_lines(job)

    def abandon_start(self, job: Job) -> None:
        """Give the slot of a start that was not stored back; the job waits on if it still may."""
        self._end_start(job)
        self.suspects.take_back(job.job_id)
        self.give_back(job.job_id)
        now = self.live.find(job.job_id)
        if now is not None and now.status is QUEUED:
            self.requeue(now)
        self.gates.refresh_lines(job)

    def requeue(self, job: Job) -> None:
        """Put a queued job at its stored place in the order."""
        self._push(job)
        self.gates.refresh_user(job.user_id)
        self.gates.refresh_type(job.job_type)

    def _end_start(self, job: Job) -> None:
        self.reasons.starting.discard(job.job_id)
        project = (job.user_id, job.project_id)
        if self._newcomers.get(project) == job.job_id:
            del self._newcomers[project]

    def _put(self, job: Job) -> Job | None:
        before = self.live.put(job)
        if before is None or before.version < job.version:
            if job.limits or (before is not None and before.limits):
                self.slots.keys.note(before, job)
            self.families.note(job)
        return before

    def _push(self, job: Job) -> None:
        self.queue.push(
            job,
            is_eligible=not any(self.reasons.of_job(job)),
            resources=self._job_types.resources_of(job.job_type),
        )
        if self.outages:
            self.outages.welcome(job)

    def _move(self, before: Job | None, job: Job) -> None:
        self.due_times.set(job)
        status = job.status
        if before is not None and before.status is RUNNING:
            self._leave_slot(job)
        elif status is RUNNING:
            self._end_start(job)
            self.estimator.began(job, self.clock.monotonic())
        if status is not QUEUED or (before is not None and _has_moved(before, job)):
            self.queue.remove(job.job_id)
        if status is not QUEUED:
            pass
        elif job.job_id not in self.queue and job.job_id not in self.reasons.starting:
            # A job that changes while its start is being stored holds a slot already; it comes
            # back to the queue when that start has turned out to be stale.
            self.requeue(job)
        else:
            self.gates.refresh_job(job)
        if (before is not None and before.limits) or job.limits:
            self._refresh_keys_of(before, job)
        if job.status is RUNNING and job.cancel_requested_at is not None:
            self.stop_run(job)
        if job.parent_id is not None or job.has_children:
            self._move_family(before, job)
        if job.done:
            self.origins.pop(job.job_id, None)
        if before is not None and (before.status, before.place) != (job.status, job.place):
            self.gates.refresh_lines(before if before.has_place else job)

    def _move_family(self, before: Job | None, job: Job) -> None:
        """Let a parent go on whose children are done, and cancel the children of a cancelled."""
        if job.parent_id is not None and job.done:
            parent = self.live.find(job.parent_id)
            self.notifier.wake(job.parent_id)
            if parent is not None:
                self._call_back(parent)
        if job.joins:
            self._call_back(job)
        was_asked = before is not None and before.cancel_requested_at is not None
        is_asked = job.cancel_requested_at is not None
        if job.has_children and is_asked and (job.status is CANCELLED or not was_asked):
            self.effects.put_nowait(CancelChildren(job.job_id))

    def _call_back(self, job: Job) -> None:
        is_suspended = job.status is CREATED and bool(job.joins)
        if is_suspended and not self.families.is_waiting(job):
            self.effects.put_nowait(EnqueueDue(job.job_id))

    def _refresh_keys_of(self, before: Job | None, job: Job) -> None:
        # The number of a key is another one where a job with it came, changed or ended.
        old = () if before is None else before.limits
        if before is None or old is not job.limits or before.done or job.done:
            self.gates.refresh_keys(dict.fromkeys(keys_of((*old, *job.limits))))

    def _leave_slot(self, job: Job) -> None:
        # The slot goes back only here: after the end of the run is stored, and exactly once,
        # since only one committed change leaves `running`.
        if job.status is RUNNING:
            return
        self.give_back(job.job_id)
        is_typical = job.status is COMPLETED
        self.estimator.ended(job.job_id, self.clock.monotonic(), is_typical=is_typical)

    def _check_lines(self, jobs: Sequence[Job]) -> None:
        for user_id, project_id in {(job.user_id, job.project_id) for job in jobs}:
            for job in self.live.in_lines(user_id, project_id):
                if job.place is Place.FOLLOWER and self.head_of(job) is None:
                    self.effects.put_nowait(MakeHead(job.job_id))
            self._call_up(self.live.apart(user_id, project_id))

    def _wants_place(self, job: Job) -> bool:
        return not job.hold and self.is_exclusive(job)

    def _call_up(self, jobs: Sequence[Job]) -> None:
        """Let those who found their line full take a place that has become free."""
        now = self.clock.now()
        for job in jobs:
            if job.joins and self.families.is_waiting(job):
                continue
            is_due = job.start_at is None or job.start_at <= now
            if is_due and self.follower_of(job) is None:
                self.effects.put_nowait(EnqueueDue(job.job_id))

    def _note_due(self, job: Job) -> None:
        if job.status is QUEUED:
            self.gates.refresh_job(job)
            self.look_again.set()
            if job.place is Place.FOLLOWER:
                self.effects.put_nowait(MakeHead(job.job_id))
        elif job.status is CREATED:
            self.effects.put_nowait(EnqueueDue(job.job_id))

    def _note_outage(self, key: LimitKey, freed: Iterable[JobId]) -> None:
        for job_id in freed:
            job = self.live.find(job_id)
            if job is not None and job.status is QUEUED:
                self.gates.refresh_job(job)
        self.gates.refresh_keys((key,))
        self.look_again.set()


def _has_moved(before: Job, job: Job) -> bool:
    return before.dispatch_key != job.dispatch_key or before.limits is not job.limits
