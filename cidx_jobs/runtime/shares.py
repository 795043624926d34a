"""Concurrency limit for each user, so that nobody keeps all others waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Shares:
    """So many pieces of work of each user at a time; the next ones wait in their own line."""

    def __init__(self, per_user: int) -> None:
        """Begin with nobody at work."""
        self._per_user = per_user
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, user_id: str) -> AsyncIterator[None]:
        """Wait until one more piece of the user's work may begin, and hold its place."""
        # Held here, it lives as long as somebody uses it.
        turn = self._turns.setdefault(user_id, asyncio.Semaphore(self._per_user))
        async with turn:
            yield
