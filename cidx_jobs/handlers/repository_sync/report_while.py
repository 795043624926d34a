"""Progress reports at an interval, for work that does not report by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from cidx_jobs.runtime.shielded import finish

T = TypeVar("T")

REPORT_SECONDS = 0.25
"""Between two reports of work that does not report by itself."""


async def follow(work: Coroutine[Any, Any, T], report: Callable[[], Awaitable[None]]) -> T:
    """Return what *work* gives, and call *report* every `REPORT_SECONDS` until then.

    The work has ended when this does, also by an error of the report or a cancellation.
    """
    task = asyncio.create_task(work, name="followed-work")
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=REPORT_SECONDS)
            await report()
    finally:
        task.cancel()
        await finish(asyncio.wait({task}), on_cancel=task.cancel)
        if not task.cancelled():
            # Looked at, also where something else is raised: else the loop would tell of it later.
            task.exception()
    return task.result()
