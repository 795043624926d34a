"""Time-outs of runs: each counts the time in which its run works, not that in which it waits."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from itertools import count

_MANY_STALE = 100
"""Limits that were let go stay in the heap until they are so many: throwing out looks at all."""


class TimeLimits:
    """The time-outs of all runs, with one timer of the loop: that of the first that ends.

    Nearly every run ends long before its time-out, and a timer of the loop for each is a good
    part of what a short run costs. So the timer stays when the last run ends, for the next.
    """

    def __init__(self) -> None:
        """Begin with no run."""
        self._limits: list[tuple[float, int, TimeLimit]] = []
        """A heap; those that count no more stay in it until there are many."""
        self._numbers = count()
        self._counting = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, limit: "TimeLimit", ends_at: float) -> None:
        """Have the limit told once the loop's time is *ends_at*, unless it is let go before."""
        self._counting += 1
        heappush(self._limits, (ends_at, next(self._numbers), limit))
        if self._timer is None or ends_at < self._timer.when():
            self._set_timer(ends_at)

    def let_go(self) -> None:
        """Learn that a limit that was added counts no more."""
        self._counting -= 1
        if not self._counting:
            self._limits.clear()
        elif len(self._limits) - self._counting > max(_MANY_STALE, self._counting):
            self._limits = [entry for entry in self._limits if entry[2].ends_at == entry[0]]
            heapify(self._limits)

    def close(self) -> None:
        """Leave nothing to the loop: no run comes any more."""
        self._stop_timer()

    def _ring(self) -> None:
        self._timer = None
        try:
            self._end_due(asyncio.get_running_loop().time())
        finally:
            # Also where one who was told raised: no other run may go on for ever for that.
            if self._limits and self._timer is None:
                self._set_timer(self._limits[0][0])

    def _end_due(self, now: float) -> None:
        while self._limits:
            ends_at, _, limit = self._limits[0]
            if limit.ends_at == ends_at and ends_at > now:
                return
            heappop(self._limits)
            if limit.ends_at == ends_at:
                limit.end()

    def _set_timer(self, ends_at: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_at(ends_at, self._ring)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TimeLimit:
    """A run's time-out that can be paused: who waits for a named resource does nothing yet."""

    __slots__ = ("_limits", "_on_end", "ends_at")

    def __init__(self, limits: TimeLimits, on_end: Callable[[], None]) -> None:
        """Call *on_end* on the loop once the time is up."""
        self.ends_at: float | None = None
        """The loop's time at which it is up; None while it does not count."""
        self._limits = limits
        self._on_end: Callable[[], None] | None = on_end
        """None for good once it was cancelled. To keep it would tie a knot, since whoever is told
        has the limit, that only the garbage collector unties: one for each run."""

    def start(self, seconds: float) -> None:
        """Begin to count."""
        if self._on_end is None:
            return
        self.ends_at = ends_at = asyncio.get_running_loop().time() + seconds
        self._limits.add(self, ends_at)

    def cancel(self) -> None:
        """Count no longer, whoever still waits; cancelling twice is fine."""
        self._on_end = None
        self._stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing while the block lasts; nothing happens once the time is up."""
        ends_at = self.ends_at
        if ends_at is None:
            yield
            return
        left = ends_at - asyncio.get_running_loop().time()
        self._stop()
        try:
            yield
        finally:
            self.start(left)

    def end(self) -> None:
        """Learn that the time is up."""
        self._stop()
        if self._on_end is not None:
            self._on_end()

    def _stop(self) -> None:
        if self.ends_at is not None:
            self.ends_at = None
            self._limits.let_go()
