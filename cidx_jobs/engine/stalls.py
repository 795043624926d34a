"""Marks running jobs that have reported nothing for a while; their status does not change."""

import asyncio

from cidx_jobs.engine.progress import ProgressTracker
from cidx_jobs.interfaces import ActiveRun, Clock

STALL_SECONDS = 30.0
"""A running job that reports nothing for so long is marked for its readers."""

_LOOK_SECONDS = 5.0


class StallWatch:
    """Looks now and then at every run's last report; marks it, and a report takes it off."""

    def __init__(self, clock: Clock, look_seconds: float = _LOOK_SECONDS) -> None:
        """Look every *look_seconds*."""
        self._clock = clock
        self._look_seconds = look_seconds
        self._trackers: dict[ActiveRun, ProgressTracker] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, run: ActiveRun, tracker: ProgressTracker) -> None:
        """Watch a run that begins."""
        self._trackers[run] = tracker

    def drop(self, run: ActiveRun) -> None:
        """Watch a run no longer."""
        self._trackers.pop(run, None)

    def look(self) -> None:
        """Mark the runs that have been silent for too long."""
        before = self._clock.monotonic() - STALL_SECONDS
        for tracker in self._trackers.values():
            if tracker.last_sign_at <= before:
                tracker.mark_stalled()

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look_forever(), name="stall-watch")

    async def stop(self) -> None:
        """End it; stopping twice is fine."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            self.look()
