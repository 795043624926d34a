"""The clocks: the machine's, and the engine's own, which goes on over restarts."""

import time
from datetime import UTC, datetime

from cidx_jobs.interfaces.clock import Clock


class SystemClock(Clock):
    """The machine's two clocks, as `Clock`."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        return time.monotonic()


class EngineClock:
    """Seconds that go on where the last server left off and follow no step of the wall clock.

    The dispatch order is computed from it, so that priority ages alike over restarts and a
    wall clock that jumps changes no order (guarantees.md, G11).
    """

    def __init__(self, clock: Clock, stored_seconds: float) -> None:
        """Go on from *stored_seconds*, or from the wall clock where that is later."""
        self._clock = clock
        self._base = max(stored_seconds, clock.now().timestamp())
        self._started_at = clock.monotonic()

    def seconds(self) -> float:
        """Return the engine's time in seconds."""
        return self._base + self._clock.monotonic() - self._started_at
