"""Timers of waiting jobs: the end of a back-off, and the start time of a created job."""

import asyncio
import math
from collections.abc import Callable
from datetime import datetime

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import CREATED, QUEUED, Job, Place

_EARLY = 0.001
"""How much too early a timer may go off, in seconds."""
_LONGEST_NAP_SECONDS = 30.0
"""A wall clock that was set forward is noticed within this time by a job with a start time."""


class DueTimes:
    """Knows which jobs wait for a time, and says so when it has come."""

    def __init__(
        self,
        clock: Clock,
        find_job: Callable[[JobId], Job | None],
        on_due: Callable[[Job], None],
    ) -> None:
        """Call *on_due* with each job whose time has come, as it is then."""
        self._clock = clock
        self._find_job = find_job
        self._on_due = on_due
        self._timers: dict[JobId, asyncio.TimerHandle] = {}

    def set(self, job: Job) -> None:
        """Wait for the job's time, if it has one now; what was set for it before is off."""
        if self._timers and (old := self._timers.pop(job.job_id, None)) is not None:
            old.cancel()
        due = _due_time(job)
        if due is None:
            return
        nap = max(0.0, (due - self._clock.now()).total_seconds())
        if nap or job.status is not QUEUED:
            # Where the time has come already a queued job need not wait for the loop's next turn.
            self._timers[job.job_id] = asyncio.get_running_loop().call_later(
                min(nap, _LONGEST_NAP_SECONDS),
                self._ring,
                job.job_id,
                self._clock.monotonic() + nap,
            )

    def is_set(self, job_id: JobId) -> bool:
        """Tell whether the job waits for its time."""
        return job_id in self._timers

    def ring_due(self) -> None:
        """Let every timer go off whose time has come by the clock, without its nap."""
        for job_id in tuple(self._timers):
            job = self._find_job(job_id)
            if job is not None and not self._is_ahead(job):
                self._timers[job_id].cancel()
                self._ring(job_id)

    def find_next(self) -> datetime | None:
        """Return the earliest time that is waited for; None without timers."""
        jobs = (self._find_job(job_id) for job_id in self._timers)
        dues = (_due_time(job) for job in jobs if job is not None)
        return min((due for due in dues if due is not None), default=None)

    def close(self) -> None:
        """Let no timer go off any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _ring(self, job_id: JobId, ends_at: float = math.inf) -> None:
        self._timers.pop(job_id, None)
        job = self._find_job(job_id)
        if job is None:
            return
        # A back-off is over when its time has passed, wherever the wall clock was set meanwhile.
        is_over = job.status is QUEUED and self._clock.monotonic() >= ends_at - _EARLY
        if not is_over and self._is_ahead(job):
            self.set(job)
        else:
            self._on_due(job)

    def _is_ahead(self, job: Job) -> bool:
        due = _due_time(job)
        return due is not None and due > self._clock.now()


def _due_time(job: Job) -> datetime | None:
    if job.status is QUEUED:
        return job.retry_at
    if job.status is CREATED and not job.hold and job.place is not Place.FOLLOWER:
        return job.start_at
    return None
