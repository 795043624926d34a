"""Even intervals: the moments of a grid that begins at some moment and goes on for ever."""

from datetime import datetime, timedelta

import attrs


@attrs.frozen
class Interval:
    """The moments ``start + every``, ``start + 2 every`` and so on."""

    _start: datetime
    _every: timedelta

    def find_next(self, after: datetime) -> datetime | None:
        """Return the first moment after that one; None beyond the last year of the calendar."""
        try:
            return self._start + self._every * (self._steps(after) + 1)
        except OverflowError:
            return None

    def find_last(self, until: datetime) -> datetime | None:
        """Return the last moment up to that one; None before the first."""
        steps = self._steps(until)
        return self._start + self._every * steps if steps else None

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many moments there are after the one, up to the other."""
        return max(0, self._steps(until) - self._steps(after))

    def _steps(self, until: datetime) -> int:
        return max(0, (until - self._start) // self._every)
