"""How long to wait before the same request is made again."""

import random
from collections.abc import Callable

from cidx_jobs.model.job.retry_policy import RetryPolicy

NETWORK_POLICY = RetryPolicy(base_seconds=0.5, cap_seconds=10.0)
"""Full jitter under a bound that doubles from half a second to ten."""


class Backoff:
    """The waits between failures in a row; full jitter, never shorter than the server asks."""

    def __init__(
        self,
        policy: RetryPolicy = NETWORK_POLICY,
        fraction: Callable[[], float] = random.random,
    ) -> None:
        """Start at the first failure; *fraction* gives the jitter, from 0 to 1."""
        self._policy = policy
        self._fraction = fraction
        self.failures = 0

    def next_seconds(self, retry_after_seconds: float | None = None) -> float:
        """Count a failure and give the wait after it.

        A wait that the server asked for is kept, with the jitter behind it, so that a crowd
        that was sent away at once does not come back at once.
        """
        self.failures += 1
        jitter = self._policy.backoff_seconds(self.failures, self._fraction())
        if retry_after_seconds is None:
            return jitter
        return retry_after_seconds + min(jitter, self._policy.base_seconds)

    def reset(self) -> None:
        """Begin anew: a request succeeded."""
        self.failures = 0
