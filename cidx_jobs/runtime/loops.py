"""Event loops: which one runs, one that goes on to the end of its main task, and its signals.

What a library does that a handler calls must not end the server, or keep it from its end
(guarantees.md, G17). asyncio lets `SystemExit` and `KeyboardInterrupt` of any task through
``run_forever``, besides setting them on the task; any task may stop the loop; and handlers of
signals are the whole process's: where others set theirs, a server would hear of no stop any more.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from cidx_jobs.runtime.forks import in_forked_children
from cidx_jobs.runtime.log import get_logger

T = TypeVar("T")

AGAIN_SECONDS = 1.0
"""How long a signal may be somebody else's."""
LEFT_CODE = os.EX_SOFTWARE
"""The exit code of a forked child that comes back to the loop of its parent."""

_log = get_logger("server")


def find_running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread now; None between two turns, or without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def run_to_its_end(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    """Return what *main* returns, run on *loop*; exits that others ask for go to the loop's log.

    So does a stop of the loop. Ctrl-C is to be taken as a signal by *main*: as a KeyboardInterrupt
    it would end nothing.
    """
    task = loop.create_task(main, name="main")
    task.add_done_callback(_stop_loop)
    forget_forks = in_forked_children(lambda: _leave(loop))
    try:
        while not task.done():
            _turn(loop, task)
    finally:
        forget_forks()
    return task.result()


def _stop_loop(main: asyncio.Task[Any]) -> None:
    error = None if main.cancelled() else main.exception()
    # These have left `run_forever` by themselves: the stop would be that of the next.
    if not isinstance(error, SystemExit | KeyboardInterrupt):
        main.get_loop().stop()


def _turn(loop: asyncio.AbstractEventLoop, main: asyncio.Task[Any]) -> None:
    error: BaseException | None = None
    message = "a task beside the server's own stopped the loop"
    try:
        loop.run_forever()
    except (SystemExit, KeyboardInterrupt) as raised:
        if main.done():
            raise
        message = f"a task beside the server's own raised {type(raised).__name__}"
        error = raised
    if not main.done():
        loop.call_exception_handler({"message": message, "exception": error})


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    # A handler that forks and comes back in the child would turn the parent's loop there, which
    # takes the parent's events. It turns no further than this.
    if loop.is_running():
        loop.call_soon(os._exit, LEFT_CODE)


@contextmanager
def taking_signals(react: Callable[[], None]) -> Iterator[None]:
    """Have *react* called on the running loop at SIGTERM, SIGINT and SIGHUP.

    A SIGHUP that is ignored, as under nohup, stays so.
    """
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    taken = _Taken(numbers, react)
    try:
        yield
    finally:
        taken.leave()


class _Taken:
    """The signals, looked after from time to time."""

    def __init__(self, numbers: list[signal.Signals], react: Callable[[], None]) -> None:
        """Take the signals."""
        self._loop = asyncio.get_running_loop()
        self._numbers = numbers
        self._react = react
        self._add()
        # What a signal wakes the loop by; it is the loop's, which does not look after it.
        self._wakes = signal.set_wakeup_fd(-1)
        self._wake()
        self._timer = self._loop.call_later(AGAIN_SECONDS, self._take_back)

    def leave(self) -> None:
        """Leave the signals as they were before a loop took them."""
        self._timer.cancel()
        for number in self._numbers:
            self._loop.remove_signal_handler(number)

    def _take_back(self) -> None:
        self._timer = self._loop.call_later(AGAIN_SECONDS, self._take_back)
        before = list(map(signal.getsignal, self._numbers))
        # A loop of asyncio's own would be awake by the next line.
        is_awake = self._wake()
        self._add()
        if before != list(map(signal.getsignal, self._numbers)) or not is_awake:
            _log.warning("signals_taken_back")

    def _add(self) -> None:
        for number in self._numbers:
            self._loop.add_signal_handler(number, self._react)

    def _wake(self) -> bool:
        """Let signals wake the loop; return whether they did."""
        return signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False) == self._wakes
