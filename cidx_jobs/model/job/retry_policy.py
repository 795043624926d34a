"""When to try again: exponential back-off with full jitter."""

import attrs


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How long to wait between attempts, in seconds.

    Full jitter: a uniform choice from 0 to ``min(cap, base * 2 ** failures)``.
    """

    base_seconds: float = 1.0
    cap_seconds: float = 30.0

    def backoff_seconds(self, failed_attempts: int, fraction: float) -> float:
        """Return the wait after so many failures (from 1); *fraction* is 0 to 1."""
        bound = self.base_seconds * 2.0 ** min(failed_attempts - 1, 32)
        return fraction * min(self.cap_seconds, bound)
