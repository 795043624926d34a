"""Parked requests: how many there may be, and who is woken when the server or a client goes."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import cast

from aiohttp import web

from cidx_jobs.model.job import Job

LOOK_SECONDS = 5.0
"""A client that went away frees its place within this time."""


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

    def count_of(self, user_id: str) -> int:
        """How many requests of this user wait now."""
        return self._by_user[user_id]

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

    async def park(self, request: web.Request, user_id: str, wait: Awaitable[Job]) -> Job | None:
        """Wait in a place, and give what *wait* gives; None when the application stops first."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._parked[task] = request
        self._take(user_id)
        self._look_out()
        try:
            return await wait
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
            # Woken by `stop`: the answer is still to be sent.
            task.uncancel()
            return None
        finally:
            self._give_back(user_id)
            del self._parked[task]

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

    def _take(self, user_id: str) -> None:
        self._count += 1
        self._by_user[user_id] += 1

    def _give_back(self, user_id: str) -> None:
        self._count -= 1
        self._by_user[user_id] -= 1
        if not self._by_user[user_id]:
            del self._by_user[user_id]

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
