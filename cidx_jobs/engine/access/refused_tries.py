"""The limit of refused logins: ten a minute for one user and address, then none."""

import math
from collections import deque
from collections.abc import Callable

from cidx_jobs.model.errors import TooManyLoginsError

MAX_REFUSED = 10
PERIOD_SECONDS = 60.0
_MANY = 10_000
"""So many pairs of user and address are counted, so that guessing at names fills no memory."""

Who = tuple[str, str | None]
"""A user's name as it was given, and the address that it came from."""


class RefusedTries:
    """Counts refused logins; what is counted has a bound.

    A good login clears the count, and never counts.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Begin without a refusal."""
        self._monotonic = monotonic
        # The newest at the end: whoever was refused longest ago is forgotten first.
        self._refused: dict[Who, deque[float]] = {}

    def check(self, who: Who) -> None:
        """Let a try pass.

        Raises:
            TooManyLoginsError: too many were refused in the last minute.
        """
        times = self._refused.get(who)
        if times is None or len(times) < MAX_REFUSED:
            return
        wait = times[0] + PERIOD_SECONDS - self._monotonic()
        if wait > 0:
            raise TooManyLoginsError(math.ceil(wait))

    def count(self, who: Who) -> None:
        """Count a refusal."""
        times = self._refused.pop(who, None) or deque(maxlen=MAX_REFUSED)
        times.append(self._monotonic())
        self._refused[who] = times
        if len(self._refused) > _MANY:
            del self._refused[next(iter(self._refused))]

    def clear(self, who: Who) -> None:
        """Forget what was counted: the right password came."""
        self._refused.pop(who, None)
