"""An alarm clock: wakes for the next moment that is due, and begins the work of it."""

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine, Hashable
from datetime import datetime
from typing import Any, Generic, TypeVar

from cidx_jobs.engine.background import Background
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.runtime.shielded import end_tasks

LONGEST_NAP_SECONDS = 5.0
"""A wall clock that was set forward, and a machine that slept, are noticed within this time."""

K = TypeVar("K", bound=Hashable)


class AlarmClock(Background, Generic[K]):
    """Does the work of each key in a task of its own, one at a time for a key."""

    def __init__(self, clock: Clock, changed: asyncio.Event) -> None:
        """Go by the *clock*; look anew whenever *changed* is set."""
        self._clock = clock
        self._changed = changed
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._is_planned = False

    @property
    def is_busy(self) -> bool:
        """True while a moment's work goes on, or it is not known yet what is due."""
        return bool(self._tasks) or (self.is_at_work and not self._is_planned)

    async def stop(self) -> None:
        """Begin nothing more and end what goes on; the next start finds the same moments."""
        await super().stop()
        await end_tasks(self._tasks.values())

    @abstractmethod
    def ring_due(self) -> None:
        """Begin the work of every moment that has come."""

    @abstractmethod
    def find_next_due(self) -> datetime | None:
        """Return when something is due next."""

    @abstractmethod
    async def _plan_all(self) -> None:
        """Find out when everything is due."""

    def _has_room(self) -> bool:
        """Tell whether it makes sense to wake for the next moment."""
        return True

    def _begin(self, key: K, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._forget(key))

    def _forget(self, key: K) -> None:
        del self._tasks[key]

    async def _go_on(self) -> None:
        await self._plan_all()
        while True:
            self._changed.clear()
            self.ring_due()
            self._is_planned = True
            await self._nap()

    async def _nap(self) -> None:
        due, seconds = self.find_next_due(), LONGEST_NAP_SECONDS
        if due is not None and self._has_room():
            ahead = (due - self._clock.now()).total_seconds()
            seconds = min(seconds, max(0.0, ahead))
        waiting = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([waiting], timeout=seconds)
        finally:
            waiting.cancel()
