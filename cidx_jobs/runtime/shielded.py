"""Shielded work: what must come to its end is waited for, though the waiter is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, and return once all of them have ended, however they do."""
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)


async def finish(work: Awaitable[T], on_cancel: Callable[[], object] | None = None) -> T:
    """Return what *work* returns, and never before it has ended.

    Whoever is cancelled meanwhile, even again and again, still waits. Each cancellation calls
    *on_cancel*, which may make the work end sooner, and it is raised in the end.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
            if on_cancel is not None:
                on_cancel()
    if cancelled is None:
        return task.result()
    # The work's own error is looked at in any case: else the loop would tell of it later.
    raise cancelled from (None if task.cancelled() else task.exception())
