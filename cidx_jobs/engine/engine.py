"""The engine as one part: built from a store, started and stopped in order."""

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol

from cidx_jobs.clock import EngineClock
from cidx_jobs.engine.concurrency import ConcurrencyController
from cidx_jobs.engine.follow.idle import Idleness
from cidx_jobs.engine.follow.long_poll import WaitingRoom
from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.engine.queue.suspects import Suspects
from cidx_jobs.engine.run.executor import LocalExecutor
from cidx_jobs.engine.run.progress import ProgressBook
from cidx_jobs.engine.run.run_record import RunRecorder
from cidx_jobs.engine.run.runner import Runner
from cidx_jobs.engine.run.scheduler import Scheduler
from cidx_jobs.engine.run.stall_watch import StallWatch
from cidx_jobs.engine.run.usage import ResourceWatch
from cidx_jobs.engine.schedules.polls import Polls
from cidx_jobs.engine.schedules.schedules import Schedules
from cidx_jobs.engine.schedules.timer import ScheduleTimer
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.effect_runner import EffectRunner
from cidx_jobs.engine.state.notifier import Notifier
from cidx_jobs.engine.state.record import JobLedger
from cidx_jobs.engine.submit.admission import Admission
from cidx_jobs.engine.upkeep.doctor import MemoryDoctor, list_notes
from cidx_jobs.engine.upkeep.janitor import Janitor
from cidx_jobs.engine.upkeep.project_removal import Projects
from cidx_jobs.engine.upkeep.retention import Retention, RetentionTimes
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.remotes import Remotes
from cidx_jobs.interfaces.run import ChildRunner, Middleware
from cidx_jobs.interfaces.store.files import CopyFiles
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.interfaces.traces import Traces
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.errors import SettingsError
from cidx_jobs.model.findings import Finding, Recovery
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.model.limits import Limits
from cidx_jobs.model.listing import Project, StoreIdentity
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.settings import Settings

_log = get_logger("engine")


class Engine:
    """Everything that moves jobs, between a store that is open and the handlers."""

    def __init__(
        self, *, settings: Settings, store: Persistence, identity: StoreIdentity,
        job_types: JobTypes, children: ChildRunner, clock: Clock, files: CopyFiles,
        middlewares: Sequence[Middleware] = (), schedules: Sequence[Schedule] = (),
        remotes: Remotes | None = None, traces: Traces | None = None,
        chance: random.Random | None = None,
    ) -> None:  # fmt: skip
        """Build the parts; nothing runs yet."""
        self._settings = settings
        self._store = store
        self._job_types = job_types
        self._declared = schedules
        self.slots: Slots = Slots(settings.limits)
        self.board: Board = Board(
            clock=clock,
            engine_clock=EngineClock(clock, identity.clock_seconds),
            job_types=job_types,
            queue=JobQueue(settings.ageing_seconds_per_level, drift=settings.max_running_per_user),
            slots=self.slots,
            notifier=Notifier(),
            suspects=Suspects(clock, settings.poison_after),
            outage_seconds=settings.git_outage_seconds,
        )
        self._ledger = JobLedger(store.jobs, self.board)
        recorder = RunRecorder(store.jobs, self.board, self._ledger, identity.epoch)
        self._book = ProgressBook(recorder.save_progress, settings.progress_interval_seconds)
        self._executor = LocalExecutor(
            Runner(
                job_types=job_types,
                recorder=recorder,
                book=self._book,
                board=self.board,
                children=children,
                clock=clock,
                retry_policy=RetryPolicy(
                    base_seconds=settings.retry_base_seconds,
                    cap_seconds=settings.retry_cap_seconds,
                ),
                random=chance or random.SystemRandom(),
                max_result_bytes=settings.max_result_bytes,
                find_manager=lambda: self.manager,
                max_children=settings.max_children,
                middlewares=middlewares,
                traces=traces,
            )
        )
        self._stalls = StallWatch(clock, self._executor.trackers)
        self._resources = ResourceWatch(children.find_by_run, self._executor.find)
        self.scheduler: Scheduler = Scheduler(self.board, recorder, self._executor)
        self._waiting_room = WaitingRoom(self.board, self._ledger)
        self._retention = Retention(
            store.jobs, store.tokens, self.board, RetentionTimes.of(settings)
        )
        self._janitor = Janitor(
            store=store.jobs,
            retention=self._retention,
            board=self.board,
            recorder=recorder,
            executor=self._executor,
            job_types=job_types,
            poison_after=settings.poison_after,
            stopped_epoch=identity.stopped_epoch,
        )
        self._doctor = MemoryDoctor(
            store=store.jobs,
            board=self.board,
            executor=self._executor,
            job_types=job_types,
            interrupt=self._janitor.interrupt_lost,
        )
        admission = Admission(
            settings=settings,
            store=store.jobs,
            projects=store.projects,
            board=self.board,
            ledger=self._ledger,
            scheduler=self.scheduler,
            job_types=job_types,
            notices=store.end_notices,
        )
        self.manager: SyncJobManager = SyncJobManager(
            store=store.jobs,
            controls=store.controls,
            board=self.board,
            ledger=self._ledger,
            admission=admission,
            waiting_room=self._waiting_room,
            job_types=job_types,
            retention=self._retention,
            recorder=recorder,
        )
        self.schedules: Schedules = Schedules(store.schedules, self.board, admission, self.manager)
        self._schedule_timer = ScheduleTimer(store.schedules, self.board, admission)
        self._polls = Polls(
            store=store,
            board=self.board,
            admission=admission,
            remotes=remotes,
            per_host=settings.git_per_host,
            stopped_at=identity.clock_seconds,
        )
        self.projects: Projects = Projects(
            store.projects, self.board, files, settings.project_retention_seconds
        )
        self._effects = EffectRunner(
            self.board, self._ledger, self._executor, give_up=recorder.give_up
        )
        self.idleness: Idleness = Idleness(
            self.board, self._effects, self._schedule_timer, self._polls
        )
        self.concurrency: ConcurrencyController = ConcurrencyController(self.board, self.scheduler)
        self._grace_seconds = 0.0
        self._started = contextlib.AsyncExitStack()

    async def check_retention(self) -> None:
        """Check that settings keep jobs of no type by a time that there is not (`Retention`).

        Raises:
            SettingsError: they do.
        """
        await self._retention.check_types(self._job_types)

    async def start(self, before: Recovery) -> Recovery:
        """Recover what an older server left, then begin to start jobs.

        Returns the counts of the recovery, with those of *before*, which was done until now.

        Raises:
            SettingsError: a job type holds a resource that no setting names.
        """
        await self.load_controls()
        for refusal in find_unlimited(self._job_types, self.board.slots.limits):
            if self._settings.handlers is None:
                raise refusal
            # A server that somebody gave a module of types has others to serve. Jobs of this one
            # wait and say for what.
            _log.warning("resource_missing", message=refusal.message)
        async with contextlib.AsyncExitStack() as started:
            await self._start_each(
                started,
                self._effects,
                self.board.hooks,
                self._waiting_room,
                self._book,
                self._stalls,
                self._resources,
            )
            started.callback(self.board.due_times.close)
            started.callback(self.board.outages.close)
            await self._executor.start()
            started.push_async_exit(self._stop_executor)
            recovery = await self._janitor.recover(before)
            await self.schedules.load()
            await self.schedules.declare(self._declared)
            await self._start_each(
                started,
                self._janitor,
                self.projects,
                self.scheduler,
                self._schedule_timer,
                self._polls,
            )
            self._started = started.pop_all()
        return recovery

    async def load_controls(self) -> None:
        """Put the limits and pauses in force that an administrator left."""
        limits, pauses = await self._store.controls.load_controls()
        if limits is not None:
            self.board.set_limits(limits)
        self.board.set_pauses(pauses)

    async def stop(self, grace_seconds: float) -> None:
        """Start nothing new, let runs end within the grace time, interrupt the rest.

        The parts stop in the reverse of the order in which they were started.
        """
        self._grace_seconds = grace_seconds
        self.manager.begin_stop()
        await self._started.aclose()

    async def examine(self) -> Sequence[Finding]:
        """Compare the memory with the store; return what does not fit together, if anything."""
        return [*await self._doctor.examine(), *await self.schedules.examine()]

    async def set_sync_interval(
        self, user_id: UserId, project_id: ProjectId, every: int | str | None
    ) -> Project:
        """Keep how often a project's remote is asked for news; see `Polls.set_interval`."""
        return await self._polls.set_interval(user_id, project_id, every)

    async def mend(self) -> None:
        """Let the memory follow the store again, and end runs that nothing runs."""
        await self._doctor.mend()
        await self.schedules.mend()

    def list_notes(self) -> Sequence[Finding]:
        """List what an operator should know of and what is no fault."""
        own = [
            *self._retention.list_notes(self._job_types),
            *self.schedules.list_notes(),
            *self._polls.list_notes(),
        ]
        return [*list_notes(self.board), *own]

    def hurry(self) -> None:
        """Interrupt what still runs at once."""
        self._executor.hurry()

    async def _start_each(self, started: contextlib.AsyncExitStack, *parts: "_Part") -> None:
        for part in parts:
            await part.start()
            started.push_async_callback(part.stop)

    async def _stop_executor(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        # Only a loop that is torn down around the stop, as by a second Ctrl-C, cancels it: that
        # waits for every task, and the store, which the runs would wait for, is gone.
        is_torn_down = kind is not None and issubclass(kind, asyncio.CancelledError)
        try:
            if not is_torn_down:
                await self._executor.stop(self._grace_seconds)
        finally:
            self._executor.give_up()


class _Part(Protocol):
    """What is started and stopped with the engine."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End; stopping twice is fine."""


def find_unlimited(job_types: JobTypes, limits: Limits) -> Iterator[SettingsError]:
    """Yield a refusal of each job type that holds a resource without a limit.

    Its jobs would wait until an administrator sets one.
    """
    for job_type in job_types.values():
        unknown = set(job_type.resources) - set(limits.resources)
        if unknown:
            message = (
                f"resources: the job type {job_type.name} holds {min(unknown)}, "
                "and the setting names no such resource"
            )
            yield SettingsError(message)
