"""Notifications of committed changes: waiters and streams are told after the commit."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from cidx_jobs.model.errors import OtherLoopError
from cidx_jobs.model.foreign import Raised, call_foreign
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.runtime.loops import find_running_loop

STREAM_BUFFER = 1_000
"""How many items a stream's reader may be behind before it is dropped."""


Condition = Callable[[Job], bool]
"""Tells whether a job is as its waiter wants it."""


_Wait = tuple[Condition, asyncio.TimerHandle | None]


class Notice(msgspec.Struct, frozen=True):
    """One committed change of a job: with its log row, or a progress report without one."""

    job: Job
    transition: Transition | None


class Subscription:
    """A bounded line of notices for one reader; iterate over it.

    It ends when it is closed, and when the reader falls more than `STREAM_BUFFER` behind
    (`was_dropped`): the reader can go on from the transition log.
    """

    def __init__(self, wants: Callable[[Job], bool], on_close: Callable[[], None]) -> None:
        """Take what the reader wants to hear of."""
        self.was_dropped: bool = False
        self._wants = wants
        self._on_close = on_close
        self._notices: deque[Notice] = deque()
        self._is_closed = False
        self._news: asyncio.Future[None] | None = None

    def offer(self, notice: Notice) -> None:
        """Add a notice if the reader wants it; drop the reader if its line is full."""
        if self._is_closed or not self._wants(notice.job):
            return
        if len(self._notices) >= STREAM_BUFFER:
            self.was_dropped = True
            self.close()
            return
        self._notices.append(notice)
        self._wake()

    def close(self) -> None:
        """End the iteration once what is in line was read; closing twice is fine."""
        self._is_closed = True
        self._on_close()
        self._wake()

    def __aiter__(self) -> "Subscription":
        """Go through the notices."""
        return self

    async def __anext__(self) -> Notice:
        """Return the next notice; end when closed."""
        while not self._notices:
            if self._is_closed:
                raise StopAsyncIteration
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        return self._notices.popleft()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class Notifier:
    """Who waits for which job, as bare futures, and who reads the stream of all changes."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._waiters: dict[JobId, dict[asyncio.Future[None], _Wait]] = {}
        self._subscriptions: set[Subscription] = set()
        self._is_closed = False
        self._loop = find_running_loop()

    @property
    def waiter_count(self) -> int:
        """How many wait now."""
        return sum(map(len, self._waiters.values()))

    @property
    def awaited_jobs(self) -> Sequence[JobId]:
        """The jobs that somebody waits for."""
        return tuple(self._waiters)

    @property
    def is_closed(self) -> bool:
        """True once the server is stopping: nobody may wait any more."""
        return self._is_closed

    def expect(self, job_id: JobId, until: Condition, timeout: float) -> asyncio.Future[None]:
        """Return a future that is done once *until* holds of a change of the job.

        The job's end, a `wake`, the stop and the end of *timeout* seconds end it, too: the caller
        looks again. Who has looked at the job without awaiting in between cannot sleep through a
        change. The caller awaits it at once and then calls `forget`. (A coroutine that did both
        would be three hundred bytes for each who waits.)
        """
        loop = asyncio.get_running_loop()
        if self._loop is not None and loop is not self._loop:
            # What is committed would not wake it.
            raise OtherLoopError
        future: asyncio.Future[None] = loop.create_future()
        timer = None if timeout == math.inf else loop.call_later(timeout, _resolve, future)
        self._waiters.setdefault(job_id, {})[future] = (until, timer)
        return future

    def forget(self, job_id: JobId, future: asyncio.Future[None]) -> None:
        """Let go of what `expect` gave, done or not."""
        waiters = self._waiters.get(job_id, {})
        _, timer = waiters.pop(future, (None, None))
        if timer is not None:
            timer.cancel()
        if not waiters:
            self._waiters.pop(job_id, None)

    def wake(self, job_id: JobId) -> None:
        """Wake who waits for the job: something that they see of it changed."""
        for future in self._waiters.get(job_id, ()):
            _resolve(future)

    def publish(self, job: Job, transitions: Sequence[Transition]) -> None:
        """Tell of a committed change: its log rows, or a progress report when there is none."""
        waiters = self._waiters.get(job.job_id)
        if waiters is not None:
            for future, (until, _) in waiters.items():
                if job.done or _holds(until, job):
                    _resolve(future)
        if not self._subscriptions:
            return
        notices = [Notice(job, row) for row in transitions] or [Notice(job, None)]
        for subscription in tuple(self._subscriptions):
            for notice in notices:
                subscription.offer(notice)

    def subscribe(self, wants: Callable[[Job], bool]) -> Subscription:
        """Open a stream of the changes of the jobs that *wants* accepts."""
        subscription = Subscription(wants, lambda: self._subscriptions.discard(subscription))
        if self._is_closed:
            subscription.close()
        else:
            self._subscriptions.add(subscription)
        return subscription

    def close(self) -> None:
        """Wake everybody and let nobody wait any more."""
        self._is_closed = True
        for job_id in tuple(self._waiters):
            self.wake(job_id)
        for subscription in tuple(self._subscriptions):
            subscription.close()


def _holds(until: Condition, job: Job) -> bool:
    # A condition that raises wakes its waiter, which asks again: its caller gets the error.
    holds = call_foreign(until, job)
    return isinstance(holds, Raised) or holds


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
