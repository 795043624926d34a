"""Parked requests: how many there may be, and who is woken when the server or a client goes."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self, cast

from aiohttp import web

from cidx_jobs.engine.counts import decrease

LOOK_SECONDS = 5.0
"""A client that went away frees its place within this time."""


class ParkedRequest:
    """The place of one parked request; a coroutine in its stead would take more memory."""

    __slots__ = ("_request", "_user_id", "_waiters", "was_woken")

    def __init__(self, waiters: "Waiters", request: web.Request, user_id: str) -> None:
        """Belong to a request of the user's."""
        self.was_woken = False
        """The application stops: the answer is still to be sent, as things are now."""
        self._waiters = waiters
        self._request = request
        self._user_id = user_id

    def __enter__(self) -> Self:
        self._waiters.enter(_this_task(), self._request, self._user_id)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        task = _this_task()
        is_cancelled = kind is asyncio.CancelledError
        self.was_woken = self._waiters.leave(task, self._user_id, is_cancelled=is_cancelled)
        if self.was_woken:
            task.uncancel()
        return self.was_woken


class Waiters:
    """The places for requests that wait: bounded per user and in all."""

    def __init__(self, per_user: int, total: int) -> None:
        """Begin with all places free."""
        self._per_user = per_user
        self._total = total
        self._by_user: Counter[str] = Counter()
        self._parked: dict[asyncio.Task[object], web.Request] = {}
        self._count = 0
        self._is_stopping = False
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """How many wait now."""
        return self._count

    def has_place(self, user_id: str) -> bool:
        """Tell whether one more request of this user may wait."""
        if self._is_stopping or self._count >= self._total:
            return False
        return self._by_user[user_id] < self._per_user

    @contextmanager
    def place(self, user_id: str) -> Iterator[None]:
        """Hold a place; look with `has_place` before, without awaiting in between."""
        self._take(user_id)
        try:
            yield
        finally:
            self._give_back(user_id)

    def park(self, request: web.Request, user_id: str) -> "ParkedRequest":
        """Return a place to wait in, as the block of a ``with``; `stop` wakes who waits in one."""
        return ParkedRequest(self, request, user_id)

    def stop(self) -> None:
        """Wake everybody and let nobody wait any more; stopping twice is fine."""
        if self._is_stopping:
            return
        self._is_stopping = True
        for task in tuple(self._parked):
            task.cancel()

    async def close(self) -> None:
        """End looking after clients that went away."""
        self.stop()
        if self._sweeper is not None:
            sweeper, self._sweeper = self._sweeper, None
            sweeper.cancel()
            await asyncio.wait([sweeper])

    def enter(self, task: "asyncio.Task[object]", request: web.Request, user_id: str) -> None:
        """Let the task of the request wait here."""
        self._parked[task] = request
        self._take(user_id)
        self._look_out()

    def leave(self, task: "asyncio.Task[object]", user_id: str, *, is_cancelled: bool) -> bool:
        """Let it go on; True if it was cancelled only because `stop` woke it."""
        self._give_back(user_id)
        del self._parked[task]
        return is_cancelled and self._is_stopping

    def _take(self, user_id: str) -> None:
        self._count += 1
        self._by_user[user_id] += 1

    def _give_back(self, user_id: str) -> None:
        self._count -= 1
        decrease(self._by_user, user_id)

    def _look_out(self) -> None:
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep(), name="waiters-sweeper")

    async def _sweep(self) -> None:
        # aiohttp lets a handler run on when its client has gone (and so it should, for changes):
        # without this, a client that comes and goes would fill its user's places.
        while self._parked:
            await asyncio.sleep(LOOK_SECONDS)
            for task, request in tuple(self._parked.items()):
                if request.transport is None:
                    task.cancel()


def _this_task() -> "asyncio.Task[object]":
    return cast("asyncio.Task[object]", asyncio.current_task())
