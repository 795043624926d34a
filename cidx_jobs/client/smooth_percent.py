"""Smoothed percent for progress bars: even between two reports, never back, never ahead."""

import math
import time
from collections.abc import Callable

import attrs

from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.wire.jobs import JobDocument

TICK_SECONDS = 0.1
"""How often a display moves."""
GLIDE_SECONDS = 1.0
"""How long it takes from one report to the next: a job that moves is read about so often."""

_MOST_UNTIL_DONE = 99.0
_ALL = 100.0


@attrs.define
class SmoothProgress:
    """The percent to show of one job at any moment between the readings of it.

    It moves evenly from what was shown to what was reported, and stays there. In one attempt it
    never goes back; a new attempt begins anew. It is 100 when the job has completed, never before.
    """

    _attempt: int = -1
    _begin: float = 0.0
    _target: float = 0.0
    _since: float = -math.inf

    def take(self, job: JobDocument, now: float) -> None:
        """Take what was read of the job at *now*, in seconds of any clock that never goes back."""
        if job.status == JobStatus.COMPLETED:
            self._begin = self._target = _ALL
            return
        reported = min(float(job.progress), _MOST_UNTIL_DONE)
        if job.attempt != self._attempt:
            # Nothing was shown of this attempt: where it stands is where it begins.
            self._attempt = job.attempt
            self._begin = self._target = reported
        elif reported > self._target:
            self._begin, self._target, self._since = self.percent(now), reported, now

    def percent(self, now: float) -> float:
        """Return the percent to show at *now*."""
        share = (now - self._since) / GLIDE_SECONDS
        if share >= 1:
            return self._target
        return self._begin + (self._target - self._begin) * max(0.0, share)

    def is_moving(self, now: float) -> bool:
        """Return whether it will be another one soon, though nothing new is read."""
        return self.percent(now) < self._target


@attrs.define
class PercentTicker:
    """Reports the percent of one job ten times a second while it moves."""

    _tell: Callable[[float], object]
    _progress: SmoothProgress = attrs.field(factory=SmoothProgress)
    _told: float = -1.0

    def take(self, job: JobDocument) -> None:
        """Take what was read of the job."""
        self._progress.take(job, time.monotonic())

    def tick(self) -> float | None:
        """Report the percent if it is new; return the seconds to the next tick, None for none.

        Nothing is reported before something was taken.
        """
        now = time.monotonic()
        percent = self._progress.percent(now)
        if percent != self._told and self._progress != SmoothProgress():
            self._told = percent
            self._tell(percent)
        return TICK_SECONDS if self._progress.is_moving(now) else None
