"""Threads and processes of one run: it has ended once all of them have (guarantees.md, G4).

A thread cannot be ended from outside. Whoever waits for one and is cancelled goes on waiting, so
that nothing of the handler, such as the end of its ``async with`` blocks, overtakes the thread.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from cidx_jobs.interfaces.run import ActiveRun, ChildRunner
from cidx_jobs.model.errors import StaleRunError
from cidx_jobs.model.foreign import Raised, call_foreign
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.foreign_code import await_foreign
from cidx_jobs.runtime.shielded import finish

T = TypeVar("T")


class _ThreadCall(msgspec.Struct, frozen=True):
    """A function of a run's, called in a thread that is named after both."""

    run: ActiveRun
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    @property
    def __name__(self) -> str:
        return f"job-{self.run.job_id}-{getattr(self.function, '__name__', 'call')}"

    def __call__(self) -> Any:
        return call_foreign(self.function, *self.arguments)


class RunWork:
    """Starts the threads and processes of one run, and waits for their ends."""

    def __init__(self, run: ActiveRun, children: ChildRunner) -> None:
        """Take the run that they belong to, and what starts its processes."""
        self._run = run
        self._children = children
        self._threads: set[asyncio.Task[Any]] = set()
        self._processes: set[asyncio.Task[Any]] = set()
        self._is_over = False

    @property
    def is_active(self) -> bool:
        """True while a thread or process of the run is at work."""
        return bool(self._threads or self._processes)

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called in a thread of its own.

        Raises:
            StaleRunError: the run is over.
        """
        call = _ThreadCall(self._run, function, arguments)
        task = self._begin(in_own_thread(call), self._threads)
        value: T = _value_of(await finish(task))
        return value

    async def in_process(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called in a process of its own, which a cancel ends.

        Raises:
            StaleRunError: the run is over.
        """
        call = await_foreign(self._children.call, function, *arguments)
        task = self._begin(call, self._processes)
        value: T = _value_of(await finish(task, on_cancel=task.cancel))
        return value

    def close(self) -> None:
        """Let none begin any more."""
        self._is_over = True

    async def end(self) -> None:
        """Return once no thread or process is at work; a process that is left over is ended."""
        for task in self._processes:
            task.cancel()
        while self.is_active:
            await asyncio.wait(self._threads | self._processes)

    def _begin(
        self, work: Coroutine[Any, Any, Any], tasks: set[asyncio.Task[Any]]
    ) -> asyncio.Task[Any]:
        if self._is_over:
            work.close()
            raise StaleRunError(self._run.job_id, self._run.run)
        task = asyncio.create_task(work, name=f"work-{self._run.job_id}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task


def _value_of(outcome: Any) -> Any:
    if isinstance(outcome, Raised):
        raise outcome.error
    return outcome
