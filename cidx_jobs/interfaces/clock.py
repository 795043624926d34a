"""Wall clock and monotonic clock, as all code of the package is given them."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The two times there are; all code of the package that needs one takes it from here."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
