"""A clock that is moved by hand."""

from datetime import UTC, datetime, timedelta

from typing_extensions import override

from cidx_jobs.interfaces.clock import Clock

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class ManualClock(Clock):
    """A `Clock` that stands still until it is advanced.

    Start times, back-offs, ages and expiries follow it. A run's time-out, a waiter's, and what a
    handler sleeps are real time.
    """

    def __init__(self, now: datetime = START) -> None:
        """Begin at *now*, an aware time in UTC."""
        self._now = now
        self._monotonic = 1_000.0

    @override
    def now(self) -> datetime:
        return self._now

    @override
    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks; `cidx_jobs.testing.advance` also runs what comes due."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step_wall_clock(self, seconds: float) -> None:
        """Set the wall clock forward or back; monotonic time does not move."""
        self._now += timedelta(seconds=seconds)
