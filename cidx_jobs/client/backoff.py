"""Back-off between retries, and how long a server may be away."""

import asyncio
import random
from collections.abc import Callable

from cidx_jobs.client.errors import JobsClientError
from cidx_jobs.model.job.retry_policy import RetryPolicy

Notice = Callable[[str], None]
"""Is told, in a sentence, that the server is away or back."""

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
        self.failures: int = 0

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


class Outage:
    """A server that does not answer: how long already, and when it is asked again."""

    def __init__(
        self,
        retry: RetryPolicy,
        away_seconds: float,
        notice: Notice,
        *,
        shortest_pause_seconds: float = 0.0,
    ) -> None:
        """Begin with a server that answers.

        Args:
            retry: the pauses between two requests.
            away_seconds: for how long failures are waited out.
            notice: hears of the beginning and the end.
            shortest_pause_seconds: no pause is shorter, whatever *retry* says.
        """
        self._away_seconds = away_seconds
        self._notice = notice
        self._shortest_pause_seconds = shortest_pause_seconds
        self._backoff = Backoff(retry)
        self._since: float | None = None

    @property
    def is_on(self) -> bool:
        """True from a failure until an answer."""
        return self._since is not None

    def end(self) -> None:
        """Record that the server answered."""
        if self._since is not None:
            self._since = None
            self._notice("the server is back")
        self._backoff.reset()

    async def wait_out(self, error: JobsClientError) -> None:
        """Wait before the next request; raise *error* when it has been too long."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
            self._notice(f"{error.message}; trying again")
        elif now - self._since > self._away_seconds:
            raise error
        pause = self._backoff.next_seconds(error.retry_after_seconds)
        await asyncio.sleep(max(self._shortest_pause_seconds, pause))
