"""How much does the queue cost, at 1,000 to 1,000,000 waiting jobs?

Jobs of 1,000 users and two types wait. Measured one at a time: a key with its push, a start (the
next startable job, out of the queue), the rank of any job, and an estimate as readers ask for it;
then what dispatching a job adds to the loop (next, slot, gates, slot back), the same where each
job has one of 10,000 keys of which one job runs at a time, and the memory of 100,000 waiting jobs
with all that is kept of them. Times are CPU time for one step.
"""

import gc
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from time import thread_time

import attrs
from msgspec.structs import replace

from bench.harness import Bench, Figure, progress
from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.engine.queue.wait_estimate import WaitEstimator
from cidx_jobs.model.ids import JobId, ProjectId, UserId, make_job_id
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.key_limits import KeyLimit, KeyLimits, LimitKey, keys_of
from cidx_jobs.model.limits import Limits

USERS = tuple(UserId(f"user-{number}") for number in range(1_000))
TYPES = ("repository_sync", "report")
SIZES = (1_000, 10_000, 100_000)
MANY = 1_000_000
STEPS = 500
"""Steps measured in one round; the size of the queue changes by no more."""

RANKS = 10_000
"""Ranks asked for in one round."""

KEYS = 10_000
KEYED_RUNNING = 50

MICROSECONDS = 1e6
MIB = 2**20

AT = datetime(2026, 1, 2, tzinfo=UTC)
PATTERN = Job(
    job_id=JobId(""),
    job_type=TYPES[0],
    user_id=USERS[0],
    project_id=ProjectId("project"),
    status=JobStatus.QUEUED,
    version=2,
    priority=5,
    max_attempts=3,
    attempts_granted=3,
    timeout_seconds=3_600,
    created_at=AT,
    updated_at=AT,
)


@attrs.define
class Crowd:
    """A queue, and an endless supply of jobs of random users, with one of *keys* each if any."""

    keys: tuple[LimitKey, ...] = ()

    queue: JobQueue = attrs.field(factory=JobQueue)
    random: Random = attrs.field(factory=lambda: Random(1))
    made: int = 0
    job_ids: list[JobId] = attrs.field(factory=list)
    slots: Slots = attrs.field(factory=lambda: Slots(Limits(max_running_per_user=50)))
    jobs: dict[JobId, Job] = attrs.field(factory=dict)
    """Those that wait, and have keys."""
    running: deque[Job] = attrs.field(factory=deque)

    def make(self) -> Job:
        """Make a job without a key; a job a millisecond."""
        self.made += 1
        return replace(
            PATTERN,
            job_id=make_job_id(self.made, 0, self.random.getrandbits(62)),
            user_id=self.random.choice(USERS),
            job_type=TYPES[self.made % 2],
            priority=self.random.choice((3, 5, 5, 5, 9)),
            limits=self._draw_limits(),
        )

    def push(self, job: Job) -> Job:
        """Give the job a key, and let it wait."""
        key = self.queue.make_key(job.user_id, job.priority, self.made / 1_000, job.job_type)
        queued = replace(job, dispatch_key=key)
        self.queue.push(queued)
        if queued.limits:
            self.jobs[queued.job_id] = queued
            self.slots.keys.note(None, queued)
        return queued

    def grow(self, size: int) -> None:
        """Let jobs come until *size* of them wait."""
        while len(self.queue) < size:
            self.job_ids.append(self.push(self.make()).job_id)

    def _draw_limits(self) -> KeyLimits:
        if not self.keys:
            return ()
        return (KeyLimit(key=self.random.choice(self.keys), limit=1, set_at=0.0),)


def push_seconds(crowd: Crowd) -> float:
    """Measure a key and a push, and take the jobs out again."""
    jobs = [crowd.make() for _ in range(STEPS)]
    queue, seconds = crowd.queue, 0.0
    with quiet():
        for job in jobs:
            began = thread_time()
            key = queue.make_key(job.user_id, job.priority, crowd.made / 1_000, job.job_type)
            seconds += thread_time() - began
            queued = replace(job, dispatch_key=key)
            began = thread_time()
            queue.push(queued)
            seconds += thread_time() - began
    for job in jobs:
        queue.remove(job.job_id)
    return seconds / STEPS * MICROSECONDS


def start_seconds(crowd: Crowd) -> float:
    """Measure the next startable job and its way out, and put as many in again."""
    queue = crowd.queue
    with quiet():
        began = thread_time()
        for _ in range(STEPS):
            job_id = queue.next_startable()
            assert job_id is not None
            queue.remove_started(job_id)
        seconds = thread_time() - began
    crowd.job_ids = [job_id for job_id in crowd.job_ids if job_id in queue]
    crowd.grow(len(queue) + STEPS)
    return seconds / STEPS * MICROSECONDS


def position_seconds(crowd: Crowd) -> float:
    """Measure the ranks of any waiting jobs."""
    asked = [crowd.random.choice(crowd.job_ids) for _ in range(RANKS)]
    with quiet():
        began = thread_time()
        for job_id in asked:
            crowd.queue.position(job_id)
        seconds = thread_time() - began
    return seconds / RANKS * MICROSECONDS


def dispatch_seconds(crowd: Crowd) -> float:
    """Measure what the scheduler does for a job in memory, from the choice to the slot back."""
    queue, slots = crowd.queue, Slots(Limits())
    owners = {job_id: user for user in USERS for job_id in queue.jobs_of(user)}
    with quiet():
        began = thread_time()
        for _ in range(STEPS):
            job_id = queue.next_startable()
            assert job_id is not None
            queue.remove_started(job_id)
            user = owners[job_id]
            slots.take(job_id, user)
            queue.set_user_open(user, is_open=slots.has_user_room(user))
            slots.give_back(job_id)
            queue.set_user_open(user, is_open=slots.has_user_room(user))
        seconds = thread_time() - began
    crowd.job_ids = [job_id for job_id in crowd.job_ids if job_id in queue]
    crowd.grow(len(queue) + STEPS)
    return seconds / STEPS * MICROSECONDS


def keyed_seconds(crowd: Crowd) -> float:
    """Measure the same of jobs with keys, while 50 run: each closes the gate of its key."""
    queue, slots, running = crowd.queue, crowd.slots, crowd.running
    ended = []
    with quiet():
        began = thread_time()
        for _ in range(STEPS):
            job_id = queue.next_startable()
            assert job_id is not None
            queue.remove_started(job_id)
            job = crowd.jobs.pop(job_id)
            keys = keys_of(job.limits)
            slots.take(job_id, job.user_id, (), keys)
            queue.set_key_open(keys[0], is_open=slots.keys.has_room(keys[0]))
            running.append(job)
            if len(running) == KEYED_RUNNING:
                oldest = running.popleft()
                ended.append(oldest)
                (key,) = slots.give_back(oldest.job_id).keys
                queue.set_key_open(key, is_open=slots.keys.has_room(key))
        seconds = thread_time() - began
    for job in ended:
        slots.keys.note(job, replace(job, status=JobStatus.COMPLETED))
    crowd.grow(len(queue) + STEPS)
    return seconds / STEPS * MICROSECONDS


def estimate_seconds(crowd: Crowd) -> float:
    """Measure estimates for any jobs while 50 run, a thousand readers a second."""
    queue, slots = crowd.queue, Slots(Limits())
    estimator = WaitEstimator(queue, slots)
    for number in range(50):
        job = replace(crowd.make(), user_id=USERS[number])
        for begun in range(40):
            estimator.began(job, float(begun))
            estimator.ended(job.job_id, begun + crowd.random.uniform(10, 60))
        slots.take(job.job_id, job.user_id)
        estimator.began(job, 100.0)
    pattern = replace(PATTERN, user_id=USERS[999])
    asked = [replace(pattern, job_id=each) for each in queue.jobs_of(USERS[999])]
    jobs = [crowd.random.choice(asked) for _ in range(STEPS)]
    with quiet():
        began = thread_time()
        for number, job in enumerate(jobs):
            assert estimator.estimate(job, 101.0 + number / 1_000) is not None
        seconds = thread_time() - began
    return seconds / STEPS * MICROSECONDS


def resident_mebibytes(size: int) -> float:
    """Measure what *size* waiting jobs and the queue take, in a process of its own."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        before = resident_bytes()
        crowd = Crowd()
        kept = {job.job_id: job for job in (crowd.push(crowd.make()) for _ in range(size))}
        assert len(kept) == len(crowd.queue) == size
        os.write(write_end, str((resident_bytes() - before) / MIB).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, encoding="ascii") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return float(text)


def resident_bytes() -> int:
    """Give the resident memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the garbage collector out of what is measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def rounds(
    bench: Bench, name: str, side: Callable[[], float], *, at_most: float | None = None
) -> Figure:
    """Measure one side in every round, after one that is thrown away."""
    values = [side() for _ in range(bench.rounds + 1)]
    return bench.figure(name, values[1:], unit="us", at_most=at_most)


def main() -> None:
    """Measure each step at each size; goals are P7 and P12 of the performance goals."""
    with Bench("queue", settings={"users": len(USERS), "types": len(TYPES)}) as bench:
        memory = [resident_mebibytes(SIZES[-1]) for _ in range(bench.rounds)]
        bench.figure(f"memory of {SIZES[-1]:,}", memory, unit="MiB", at_most=150)
        crowd = Crowd()
        for size in SIZES:
            crowd.grow(size)
            rounds(bench, f"push at {size:,}", partial(push_seconds, crowd))
            rounds(bench, f"start at {size:,}", partial(start_seconds, crowd))
            rounds(bench, f"position at {size:,}", partial(position_seconds, crowd))
            rounds(bench, f"estimate at {size:,}", partial(estimate_seconds, crowd), at_most=50)
            rounds(bench, f"dispatch at {size:,}", partial(dispatch_seconds, crowd), at_most=100)
        keyed = Crowd(tuple(LimitKey(f"tenant:{number}", None) for number in range(KEYS)))
        for size in SIZES:
            keyed.grow(size)
            name = f"dispatch at {size:,} with {KEYS:,} keys"
            rounds(bench, name, partial(keyed_seconds, keyed), at_most=100)
        progress(f"filling the queue to {MANY:,}")
        crowd.grow(MANY)
        rounds(bench, f"position at {MANY:,}", partial(position_seconds, crowd), at_most=15)


if __name__ == "__main__":
    main()
