"""Fakes that tests share: a clock to be advanced, a gate that handlers wait at, a child runner."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cidx_jobs.interfaces import ChildResult, JobContext
from cidx_jobs.job_types import JobType

WAIT_SECONDS = 5.0
"""How long a test waits for what should happen at once."""


class FakeClock:
    """A clock that stands still until it is advanced."""

    def __init__(self, now: datetime | None = None) -> None:
        """Begin at *now*, or at a fixed time."""
        self._now = now or datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self._monotonic = 1_000.0

    def now(self) -> datetime:
        """Give the wall clock's time."""
        return self._now

    def monotonic(self) -> float:
        """Give the monotonic clock's seconds."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step_wall_clock(self, seconds: float) -> None:
        """Set the wall clock forward or back; monotonic time does not move."""
        self._now += timedelta(seconds=seconds)


class Gate:
    """A job type ``gated`` whose runs wait until the test lets them through."""

    def __init__(self, **rules: object) -> None:
        """Make the type with *rules*, the keyword arguments of `JobType`."""
        self.job_type = JobType("gated", self._run, **rules)  # type: ignore[arg-type]  # a test's own rules
        self.contexts: list[JobContext] = []
        self.running = 0
        self.most_running = 0
        self.cancelled = 0
        self._open = asyncio.Event()
        self._arrivals = asyncio.Condition()

    def open(self) -> None:
        """Let everybody through who is there or comes."""
        self._open.set()

    def close(self) -> None:
        """Let nobody through any more."""
        self._open.clear()

    async def arrived(self, count: int) -> None:
        """Wait until *count* runs in all have come to the gate."""
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


class NoChildren:
    """A child runner for engines whose jobs start no processes."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,  # noqa: ASYNC109 - as the interface has it
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> ChildResult:
        """Refuse."""
        message = f"no children here: {argv}, {timeout}, {cwd}, {env}, {on_line}"
        raise AssertionError(message)
