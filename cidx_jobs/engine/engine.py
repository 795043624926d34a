"""The engine as one part: built from a store, started and stopped in order."""

import random
from collections.abc import Sequence

from cidx_jobs.engine.clock import EngineClock
from cidx_jobs.engine.follow.idle import Idleness
from cidx_jobs.engine.follow.long_poll import WaitingRoom
from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.slots import ConcurrencyController
from cidx_jobs.engine.queue.suspects import Suspects
from cidx_jobs.engine.run.context import ChildRunner
from cidx_jobs.engine.run.executor import LocalExecutor
from cidx_jobs.engine.run.progress import ProgressBook
from cidx_jobs.engine.run.run_record import RunRecorder
from cidx_jobs.engine.run.runner import Runner
from cidx_jobs.engine.run.scheduler import Scheduler
from cidx_jobs.engine.run.stall_watch import StallWatch
from cidx_jobs.engine.run.usage_watch import ResourceWatch
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.notifier import Notifier
from cidx_jobs.engine.state.owed import Errands
from cidx_jobs.engine.state.record import JobLedger
from cidx_jobs.engine.submit.admission import Admission
from cidx_jobs.engine.upkeep.doctor import examine_memory, list_notes
from cidx_jobs.engine.upkeep.janitor import Janitor
from cidx_jobs.engine.upkeep.project_removal import Projects
from cidx_jobs.engine.upkeep.retention import Retention
from cidx_jobs.interfaces import ActiveRun, Clock, JobStore, ProjectFiles
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.findings import Finding, Recovery
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.model.listing import StoreIdentity
from cidx_jobs.settings import Settings


class Engine:
    """Everything that moves jobs, between a store that is open and the handlers."""

    def __init__(
        self, *, settings: Settings, store: JobStore, identity: StoreIdentity,
        job_types: JobTypes, children: ChildRunner, clock: Clock, files: ProjectFiles,
        chance: random.Random | None = None,
    ) -> None:  # fmt: skip
        """Build the parts; nothing runs yet."""
        self._settings = settings
        self._store = store
        self.controller = ConcurrencyController(settings.limits)
        self.board = Board(
            clock=clock,
            engine_clock=EngineClock(clock, identity.clock_seconds),
            job_types=job_types,
            queue=JobQueue(settings.ageing_seconds_per_level, drift=settings.max_running_per_user),
            controller=self.controller,
            notifier=Notifier(),
            suspects=Suspects(clock, settings.poison_after),
        )
        self._ledger = JobLedger(store, self.board)
        recorder = RunRecorder(store, self.board, self._ledger, identity.epoch)
        self._book = ProgressBook(recorder.save_progress, settings.progress_interval_seconds)
        self._executor = LocalExecutor(
            Runner(
                job_types=job_types,
                recorder=recorder,
                book=self._book,
                controller=self.controller,
                children=children,
                clock=clock,
                retry_policy=RetryPolicy(
                    base_seconds=settings.retry_base_seconds,
                    cap_seconds=settings.retry_cap_seconds,
                ),
                random=chance or random.SystemRandom(),
                load=self._load_running,
            )
        )
        self._stalls = StallWatch(clock, self._executor.trackers)
        self._resources = ResourceWatch(children.find_by_run, self._executor.find)
        self.scheduler = Scheduler(self.board, recorder, self._executor)
        self._waiting_room = WaitingRoom(self.board, self._ledger)
        retention = Retention(store, self.board)
        self._janitor = Janitor(
            store=store,
            retention=retention,
            board=self.board,
            recorder=recorder,
            executor=self._executor,
            job_types=job_types,
            retention_seconds=retention_by_status(settings),
            poison_after=settings.poison_after,
        )
        self.manager = SyncJobManager(
            store=store,
            board=self.board,
            ledger=self._ledger,
            admission=Admission(settings, store, self.board, self._ledger, job_types),
            waiting_room=self._waiting_room,
            job_types=job_types,
            retention=retention,
            recorder=recorder,
        )
        self.projects = Projects(store, self.board, files, settings.project_retention_seconds)
        self._errands = Errands(self.board, self._ledger)
        self.idleness = Idleness(self.board, lambda: not self._errands.are_done)

    async def start(self, before: Recovery) -> Recovery:
        """Recover what an older server left, then begin to start jobs.

        Gives the counts of the recovery, with those of *before*, which was done until now.
        """
        await self.load_controls()
        self._wire()
        await self.board.hooks.start()
        await self._executor.start()
        recovery = await self._janitor.recover(before)
        self.board.on_room = self.scheduler.wake
        await self._book.start()
        await self._stalls.start()
        await self._resources.start()
        await self.scheduler.start()
        await self._waiting_room.start()
        await self._janitor.start()
        await self.projects.start()
        return recovery

    async def load_controls(self) -> None:
        """Put the limits and pauses in force that an administrator left."""
        limits, pauses = await self._store.load_controls()
        if limits is not None:
            self.board.set_limits(limits)
        self.board.set_pauses(pauses)

    async def stop(self, grace_seconds: float) -> None:
        """Start nothing new, let runs end within the grace time, interrupt the rest."""
        self.manager.begin_stop()
        try:
            await self.scheduler.stop()
            await self.projects.stop()
            await self._janitor.stop()
            await self._executor.stop(grace_seconds)
        finally:
            # Also where a loop is torn down around it, as by a second Ctrl-C: that waits for
            # every task, and the store is gone.
            self._executor.give_up()
        await self._resources.stop()
        await self._stalls.stop()
        await self._book.stop()
        await self._waiting_room.stop()
        await self.board.hooks.stop()
        self.board.due_times.close()
        await self._errands.stop()

    async def examine(self) -> Sequence[Finding]:
        """Compare the memory with the store; give what does not fit together, if anything."""
        return await examine_memory(self._store, self.board, self._executor)

    def list_notes(self) -> Sequence[Finding]:
        """List what an operator should know of and what is no fault."""
        return list_notes(self.board)

    def hurry(self) -> None:
        """Interrupt what still runs at once."""
        self._executor.hurry()

    def _wire(self) -> None:
        self.board.on_cancel = self._cancel_run
        self.board.on_due = self._errands.enqueue_due
        self.board.on_headless = self._errands.move_up
        self.controller.promote = self.scheduler.promote
        self.controller.find_position = self.board.find_position

    def _load_running(self, run: ActiveRun) -> Job:
        job = self.board.live.find(run.job_id)
        if job is None:
            message = f"job {run.job_id} was dispatched and is not in memory"
            raise RuntimeError(message)
        return job

    def _cancel_run(self, job: Job) -> None:
        self._executor.cancel(ActiveRun(job_id=job.job_id, run=job.run))


def retention_by_status(settings: Settings) -> dict[JobStatus, float]:
    """Give how long jobs of each final status are kept, in seconds."""
    own = settings.retention_seconds_by_status
    return {
        status: own.get(status, settings.retention_seconds)
        for status in JobStatus
        if status.is_final
    }
