"""Whether anything is left to do now: for tests, and programs that end with their work."""

import asyncio
from datetime import datetime
from typing import Any

from cidx_jobs.engine.alarm_clock import AlarmClock
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.effect_runner import EffectRunner

_LOOK_AGAIN_SECONDS = 0.05
"""A start that was not stored gives its slot back without a commit, so nobody tells of it."""


class Idleness:
    """Knows whether the engine has anything to do before the clock moves on."""

    def __init__(self, board: Board, effects: EffectRunner, *clocks: AlarmClock[Any]) -> None:
        """Take the memory, who brings due jobs into the queue, and what submits by itself."""
        self._board = board
        self._effects = effects
        self._clocks = clocks

    async def wait(self) -> None:
        """Return once nothing runs, nothing could start now, and the hooks have heard of it.

        What is held, paused, or has its time yet to come does not count. Start times, back-offs,
        probes of hosts, schedules and polls are looked at anew first, so that a clock that was
        moved is noticed at once.
        """
        self._board.due_times.ring_due()
        self._board.outages.ring_due()
        for each in self._clocks:
            each.ring_due()
        await self._board.hooks.settle()
        while not self._is_idle and not self._board.notifier.is_closed:
            await self._wait_for_news()
            # A hook may have asked for more work.
            await self._board.hooks.settle()

    def find_next_due(self) -> datetime | None:
        """Return the earliest start, end of a back-off, probe or time of a schedule to come."""
        dues = (
            self._board.due_times.find_next(),
            self._board.outages.find_next(),
            *(each.find_next_due() for each in self._clocks),
        )
        return min((due for due in dues if due is not None), default=None)

    @property
    def _is_idle(self) -> bool:
        if self._effects.is_busy or self._board.slots.count_running():
            return False
        if any(each.is_busy for each in self._clocks):
            return False
        return not any(map(self._board.reasons.is_free, self._board.live))

    async def _wait_for_news(self) -> None:
        news = self._board.notifier.subscribe(lambda _: True)
        timer = asyncio.get_running_loop().call_later(_LOOK_AGAIN_SECONDS, news.close)
        try:
            async for _ in news:
                if self._is_idle:
                    return
        finally:
            timer.cancel()
            news.close()
