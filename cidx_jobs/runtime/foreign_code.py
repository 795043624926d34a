"""Awaiting code that is not ours: whatever handlers and hooks raise becomes a value.

So the caller has to look at it; what such code may raise says `cidx_jobs.model.foreign`, which
calls what is no coroutine.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from cidx_jobs.model.foreign import Raised

P = ParamSpec("P")
T = TypeVar("T")


async def await_foreign(
    function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T | Raised:
    """Return what *function* gives when awaited, or what it raises, whatever that is.

    Only what is meant for the task that calls is raised: its cancellation, and its being torn
    down with a loop that is closed.
    """
    own_task = _current_task()
    try:
        return await function(*args, **kwargs)
    except asyncio.CancelledError as error:
        if own_task is not None and own_task.cancelling():
            raise
        # Nobody cancelled the task: it awaited what somebody else had cancelled.
        return Raised(error)
    except GeneratorExit as error:
        # A coroutine that nobody will resume is closed by this, outside of its task.
        if _current_task() is not own_task:
            raise
        return Raised(error)
    except BaseException as error:  # noqa: BLE001 - what foreign code raises becomes a value
        return Raised(error)


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
