"""An end that must be whole: a caller who is cancelled waits for it all the same."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

Step = Callable[[], Awaitable[None]]


async def finish(
    stop: Coroutine[Any, Any, None], then: Sequence[Step], hurry: Callable[[], None]
) -> None:
    """Await *stop*, and *then* each of the steps, whatever fails before it.

    A cancellation calls *hurry*, and is passed on at the end. Half an end would leave runs at
    work over a store that is closed, beside those of whoever opens it next (guarantees.md, G4).
    """
    task = asyncio.create_task(_go_through(stop, then), name="job-system-close")
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
            hurry()
    try:
        task.result()
    finally:
        if cancelled is not None:
            raise cancelled


async def _go_through(stop: Coroutine[Any, Any, None], then: Sequence[Step]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for step in reversed(then):
            stack.push_async_callback(step)
        await stop
