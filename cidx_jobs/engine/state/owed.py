"""What the engine owes its jobs by itself: insisted on until it is stored."""

import asyncio
from collections.abc import Callable

import structlog

from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import STORE_AGAIN_SECONDS, Decision, JobLedger
from cidx_jobs.model.errors import CidxJobsError, UnavailableError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.events import Enqueue
from cidx_jobs.model.job.job import Job, JobStatus, Place

_log = structlog.get_logger("cidx_jobs.engine")


class Errands:
    """Queues jobs whose time has come, and moves up who follows nobody any more."""

    def __init__(self, board: Board, ledger: JobLedger) -> None:
        """Take the parts."""
        self._board = board
        self._ledger = ledger
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def are_done(self) -> bool:
        """True when nothing is owed."""
        return not self._tasks

    def enqueue_due(self, job_id: JobId) -> None:
        """Queue a created job whose start time has come."""
        self._insist(job_id, self._when_due, "due")

    def move_up(self, job_id: JobId) -> None:
        """Make a follower the head of its project's line, in which nobody is before it.

        A submit that saw a running head, and the end of that head, which saw no follower, may be
        stored in one moment; neither knows of the other.
        """
        self._insist(job_id, self._when_headless, "move-up")

    async def stop(self) -> None:
        """Give up what is not stored yet: the next start finds it again."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _when_due(self, job: Job) -> Decision | None:
        if job.status is not JobStatus.CREATED or job.hold or job.place is Place.FOLLOWER:
            return None
        return job, [Enqueue(key=self._board.make_key(job), reason="its time has come")]

    def _when_headless(self, job: Job) -> Decision | None:
        if job.place is not Place.FOLLOWER or self._board.head_of(job) is not None:
            return None
        return job, [self._ledger.promotion(job)]

    def _insist(self, job_id: JobId, decide: Callable[[Job], Decision | None], name: str) -> None:
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
                _log.warning("errand_failed", job_id=job_id, code=error.code)
            return
