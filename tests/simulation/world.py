"""One simulated life of an engine: what its users do, and what must hold all the time."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import attrs

from cidx_jobs.engine.engine import Engine
from cidx_jobs.engine.queue.outages import Outage
from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType, JobTypes
from cidx_jobs.model.errors import CidxJobsError, Fatal, HostDownError, Retryable
from cidx_jobs.model.findings import Recovery
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.events import Hold
from cidx_jobs.model.job.job import Job, JobStatus, Outcome, Transition
from cidx_jobs.model.job.key_limits import LimitKey, key_of_host, keys_of
from cidx_jobs.model.job.lifecycle import TRANSITIONS, advance
from cidx_jobs.model.job.submit import OnConflict, SubmitRequest
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import Change, EventQuery
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from tests.fakes import FakeClock, NoChildren, NoFiles
from tests.simulation.virtual import SlowStore, VirtualLoop

USERS = ("ann", "ben", "cleo")
TYPES = ("plain", "sync", "export", "gpu", "shared", "remote", "remote")
SHARED_LIMIT = 2
HOST = "code.example.org"
"""Asked by the jobs of type ``remote``, and down now and then."""
STEPS = 60
CALM_SECONDS = 3_000.0
"""Virtual time in which everything must become final once the faults are off."""
_RECENT_SECONDS = 2.0


class WorldError(AssertionError):
    """Something that is promised did not hold."""


class World:
    """Users, handlers and checks around one engine, all drawn from one seed."""

    def __init__(self, seed: int, make_engine: Callable[..., Engine] = Engine) -> None:
        """Make the world; *make_engine* may be a subclass with a planted fault."""
        self.random = Random(seed)  # noqa: S311 - chance, not secrecy
        self.clock = FakeClock()
        self.loop = VirtualLoop(self.clock)
        self.store = SlowStore(self.random)
        self.persistence = MemoryPersistence(self.store.database, jobs=self.store)
        self.engine: Engine | None = None
        self.is_calm = False
        self._make_engine = make_engine
        self._poison_after = self.random.choice([0, 1, 3])
        self._outage_seconds = self.random.choice([0, 10, 1_000])
        self._is_host_down = False
        self._probing: dict[JobId, Outage] = {}
        """Who asks the host now because it is that one's turn, and in which outage."""
        self._submitted: list[JobId] = []
        self._dead: set[JobId] = set()
        self._told_to_stop: set[JobId] = set()
        self._active: set[JobId] = set()
        self._limits = [(0.0, Limits(max_running_per_user=2, max_running_total=4))]
        self._numbers: dict[LimitKey, list[tuple[float, int]]] = {}
        """The number of each key, whenever it may have become another one."""
        self._versions: dict[JobId, int] = {}
        self._broken: list[WorldError] = []

    def run(self) -> None:
        """Live the whole life; raise `WorldError` where a promise is broken."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._live())
            if self._broken:
                raise self._broken[0]
        finally:
            self._end_all()
            asyncio.set_event_loop(None)
            self.loop.close()

    def _end_all(self) -> None:
        """Leave no task behind, also where a promise was broken in the middle of a life."""
        self.store.is_dead = True
        self.is_calm = True
        self.loop.on_idle = _do_nothing
        while rest := asyncio.all_tasks(self.loop):
            for task in rest:
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(rest, timeout=1))

    # What users, operators and faults do.

    async def _live(self) -> None:
        await self._open()
        for _ in range(STEPS):
            self.store.refusals = self.random.choice([0, 0, 0, 0.2])
            await self._attempt(self.random.choice(self._deeds()))
            await asyncio.sleep(self.random.choice([0, 0, 0.01, 0.5, 3]))
        await self._calm_down()
        await self._check_log()
        await self._close()

    def _deeds(self) -> list[Callable[[], Awaitable[Any]]]:
        often = [self._submit] * 6 + [self._cancel] * 3
        seldom = [self._retry, self._revise, self._release, self._change_limits, self._pause]
        deaths = [self._restart, self._crash, self._restore_held]
        return [*often, *seldom, self._turn_host, self._turn_host, *deaths]

    async def _attempt(self, deed: Callable[[], Awaitable[Any]]) -> None:
        if deed in {self._restart, self._crash, self._restore_held}:
            await deed()
            return
        # What is refused is refused; several users do things at the same moment.
        count = self.random.choice([1, 1, 2, 5])
        results = await asyncio.gather(*[deed() for _ in range(count)], return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, CidxJobsError):
                raise result

    async def _submit(self) -> None:
        request = SubmitRequest(
            user_id=UserId(self.random.choice(USERS)),
            project_id=ProjectId(self.random.choice("pq")),
            job_type=self.random.choice(TYPES),
            priority=self.random.choice([1, 5, 5, 9]),
            hold=self.random.random() < 0.1,
            limits=self._draw_limits(),
            start_at=self._some_time(),
            max_attempts=self.random.choice([1, 2, 3]),
            timeout_seconds=self.random.choice([5, 60]),
            on_conflict=self.random.choice(list(OnConflict)),
        )
        submission = await self._manager.create_job(request)
        self._submitted.append(submission.job.job_id)

    def _some_time(self) -> datetime | None:
        if self.random.random() < 0.8:
            return None
        return self.clock.now() + timedelta(seconds=self.random.choice([1, 5, 20]))

    async def _cancel(self) -> None:
        job_id = self._some_job()
        job = await self._manager.cancel_job(job_id)
        if job.status is JobStatus.CANCELLED:
            self._dead.add(job_id)
        elif job.status is JobStatus.RUNNING:
            self._told_to_stop.add(job_id)

    async def _retry(self) -> None:
        job_id = self._some_job()
        # A retry may be stored before it is answered, and another user may retry it, too: from
        # here the job may live again.
        self._dead.discard(job_id)
        self._told_to_stop.discard(job_id)
        await self._manager.retry_job(job_id, from_start=self.random.random() < 0.5)

    async def _revise(self) -> None:
        await self._manager.revise_job(self._some_job(), priority=self.random.randrange(10))

    async def _release(self) -> None:
        await self._manager.start_job(self._some_job())

    async def _change_limits(self) -> None:
        limits = Limits(
            max_running_per_user=self.random.choice([1, 2, 3]),
            max_running_total=self.random.choice([1, 3, 5]),
            resources={"gpu": self.random.choice([1, 2])},
        )
        self._limits.append((self.clock.monotonic(), limits))
        await self._manager.set_controls(limits=limits)

    async def _pause(self) -> None:
        pauses = self.random.choice(
            [
                Pauses(),
                Pauses(everything=True),
                Pauses(draining=True),
                Pauses(users=frozenset({UserId("ann")})),
                Pauses(job_types=frozenset({"sync"})),
            ]
        )
        await self._manager.set_controls(pauses=pauses)

    async def _turn_host(self) -> None:
        self._is_host_down = not self._is_host_down

    async def _restart(self) -> None:
        await self._close()
        await self._open()

    async def _crash(self) -> None:
        self.loop.on_idle = _do_nothing
        await self._end_process()
        await self._open()

    async def _restore_held(self) -> None:
        """Die, and go on with what is stored as a restore with ``--hold`` leaves it."""
        self.loop.on_idle = _do_nothing
        await self._end_process()
        self.store.revive()
        self.store.refusals = 0
        await self.persistence.open()
        for job in await self.persistence.jobs.load_unfinished_jobs():
            if job.hold or job.cancel_requested_at is not None:
                continue
            held, row = advance(job, Hold(reason="restored"), self.clock.now())
            change = Change(job=held, base_version=job.version, transitions=(row,), before=job)
            await self.persistence.jobs.save_changes([change])
        await self._open()

    async def _end_process(self) -> None:
        self.store.is_dead = True
        own = asyncio.current_task()
        # Cancelled again and again: a handler may ignore it, a process that ends cannot.
        while rest := [task for task in asyncio.all_tasks() if task is not own]:
            for task in rest:
                task.cancel()
            await asyncio.wait(rest, timeout=1)
        self._active.clear()

    async def _open(self) -> None:
        self.store.revive()
        identity = await self.persistence.open()
        self.engine = self._make_engine(
            settings=Settings(
                retry_base_seconds=0.1, retry_cap_seconds=2, max_running_per_user=2,
                max_running_total=4, resources={"gpu": 1}, poison_after=self._poison_after,
                git_outage_seconds=self._outage_seconds,
            ),
            store=self.persistence,
            identity=identity,
            job_types=JobTypes(
                [
                    JobType("plain", self._work),
                    JobType("sync", self._work, exclusive=True),
                    JobType("export", self._work, exclusive=True),
                    JobType("gpu", self._work, resources=("gpu",)),
                    JobType("shared", self._work, limits={"red": SHARED_LIMIT}),
                    JobType("remote", self._work, exclusive=True, limits={f"host:{HOST}": 3}),
                ]
            ),
            children=NoChildren(),
            clock=self.clock,
            files=NoFiles(),
            chance=self.random,
        )  # fmt: skip
        self.engine.board.hooks.add_observer(self._note)
        self.store.refusals = 0
        await self.engine.start(Recovery())
        self.loop.on_idle = self._check_idle

    async def _close(self) -> None:
        self.loop.on_idle = _do_nothing
        self.store.refusals = 0
        assert self.engine is not None
        await self.engine.stop(0)
        await self.persistence.close()
        await self._end_process()

    async def _calm_down(self) -> None:
        """Turn the faults off; everything must become final."""
        self.is_calm = True
        self.store.refusals = 0
        await self._manager.set_controls(limits=Limits(resources={"gpu": 2}), pauses=Pauses())
        self._limits.append((self.clock.monotonic(), Limits()))
        deadline = self.clock.monotonic() + CALM_SECONDS
        while jobs := [job for job in self._board.live if not job.done]:
            if self.clock.monotonic() > deadline:
                message = f"stuck: {[(j.job_id, j.status, j.place, j.hold) for j in jobs]}"
                raise WorldError(message)
            for job in jobs:
                if job.hold:
                    with contextlib.suppress(CidxJobsError):
                        await self._manager.start_job(job.job_id)
            await asyncio.sleep(1)

    # What a job does.

    async def _work(self, context: JobContext) -> dict[str, Any]:
        job_id = context.job.job_id
        self._hold(job_id not in self._active, f"two runs of {job_id} at a time")
        self._active.add(job_id)
        try:
            if context.job.job_type == "remote":
                await self._ask_host(context)
            for _ in range(self.random.choice([0, 1, 3])):
                await self._sleep(self.random.choice([0, 0.01, 1, 8]))
                await context.report(percent=self.random.randrange(100))
                if self.random.random() < 0.2:
                    await context.save_checkpoint(self.random.randrange(10))
            return self._end()
        finally:
            self._active.discard(job_id)

    async def _ask_host(self, context: JobContext) -> None:
        job_id, started_at = context.job.job_id, context.job.started_at
        outage = self._board.outages.find(key_of_host(HOST))
        assert started_at is not None
        # Whose start was under way when the host was marked is no probe.
        if outage is not None and started_at > outage.since + timedelta(seconds=_RECENT_SECONDS):
            others = [other for other, same in self._probing.items() if same is outage]
            self._hold(not others, f"{job_id} and {others} probe at a time")
            self._probing[job_id] = outage
        seconds = self.random.choice([0, 0.1, 15])
        try:
            await self._sleep(seconds)
        finally:
            self._probing.pop(job_id, None)
        if self._is_host_down and not self.is_calm:
            raise HostDownError(HOST, silent_seconds=seconds)
        context.note_host_answer(HOST)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if self.is_calm or self.store.is_dead or self.random.random() < 0.8:
                raise
            await asyncio.sleep(3)

    def _end(self) -> dict[str, Any]:
        draw = 1.0 if self.is_calm else self.random.random()
        if draw < 0.1:
            message = "boom"
            raise RuntimeError(message)
        if draw < 0.15:
            raise Fatal
        if draw < 0.25:
            raise Retryable(after=self.random.choice([0, 1]))
        return {}

    # What must hold.

    def _note(self, job: Job, rows: Sequence[Transition]) -> None:
        for row in rows:
            self._note_row(job, row)

    def _note_row(self, job: Job, row: Transition) -> None:
        before = row.from_status
        self._hold(TRANSITIONS.get((before, row.event)) is row.to_status, f"edge {row}")
        last = self._versions.get(job.job_id, 0)
        self._hold(row.version > last, f"version {row.version} of {job.job_id} after {last}")
        self._versions[job.job_id] = row.version
        self._note_numbers(job)
        if row.event == "start" and job.status is JobStatus.RUNNING:
            # One that has waited for a host for too long starts and fails at once, with no slot.
            self._check_start(job)
            self._check_order(job)
        if row.to_status.is_final and job.job_id in self._told_to_stop:
            self._hold(
                job.status is JobStatus.CANCELLED, f"{job.job_id} was told to stop: {job.status}"
            )

    def _check_start(self, job: Job) -> None:
        self._hold(job.job_id not in self._dead, f"{job.job_id} started after its cancel")
        self._hold(not job.hold, f"{job.job_id} started while it was held")
        running = self._board.live.running()
        limits = self._limits_in_force()
        of_user = sum(each.user_id == job.user_id for each in running)
        self._hold(
            of_user <= max(limit.max_running_per_user for limit in limits), f"{of_user} run"
        )
        self._hold(
            len(running) <= max(limit.max_running_total for limit in limits), f"{len(running)} run"
        )
        for each in job.limits:
            self._check_key(each.key, running)
        line = [
            each
            for each in running
            if each.has_place and (each.user_id, each.project_id) == (job.user_id, job.project_id)
        ]
        self._hold(len(line) <= 1, f"two exclusive runs: {line}")

    def _check_order(self, job: Job) -> None:
        """Check that nobody who differs in nothing but an earlier arrival is passed over."""
        if job.run > 1 or job.has_place or job.limits:
            return
        kind = (job.user_id, job.job_type, job.priority)
        for other in self._board.live:
            is_alike = (other.user_id, other.job_type, other.priority) == kind
            if other.status is not JobStatus.QUEUED or not is_alike or other.run or other.limits:
                continue
            if other.job_id in self._board.reasons.starting:
                continue
            assert other.dispatch_key is not None
            assert job.dispatch_key is not None
            is_before = other.dispatch_key.arrival < job.dispatch_key.arrival
            self._hold(not is_before, f"{job.job_id} starts before {other.job_id}")

    def _check_key(self, key: LimitKey, running: list[Job]) -> None:
        held = sum(key in keys_of(each.limits) for each in running)
        # A start that was under way took its place by a number that may be another by now.
        now = self.clock.monotonic()
        numbers = self._numbers[key]
        older = [number for at, number in numbers if at < now - _RECENT_SECONDS]
        recent = [number for at, number in numbers if at >= now - _RECENT_SECONDS]
        allowed = max([*older[-1:], *recent])
        self._hold(held <= allowed, f"{held} with {key} run, {allowed} may")

    def _note_numbers(self, job: Job) -> None:
        for key in keys_of(job.limits):
            number = self._newest_number(key)
            if number is not None:
                self._numbers.setdefault(key, []).append((self.clock.monotonic(), number))

    def _newest_number(self, key: LimitKey) -> int | None:
        numbers = [
            (each.set_at, job.job_id, each.limit)
            for job in self._board.live
            for each in job.limits
            if each.key == key
        ]
        return max(numbers)[-1] if numbers else None

    def _limits_in_force(self) -> list[Limits]:
        # A start that was under way while a limit was lowered took its slot by the old one.
        now = self.clock.monotonic()
        recent = [limits for at, limits in self._limits if at >= now - _RECENT_SECONDS]
        older = [limits for at, limits in self._limits if at < now - _RECENT_SECONDS]
        return [*recent, *older[-1:]]

    def _check_idle(self) -> None:
        """Check what holds whenever nothing is under way and time is about to pass."""
        board = self._board
        if self.store.in_flight or self.loop.time() - self.store.refused_at < _RECENT_SECONDS:
            return
        running = {job.job_id for job in board.live.running()}
        holders = set(board.slots.holders())
        self._hold(running == holders, f"running {running}, holding {holders}")
        keys = Counter(key for job in board.live.running() for key in keys_of(job.limits))
        held = board.slots.keys.used()
        self._hold(held == keys, f"{keys} run, {held} are held")
        queued = {job.job_id for job in board.live if job.status is JobStatus.QUEUED}
        self._hold(queued == set(board.queue), f"queued {queued}, in the queue {set(board.queue)}")
        next_one = board.find_next()
        self._hold(next_one is None, f"{next_one} could start, and nobody starts it")
        for job_id in board.queue:
            job = board.live.find(job_id)
            place = self._manager.queue_status(job)
            self._hold(bool(place.blocked_by), f"{job_id} waits and is told no reason")

    async def _check_log(self) -> None:
        """Replay the log: each job's rows are a way through the table that ends where it is."""
        for job_id in dict.fromkeys(self._submitted):
            rows = await self.store.query_events(EventQuery(job_id=job_id, limit=10_000))
            job = await self.store.load_job(job_id)
            assert job is not None
            status: JobStatus | None = None
            for row in rows:
                self._hold(row.from_status is status, f"{job_id}: {row} after {status}")
                status = row.to_status
            self._hold(job.status is status, f"{job_id} is {job.status}, its log says {status}")
            starts = sum(row.event == "start" for row in rows)
            self._hold(job.run == starts, f"{job_id}: run {job.run}, {starts} starts")
            self._hold(len(job.attempts) == starts, f"{job_id}: {starts} starts, {job.attempts}")
            paid = sum(each.outcome is not Outcome.INTERRUPTED for each in job.attempts)
            self._hold(job.attempt == paid, f"{job_id}: attempt {job.attempt}, {job.attempts}")

    def _hold(self, holds: bool, message: str) -> None:
        if not holds:
            # Kept, too: an observer's error harms nothing, so that nobody would hear of it.
            self._broken.append(WorldError(message))
            raise self._broken[-1]

    def _draw_limits(self) -> dict[str, int]:
        if self.random.random() < 0.5:
            return {}
        keys = self.random.sample(("red", "blue"), self.random.choice([1, 2]))
        return {key: self.random.choice([1, 2, 3]) for key in keys}

    @property
    def _manager(self) -> Any:
        assert self.engine is not None
        return self.engine.manager

    @property
    def _board(self) -> Any:
        assert self.engine is not None
        return self.engine.board

    def _some_job(self) -> JobId:
        if not self._submitted:
            return JobId("019a0000-0000-7000-8000-000000000000")
        return self.random.choice(self._submitted[-12:])


@attrs.frozen
class Found:
    """A seed and what went wrong in it."""

    seed: int
    error: BaseException


def find_fault(seed: int, make_engine: Callable[..., Engine] = Engine) -> Found | None:
    """Live one seed's life; give what was broken in it, if anything."""
    try:
        World(seed, make_engine).run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed is to be named
        return Found(seed, error)
    return None


def _do_nothing() -> None:
    return
