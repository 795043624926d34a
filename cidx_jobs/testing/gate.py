"""A job type whose runs wait until the test lets them through."""

import asyncio
from collections.abc import Mapping
from typing import Any

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType

WAIT_SECONDS = 5.0
"""How long a test waits for what should happen at once."""


class Gate:
    """A job type ``gated``: its runs come to the gate, and wait there while it is closed."""

    def __init__(self, name: str = "gated", **rules: Any) -> None:
        """Make the type with *rules*, the keyword arguments of `JobType`; the gate is closed."""
        self.job_type: JobType = JobType(name, self._run, **rules)
        self.contexts: list[JobContext] = []
        """The context of each run that came, in the order of their coming."""
        self.running: int = 0
        self.most_running: int = 0
        self.cancelled: int = 0
        """How many runs were cancelled while they waited."""
        self._open = asyncio.Event()
        self._arrivals = asyncio.Condition()

    def open(self) -> None:
        """Let everybody through who is there or comes."""
        self._open.set()

    def close(self) -> None:
        """Let nobody through any more."""
        self._open.clear()

    async def arrived(self, count: int = 1) -> None:
        """Wait until *count* runs in all have come to the gate.

        Raises:
            TimeoutError: they did not within five seconds.
        """
        async with asyncio.timeout(WAIT_SECONDS), self._arrivals:
            await self._arrivals.wait_for(lambda: len(self.contexts) >= count)

    async def _run(self, context: JobContext) -> Mapping[str, object]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.contexts.append(context)
        async with self._arrivals:
            self._arrivals.notify_all()
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return {"attempt": context.job.attempt, "checkpoint": context.checkpoint}
