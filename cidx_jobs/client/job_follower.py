"""Long poll of one job; falls back to plain polling, and waits for a server that is away."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable

import attrs

from cidx_jobs.client.backoff import NETWORK_POLICY, Notice, Outage
from cidx_jobs.client.calls.jobs import PolledJob
from cidx_jobs.client.client import JobsClient
from cidx_jobs.client.errors import (
    NetworkConnectionError,
    RequestRefusedError,
    ServerError,
)
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.wire.jobs import JobDocument

SHORTEST_WAIT_SECONDS = 2.0
"""A long-poll that would have to be shorter than this is no better than plain polling."""
REQUESTS_IN_WINDOW = 2
"""How many requests a watcher makes in any `PollingConfig.window_seconds`, at most."""

_MILLISECOND = 0.001


@attrs.frozen(kw_only=True)
class PollingConfig:
    """How a job is watched; all durations are seconds."""

    wait_seconds: float = 25.0
    """How long the server is asked to keep a long-poll; 0 polls plainly."""
    interval_seconds: float = 1.0
    """Between plain polls, where the server names no interval."""
    window_seconds: float = 1.0
    """In any span of so long at most two requests: never more than two a second."""
    retry: RetryPolicy = NETWORK_POLICY
    """How long to wait after a failure; a server's Retry-After comes on top."""
    away_seconds: float = 120.0
    """How long the server may be unreachable or refuse in a row before the watching ends."""
    stall_seconds: tuple[float, ...] = (15.0, 30.0)
    """After so long without any change of a running job its watcher is told."""
    timeout_seconds: float | None = None
    """How long to watch in all, where `start_polling` is not told; None is for ever."""
    cancel_on_timeout: bool = False
    """Whether the job is cancelled when its watcher runs out of time."""
    extend: Callable[[JobDocument], bool] | None = None
    """Asked when the time is up and the job has moved since it last was: more time?"""
    extension_seconds: float = 120.0
    max_extensions: int = 3


async def follow_job(
    client: JobsClient,
    job_id: str,
    config: PollingConfig,
    *,
    known: PolledJob | None = None,
    notice: Notice = lambda _: None,
) -> AsyncGenerator[JobDocument, None]:
    """Yield the job as it is, unless that is *known*, then what changes, up to and with its end.

    Where changes come faster than the server may be asked, several are seen as one. The end is
    always seen at once: the last request that is allowed for the moment waits for nothing else.
    A server that is away is waited for, up to ``config.away_seconds``; *notice* hears of it.

    Raises:
        NetworkConnectionError: the server was away for too long.
        JobsClientError: the server refuses: no such job, no valid token, or busy for too long.
    """
    if known is not None and known.job.done:
        yield known.job
        return
    outage = Outage(config.retry, config.away_seconds, notice)
    follower = _Follower(client, job_id, config, known, outage)
    while True:
        newer = await follower.next_poll()
        if newer is None:
            continue
        yield newer.job
        if newer.job.done:
            return


@attrs.define
class _Follower:
    """The state between two requests for the same job."""

    _client: JobsClient
    _job_id: str
    _config: PollingConfig
    _known: PolledJob | None
    _outage: Outage
    _wait_seconds: float = attrs.field(
        default=attrs.Factory(lambda self: self._config.wait_seconds, takes_self=True)
    )
    _asked: deque[float] = attrs.field(
        factory=lambda: deque([-math.inf] * REQUESTS_IN_WINDOW, REQUESTS_IN_WINDOW)
    )
    """When the last requests were made: so many as a window may hold."""

    async def next_poll(self) -> PolledJob | None:
        """Ask once; give what is new, or None when nothing is."""
        await self._keep_to_the_window()
        wait, until = self._wait_for()
        self._asked.append(_now())
        try:
            newer = await self._client.poll_job(
                self._job_id, known=self._known, wait_seconds=wait, until=until
            )
        except (NetworkConnectionError, ServerError) as error:
            self._adapt_wait(wait)
            await self._outage.wait_out(error)
            return None
        except RequestRefusedError as error:
            if wait == 0 or error.code != "invalid_parameter":
                raise
            self._wait_seconds = 0.0  # a server that knows no long-poll
            return None
        return await self._take(newer, wait)

    def _wait_for(self) -> tuple[float, str | None]:
        """Return how long the next request may be kept, and what it waits for."""
        if self._known is None or self._outage.is_on or not self._wait_seconds:
            # Straight after a failure a plain request finds out soonest whether it is over.
            return 0.0, None
        window = self._config.window_seconds
        if _now() - self._asked[-1] < window:
            # The window holds no other request after this one. So no change may use it up: it
            # waits until the window is over, or for the end, after which none is needed.
            return max(1.0, window), "done"
        return self._wait_seconds, None

    async def _keep_to_the_window(self) -> None:
        while (  # noqa: ASYNC110 - time is no event; a sleep may end a little early
            rest := self._asked[0] + self._config.window_seconds - _now()
        ) > 0:
            await asyncio.sleep(max(rest, _MILLISECOND))

    async def _take(self, newer: PolledJob, wait: float) -> PolledJob | None:
        self._outage.end()
        known, self._known = self._known, newer
        if known is None or newer.job.done or _differ(known, newer):
            return newer
        has_parked = _now() - self._asked[-1] > wait / 2
        if not self._wait_seconds or (wait and not has_parked):
            # A server that does not keep the request: its own interval holds.
            await asyncio.sleep(newer.retry_after_seconds or self._config.interval_seconds)
        return None

    def _adapt_wait(self, wait: float) -> None:
        kept = _now() - self._asked[-1]
        if wait and SHORTEST_WAIT_SECONDS < kept < wait:
            # Perhaps something in between cuts what is quiet for so long: ask for less.
            self._wait_seconds = kept / 2


def _differ(known: PolledJob, newer: PolledJob) -> bool:
    if known.tag and newer.tag:
        return known.tag != newer.tag
    return known.job.version != newer.job.version


def _now() -> float:
    return asyncio.get_running_loop().time()
