"""Threads for our own blocking work, one a call: handlers may fill the loop's own executor.

`asyncio.to_thread` shares six or so threads with whatever handlers do in it. Were they all taken,
nothing of ours could go on that uses it: no cancel, no time-out, no stop.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from cidx_jobs.model.foreign import Raised, call_foreign

P = ParamSpec("P")
T = TypeVar("T")

THREAD_PREFIX = "cidx-jobs-"
"""What the names of all our threads begin with."""

_AGAIN_SECONDS = 0.05
_TRIES = 20
"""Together a second: a limit of threads that is met for longer is no passing shortage."""


async def in_own_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what *function* returns, called in a thread of its own.

    A caller who is cancelled leaves the thread at work, as with `asyncio.to_thread`. The thread
    is a daemon: it holds up no exit of the interpreter.

    Raises:
        RuntimeError: the system gives this process no further thread, for a second.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    call = partial(contextvars.copy_context().run, function, *args, **kwargs)
    name = THREAD_PREFIX + getattr(function, "__name__", "call").strip("<_>")
    for tries_left in reversed(range(_TRIES)):
        thread = threading.Thread(
            target=_answer, args=(call, loop, answer), name=name, daemon=True
        )
        try:
            thread.start()
            break
        except RuntimeError:
            # A limit of processes counts threads too, and may be met for a moment only.
            if not tries_left:
                raise
            await asyncio.sleep(_AGAIN_SECONDS)
    return await answer


def _answer(
    call: Callable[[], T], loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T]
) -> None:
    # In a tuple, because what it returns may be what it has seen raised itself.
    outcome = call_foreign(lambda: (call(),))
    try:
        loop.call_soon_threadsafe(_resolve, answer, outcome)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return


def _resolve(answer: asyncio.Future[T], outcome: tuple[T] | Raised) -> None:
    if answer.done():
        return
    if not isinstance(outcome, Raised):
        answer.set_result(outcome[0])
    elif isinstance(outcome.error, StopIteration):
        # A future cannot hold it.
        answer.set_exception(RuntimeError(repr(outcome.error)))
    else:
        answer.set_exception(outcome.error)
