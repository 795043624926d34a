"""Waiting explained and watched: positions, reasons, tags, and those who wait for a change."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import ClassVar

import msgspec

from cidx_jobs.engine.background import Background
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import JobLedger
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.queue_status import QueueStatus, WaitReason, is_open_ended

REVISION_SECONDS = 1.0
"""A change of a job's place in the queue is told at most so often (api.md 1.4)."""

_MOST_LOOKS = 5_000
"""At how many waiting jobs it is looked in one turn of the loop."""


class _Seen(msgspec.Struct):
    """What was last told of a waiting job's place, under which revision and when."""

    place: tuple[int | None, tuple[str, ...]]
    revision: int
    at: float


class WaitingRoom(Background):
    """Who waits for which job, and what a waiting job is told of itself.

    Once a second it looks for places in the queue that changed while somebody waits.
    """

    task_name: ClassVar[str] = "waiting-room"

    def __init__(self, board: Board, ledger: JobLedger) -> None:
        """Take the parts."""
        self._board = board
        self._ledger = ledger
        self._seen: dict[JobId, _Seen] = {}
        self._unchecked: list[JobId] = []

    async def wait(self, job_id: JobId, until: Callable[[Job], bool], timeout: float) -> Job:  # noqa: ASYNC109 - bare futures
        """Return the job once *until* holds, it is done, the time is up, or the server stops."""
        # The caller's own time, which passes also where a test holds the clock still.
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        notifier = self._board.notifier
        while True:
            job = self._board.live.find(job_id) or await self._ledger.load(job_id)
            left = deadline - loop.time()
            if job.done or until(job) or left <= 0 or notifier.is_closed:
                return job
            # For an unfinished job nothing has awaited since it was looked at: it came from
            # memory. So no change can fall between the look and the wait.
            waiter = notifier.expect(job_id, until, left)
            try:
                await waiter
            finally:
                notifier.forget(job_id, waiter)

    def status(self, job: Job) -> QueueStatus | None:
        """Say where a waiting job stands and why it waits; None for one that does not wait."""
        if not job.status.is_waiting:
            return None
        if self._board.has_moved_on(job):
            return _next_of(len(self._board.queue))
        position = self._board.find_position(job.job_id)
        reasons = self._board.reasons.find(job)
        blocked_by = _words(reasons)
        until = max((reason.until for reason in reasons if reason.until), default=None)
        return QueueStatus(
            position=position,
            length=max(len(self._board.queue), position or 0),
            blocked_by=blocked_by,
            until=until,
            estimated_wait_seconds=self._estimate(job, blocked_by, until),
        )

    def place(self, job: Job) -> tuple[int | None, tuple[str, ...]]:
        """Return the job's rank and reasons as they are at this moment."""
        if self._board.has_moved_on(job):
            return 1, ()
        return self._board.find_position(job.job_id), _words(self._board.reasons.find(job))

    def tag(self, job: Job) -> str:
        """Return the inside of the job's ETag."""
        if not job.status.is_waiting:
            self._seen.pop(job.job_id, None)
            counts = self._board.families.count(job.job_id) if job.has_children else None
            # Its children come and end without a change of the job itself.
            return str(job.version) + (f".{counts.total + counts.done}" if counts else "")
        return f"{job.version}.{self._look(job).revision}"

    def _look(self, job: Job) -> _Seen:
        now = self._board.clock.monotonic()
        seen = self._seen.get(job.job_id)
        if seen is not None and now - seen.at < REVISION_SECONDS:
            return seen
        place = self.place(job)
        if seen is None:
            # Beginning with the time of day, no tag of an earlier server can come again.
            seen = _Seen(place, int(self._board.clock.now().timestamp()), now)
            self._seen[job.job_id] = seen
        elif place != seen.place:
            seen.place, seen.revision, seen.at = place, seen.revision + 1, now
            # Whoever looks first: the others who wait for it must not sleep through it.
            self._board.notifier.wake(job.job_id)
        return seen

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(REVISION_SECONDS)
            for job_id in self._board.notifier.awaited_jobs:
                seen = self._seen.get(job_id)
                job = self._board.live.find(job_id)
                if seen is None or job is None or not job.status.is_waiting:
                    continue
                self._look(job)
            self._forget_finished()

    def _forget_finished(self) -> None:
        # A part at a time: among 100,000 that wait a look at each would hold the loop for long.
        if not self._unchecked:
            self._unchecked = list(self._seen)
        for job_id in self._unchecked[-_MOST_LOOKS:]:
            job = self._board.live.find(job_id)
            if job is None or not job.status.is_waiting:
                self._seen.pop(job_id, None)
        del self._unchecked[-_MOST_LOOKS:]

    def _estimate(
        self, job: Job, blocked_by: tuple[str, ...], until: datetime | None
    ) -> tuple[float, float] | None:
        if job.status is not JobStatus.QUEUED or any(map(is_open_ended, blocked_by)):
            return None
        left = 0.0 if until is None else (until - self._board.clock.now()).total_seconds()
        wait = self._board.estimator.estimate(
            job, self._board.clock.monotonic(), not_before=max(0.0, left)
        )
        return None if wait is None else (round(wait[0], 1), round(wait[1], 1))


def _next_of(waiting: int) -> QueueStatus:
    """Return where a job stood whose start was stored after it, or with it: nothing kept it."""
    return QueueStatus(
        position=1, length=max(1, waiting), blocked_by=(), estimated_wait_seconds=(0.0, 0.0)
    )


def _words(reasons: Iterable[WaitReason]) -> tuple[str, ...]:
    return tuple(reason.word for reason in reasons)
