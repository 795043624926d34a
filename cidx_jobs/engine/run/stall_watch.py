"""Marks running jobs that have reported nothing for a while; their status does not change."""

import asyncio
from collections.abc import Callable, Iterable
from typing import ClassVar

from cidx_jobs.engine.background import Background
from cidx_jobs.engine.run.progress import ProgressTracker
from cidx_jobs.interfaces.clock import Clock

STALL_SECONDS = 30.0
"""A running job that reports nothing for so long is marked for its readers."""

_LOOK_SECONDS = 5.0


class StallWatch(Background):
    """Looks now and then at every run's last report; marks it, and a report takes it off."""

    task_name: ClassVar[str] = "stall-watch"

    def __init__(
        self,
        clock: Clock,
        find_trackers: Callable[[], Iterable[ProgressTracker]],
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        """Look every *look_seconds* at the trackers of the runs whose handlers are at work."""
        self._clock = clock
        self._find_trackers = find_trackers
        self._look_seconds = look_seconds

    def look(self) -> None:
        """Mark the runs that have been silent for too long."""
        before = self._clock.monotonic() - STALL_SECONDS
        for tracker in self._find_trackers():
            if tracker.last_sign_at <= before:
                tracker.mark_stalled()

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            self.look()
