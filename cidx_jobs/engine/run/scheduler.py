"""Starts jobs: whoever is next in the one order and may run, as long as there is room."""

import asyncio
from collections.abc import Sequence

import msgspec

from cidx_jobs.engine.run.run_record import RunRecorder
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import STORE_AGAIN_SECONDS
from cidx_jobs.interfaces.run import ActiveRun, Executor
from cidx_jobs.model.errors import StoreError, UnavailableError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.listing import Change
from cidx_jobs.runtime.log import get_logger

MAX_BATCH = 100
"""How many starts are stored in one transaction."""

_log = get_logger("engine")


class Scheduler:
    """One task that fills free slots from the queue; no slot idles while a job may run."""

    def __init__(self, board: Board, recorder: RunRecorder, executor: Executor) -> None:
        """Take the parts."""
        self._board = board
        self._recorder = recorder
        self._executor = executor
        self._task: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._with_submit: set[SubmitStart] = set()
        self._stored: list[SubmitStart] = []
        """Those whose submits are just being answered."""
        self._is_settled = asyncio.Event()

    def wake(self) -> None:
        """Look again: a job came, a slot was given back, or a limit changed."""
        self._board.look_again.set()

    async def start(self) -> None:
        """Begin to start jobs."""
        self._task = asyncio.create_task(self._dispatch_forever(), name="scheduler")
        self.wake()

    async def stop(self) -> None:
        """Start no job any more; what is being started is dispatched. Stopping twice is fine."""
        if self._task is None:
            return
        task, self._task = self._task, None
        # Not cancelled: a start that is being stored must find its way to the executor.
        self._is_stopping = True
        if self._alarm is not None:
            self._alarm.cancel()
        self.wake()
        await asyncio.wait([task])
        while self._with_submit:
            self._is_settled.clear()
            await self._is_settled.wait()

    def start_with_submit(self, submit: Change) -> "SubmitStart | None":
        """Return the start of a job that is just being submitted, as queued, with its slot taken.

        Returns None where the job has to wait. The caller stores `SubmitStart.change` in place of
        the submit and tells the start what became of it; nothing may come between.
        """
        if self._task is None or not self._board.may_start_at_once(submit.job):
            return None
        self._board.begin_start(submit.job)
        began = self._board.clock.monotonic()
        start = SubmitStart(self, submit.job, self._recorder.with_start(submit), began)
        self._with_submit.add(start)
        return start

    def dispatch_submitted(self, start: "SubmitStart") -> None:
        """Begin the run of a job whose start was stored with its submit, after its answer."""
        self._stored.append(start)
        if len(self._stored) == 1:
            # Two turns of the loop: that of the task of the request, and one for a host that
            # waits for it in another task. In the third the run takes its first step.
            asyncio.get_running_loop().call_soon(self._pass_a_turn)

    def _pass_a_turn(self) -> None:
        starts, self._stored = self._stored, []
        asyncio.get_running_loop().call_soon(self._dispatch_submitted, starts)

    def _dispatch_submitted(self, starts: "Sequence[SubmitStart]") -> None:
        for start in starts:
            run = ActiveRun(job_id=start.queued.job_id, run=start.change.job.run)
            try:
                self._recorder.note_began(run, start.began)
                self._executor.dispatch([run])
                self._pass_on_cancels([run])
            finally:
                self._settle(start)

    def abandon_submitted(self, start: "SubmitStart") -> None:
        """Give the slot of a job back whose submit was not stored."""
        self._settle(start)
        self._board.abandon_start(start.queued)
        self.wake()

    def _settle(self, start: "SubmitStart") -> None:
        self._with_submit.discard(start)
        self._is_settled.set()

    async def promote(self) -> int:
        """Start what may start now; return how many were started."""
        return await asyncio.shield(asyncio.create_task(self._promote(), name="promote"))

    async def _dispatch_forever(self) -> None:
        while not self._is_stopping:
            await self._board.look_again.wait()
            self._board.look_again.clear()
            try:
                while await self._promote():
                    pass
            except (StoreError, UnavailableError) as error:
                _log.warning("starts_not_stored", code=error.code)
                await self._pause()
            except Exception as error:  # noqa: BLE001 - a fault of ours must not stop all starts
                _log.error("scheduler_failed", error=repr(error))
                await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(STORE_AGAIN_SECONDS)
        self.wake()

    async def _promote(self) -> int:
        chosen = self._choose()
        if not chosen:
            return 0
        started: set[JobId] = set()
        try:
            runs = await self._recorder.start_runs([job.job_id for job in chosen])
            started = {run.job_id for run in runs}
        finally:
            self._put_back(chosen, started)
        self._executor.dispatch(runs)
        self._pass_on_cancels(runs)
        return len(runs)

    def _choose(self) -> list[Job]:
        """Take slots for the next jobs in order; nothing awaits between the look and the take."""
        chosen: list[Job] = []
        while len(chosen) < MAX_BATCH and (job := self._board.find_next()) is not None:
            self._board.begin_start(job)
            chosen.append(job)
        self._set_alarm()
        return chosen

    def _set_alarm(self) -> None:
        # When a suspect's time alone is over nothing is committed that would wake anybody.
        left = self._board.suspects.seconds_left
        if left and not self._is_stopping:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.get_running_loop().call_later(left, self.wake)

    def _put_back(self, chosen: list[Job], started: set[JobId]) -> None:
        # A job that changed while its start was being stored did not start: its slot goes back,
        # and it stands in the queue again if it still waits.
        for job in chosen:
            if job.job_id not in started:
                self._board.abandon_start(job)
        if len(started) < len(chosen):
            self.wake()

    def _pass_on_cancels(self, runs: Sequence[ActiveRun]) -> None:
        # A cancel that was stored between the start's commit and the dispatch found no task. Its
        # handler has not begun yet, and never will.
        for run in runs:
            job = self._board.live.find(run.job_id)
            if job is not None and job.cancel_requested_at is not None:
                self._executor.cancel(run)


class SubmitStart(msgspec.Struct, frozen=True, eq=False):
    """A start that is stored with the submit of its job: of its two ends one is told, once."""

    _scheduler: Scheduler
    queued: Job
    """The job as its submit is answered: it waits, as the next."""
    change: Change
    """What is stored: the submit and the start."""
    began: float
    """The monotonic second that is the run's `started_at`."""

    def stored(self) -> None:
        """Begin the run, once whoever submitted was answered."""
        self._scheduler.dispatch_submitted(self)

    def refused(self) -> None:
        """Give the slot back."""
        self._scheduler.abandon_submitted(self)
