"""Watch of the event loop: how late it is, and a line where somebody will have noticed."""

import asyncio
from typing import ClassVar

from cidx_jobs.engine.background import Background
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.meters import Meters

LATE_SECONDS = 0.25
"""From here on it is a warning: handlers that block the loop, or a machine without a free core."""

_TICK_SECONDS = 0.5

_log = get_logger("engine")


class LoopWatch(Background):
    """Sleeps for half a second, again and again, and measures how much longer it took."""

    task_name: ClassVar[str] = "loop-watch"

    def __init__(self, meters: Meters) -> None:
        """Take where it is counted."""
        self._meters = meters

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            lag = max(0.0, loop.time() - due)
            self._meters.loop_lag.add(lag)
            if lag > LATE_SECONDS:
                _log.warning("loop_lag", seconds=round(lag, 3))
