"""Parked requests: how many there may be, and who is woken when server, client or token goes."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Self, cast

from aiohttp import web

from cidx_jobs.engine.counts import decrease
from cidx_jobs.model.errors import AuthenticationRequiredError
from cidx_jobs.runtime.shielded import end_tasks

LOOK_SECONDS = 5.0
"""A client that went away frees its place within this time."""
ASK_SECONDS = 0.5
"""A caller whose token ended is let go within this time."""

IsKnown = Callable[[web.Request], Awaitable[bool]]
"""Tells whether whoever made a request may still come in."""

_Task = asyncio.Task[object]


class ParkedRequest:
    """The place of one parked request; a coroutine in its stead would take more memory."""

    __slots__ = ("_is_watched", "_request", "_user_id", "_waiters", "was_woken")

    def __init__(
        self, waiters: "Waiters", request: web.Request, user_id: str, *, is_watched: bool
    ) -> None:
        """Belong to a request of the user's."""
        self.was_woken: bool = False
        """The application stops: the answer is still to be sent, as things are now."""
        self._waiters = waiters
        self._request = request
        self._user_id = user_id
        self._is_watched = is_watched

    def __enter__(self) -> Self:
        task = _this_task()
        self._waiters.enter(task, self._request, self._user_id, is_watched=self._is_watched)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        task = _this_task()
        is_cancelled = kind is asyncio.CancelledError
        self.was_woken = self._waiters.leave(task, self._user_id, is_cancelled=is_cancelled)
        if self._waiters.unwatch(task, self._request) and is_cancelled:
            task.uncancel()
            raise AuthenticationRequiredError from None
        if self.was_woken:
            task.uncancel()
        return self.was_woken


class WatchedRequest:
    """A stream, which ends where it is once its reader may not come in any more."""

    __slots__ = ("_request", "_waiters")

    def __init__(self, waiters: "Waiters", request: web.Request) -> None:
        """Belong to the request."""
        self._waiters = waiters
        self._request = request

    def __enter__(self) -> Self:
        self._waiters.watch(_this_task(), self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        task = _this_task()
        was_lost = self._waiters.unwatch(task, self._request)
        if was_lost and kind is asyncio.CancelledError:
            task.uncancel()
            return True
        return False


class Waiters:
    """The places for requests that wait: bounded per user and in all."""

    def __init__(self, per_user: int, total: int, is_known: IsKnown | None = None) -> None:
        """Begin with all places free.

        Args:
            per_user: how many of one user may wait.
            total: how many in all.
            is_known: asked about each token of those who wait, again and again; None where
                nobody can lose what let them in.
        """
        self._is_known = is_known
        # By what the caller showed: of a thousand that wait with one token one is asked about.
        self._watched: dict[str, dict[_Task, web.Request]] = {}
        self._lost: set[_Task] = set()
        self._asker: asyncio.Task[None] | None = None
        self._per_user = per_user
        self._total = total
        self._by_user: Counter[str] = Counter()
        self._parked: dict[_Task, web.Request] = {}
        self._count = 0
        self._is_stopping = False
        self._woken: set[_Task] = set()
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """How many wait now."""
        return self._count

    @property
    def is_stopping(self) -> bool:
        """True once nobody may wait any more."""
        return self._is_stopping

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

    def park(
        self, request: web.Request, user_id: str, *, is_watched: bool = True
    ) -> "ParkedRequest":
        """Return a place to wait in, as the block of a ``with``; `stop` wakes who waits in one.

        Args:
            request: which waits.
            user_id: whose it is.
            is_watched: it ends with the caller's right to come in; False where another process
                looks after that.
        """
        return ParkedRequest(self, request, user_id, is_watched=is_watched)

    def stop(self) -> None:
        """Wake everybody and let nobody wait any more; stopping twice is fine."""
        if self._is_stopping:
            return
        self._is_stopping = True
        for task in tuple(self._parked):
            task.cancel()

    def wake(self, is_meant: Callable[[web.Request], bool]) -> None:
        """Wake those whose requests are meant, as `stop` wakes all."""
        for task, request in tuple(self._parked.items()):
            if task not in self._woken and is_meant(request):
                self._woken.add(task)
                task.cancel()

    async def close(self) -> None:
        """End looking after clients that went away."""
        self.stop()
        ending = [task for task in (self._sweeper, self._asker) if task is not None]
        self._sweeper = self._asker = None
        await end_tasks(ending)

    def enter(self, task: _Task, request: web.Request, user_id: str, *, is_watched: bool) -> None:
        """Let the task of the request wait here."""
        self._parked[task] = request
        self._take(user_id)
        self._look_out()
        if is_watched:
            self.watch(task, request)

    def leave(self, task: _Task, user_id: str, *, is_cancelled: bool) -> bool:
        """Let it go on; True if it was cancelled only because it was woken."""
        self._give_back(user_id)
        del self._parked[task]
        was_woken = self._is_stopping or task in self._woken
        self._woken.discard(task)
        return is_cancelled and was_woken

    def watched(self, request: web.Request) -> WatchedRequest:
        """Return the block of a ``with`` that ends with the caller's right to come in."""
        return WatchedRequest(self, request)

    def watch(self, task: _Task, request: web.Request) -> None:
        """Cancel the task once whoever made the request may not come in any more."""
        if self._is_known is None:
            return
        self._watched.setdefault(_shown(request), {})[task] = request
        if self._asker is None or self._asker.done():
            self._asker = asyncio.create_task(self._ask(self._is_known), name="waiters-asker")

    def unwatch(self, task: _Task, request: web.Request) -> bool:
        """Let it go on unwatched; True if it was cancelled for that."""
        shown = _shown(request)
        of_caller = self._watched.get(shown, {})
        of_caller.pop(task, None)
        if not of_caller:
            self._watched.pop(shown, None)
        was_lost = task in self._lost
        self._lost.discard(task)
        return was_lost

    async def _ask(self, is_known: IsKnown) -> None:
        while self._watched:
            await asyncio.sleep(ASK_SECONDS)
            for shown, of_caller in tuple(self._watched.items()):
                request = next(iter(of_caller.values()))
                if await is_known(request):
                    continue
                for task in tuple(self._watched.get(shown, ())):
                    self._lost.add(task)
                    task.cancel()

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


def _shown(request: web.Request) -> str:
    return request.headers.get("Authorization", "")


def _this_task() -> _Task:
    return cast("_Task", asyncio.current_task())
