"""A run's time-out: it counts the time in which the run works, and not that in which it waits."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeLimit:
    """A timer that can be paused: a run that waits for a named resource does nothing yet."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        """Call *on_end* on the loop once the time is up."""
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def start(self, seconds: float) -> None:
        """Begin to count."""
        if self._is_over:
            return
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end)

    def cancel(self) -> None:
        """Count no longer, whoever still waits; cancelling twice is fine."""
        self._is_over = True
        self._stop_timer()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing while the block lasts; nothing happens once the time is up."""
        timer = self._timer
        if timer is None:
            yield
            return
        left = timer.when() - asyncio.get_running_loop().time()
        self._stop_timer()
        try:
            yield
        finally:
            self.start(left)

    def _end(self) -> None:
        self._timer = None
        self._on_end()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
