"""Calls of code that is not ours: handlers, hooks, line callbacks, retry policies, encoders.

Such code may raise anything. A panic of an extension written in Rust, ``gevent.Timeout`` and
`GeneratorExit` derive from `BaseException`; `SystemExit` and `KeyboardInterrupt`, let out of a
task, end the event loop and the server with it (guarantees.md, G17). Here whatever is raised
becomes a value, which the caller has to look at.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

import attrs

P = ParamSpec("P")
T = TypeVar("T")


@attrs.frozen
class Raised:
    """What foreign code raised in place of returning."""

    error: BaseException

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None]:
        """The error with its traceback, as a log line takes it."""
        return type(self.error), self.error, self.error.__traceback__


def call_foreign(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Raised:
    """Return what *function* returns, or what it raises, whatever that is."""
    try:
        return function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - the one place that may: see the module
        return Raised(error)


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
    except BaseException as error:  # noqa: BLE001 - as above
        return Raised(error)


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
