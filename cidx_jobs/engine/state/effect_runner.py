"""Carries out the effects of commits: at once, or insisted on until it is stored."""

import asyncio
from collections.abc import Callable
from typing import ClassVar, assert_never

from cidx_jobs.engine.background import Background
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.effects import (
    CancelChildren,
    Effect,
    EnqueueDue,
    GiveUp,
    MakeHead,
    StopRun,
)
from cidx_jobs.engine.state.record import STORE_AGAIN_SECONDS, Decision, JobLedger
from cidx_jobs.interfaces.run import Executor
from cidx_jobs.model.error_codes import make_error
from cidx_jobs.model.errors import CidxJobsError, UnavailableError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.events import Cancel, RequestCancel
from cidx_jobs.model.job.job import Job, JobStatus, Place
from cidx_jobs.model.job.key_limits import LimitKey
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.shielded import end_tasks

_PARENT_CANCELLED = "the job that made it was cancelled"

_log = get_logger("engine")


class EffectRunner(Background):
    """Queues jobs whose time has come, moves followers up, and passes cancels on to runs."""

    task_name: ClassVar[str] = "effects"

    def __init__(
        self,
        board: Board,
        ledger: JobLedger,
        executor: Executor,
        *,
        give_up: Callable[[Job, LimitKey], Decision | None],
    ) -> None:
        """Take the parts; *give_up* says how a job fails that has waited for its host enough."""
        self._board = board
        self._ledger = ledger
        self._executor = executor
        self._give_up = give_up
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """True while anything is still to be carried out."""
        return bool(self._tasks) or not self._board.effects.empty()

    async def stop(self) -> None:
        """Give up what is not stored yet: the next start finds it again."""
        await super().stop()
        await end_tasks(self._tasks)

    async def _go_on(self) -> None:
        while True:
            self._carry_out(await self._board.effects.get())

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case StopRun():
                self._executor.cancel(effect.run, again=effect.again)
            case CancelChildren():
                for child_id in self._board.families.list_unfinished(effect.parent_id):
                    self._insist(child_id, self._cancelled, "cancel-child")
            case EnqueueDue():
                self._insist(effect.job_id, self._enqueued, "enqueue-due")
            case GiveUp():
                host = effect.host
                self._insist(effect.job_id, lambda job: self._give_up(job, host), "give-up")
            case MakeHead():
                self._insist(effect.job_id, self._made_head, "make-head")
            case _:
                assert_never(effect)

    def _enqueued(self, job: Job) -> Decision | None:
        if job.status is not JobStatus.CREATED or job.hold or job.place is Place.FOLLOWER:
            return None
        if self._board.families.is_waiting(job):
            return None
        reason = "its children are done" if job.joins else "its time has come"
        events = self._ledger.entry(job, reason)
        return (job, events) if events else None

    def _cancelled(self, job: Job) -> Decision | None:
        if job.done or job.cancel_requested_at is not None:
            return None
        if job.status is JobStatus.RUNNING:
            return job, [RequestCancel(reason=_PARENT_CANCELLED)]
        error = make_error("CANCELLED", _PARENT_CANCELLED, at=self._board.clock.now())
        return job, [Cancel(error=error, reason=_PARENT_CANCELLED)]

    def _made_head(self, job: Job) -> Decision | None:
        if job.place is not Place.FOLLOWER:
            return None
        head = self._board.head_of(job)
        if head is not None and not head.is_between_attempts:
            return None
        return job, [self._ledger.promotion(job)]

    def _insist(self, job_id: JobId, decide: Callable[[Job], Decision | None], name: str) -> None:
        # A task for each: one that waits for the store holds up no other.
        task = asyncio.create_task(self._record(job_id, decide), name=f"{name}-{job_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record(self, job_id: JobId, decide: Callable[[Job], Decision | None]) -> None:
        while True:
            try:
                await self._ledger.record(job_id, decide)
            except UnavailableError:
                # Nobody asks for it again: whoever gave up now would leave it to the next start.
                await asyncio.sleep(STORE_AGAIN_SECONDS)
                continue
            except CidxJobsError as error:
                _log.warning("effect_failed", job_id=job_id, code=error.code)
            return
