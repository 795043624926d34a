"""When to try again: exponential back-off with full jitter."""

import math

import attrs


def _check_seconds(_: object, attribute: "attrs.Attribute[float]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{attribute.name} is a number of seconds, not {value!r}"
        raise TypeError(message)
    if not 0 <= value < math.inf:
        message = f"{attribute.name} is a number of seconds from 0 on, not {value!r}"
        raise ValueError(message)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How long to wait between attempts, in seconds.

    A job type may have a policy of its own, also of a derived class. One that raises,
    or chooses no number, is logged, and the server's own is asked.

    Full jitter: a uniform choice from 0 to ``min(cap, base * 2 ** failures)``.
    """

    base_seconds: float = attrs.field(default=1.0, validator=_check_seconds)
    cap_seconds: float = attrs.field(default=30.0, validator=_check_seconds)

    def backoff_seconds(self, failed_attempts: int, fraction: float) -> float:
        """Return the wait after so many failures (from 1); *fraction* is 0 to 1."""
        bound = self.base_seconds * 2.0 ** min(failed_attempts - 1, 32)
        return fraction * min(self.cap_seconds, bound)
