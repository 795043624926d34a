"""The end of a server's process, in time, whatever threads and handlers are still at work in it.

All that was acknowledged is stored by then; what hangs is a handler's own, and nobody waits for
it. The exit code is 0: the stop was asked for, and the next start gives back what was running.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

from cidx_jobs.model.foreign import call_foreign
from cidx_jobs.runtime.log import get_logger

_LAST_LINE_SECONDS = 0.2
"""The log is written by a thread of its own, which gets a moment for the last line."""

_log = get_logger("server")


@contextlib.contextmanager
def ending_at_last(seconds: float, end: Callable[[int], None] | None = None) -> Iterator[None]:
    """End the process if the block takes longer than *seconds*, and log what was still at work.

    As when code of a handler holds the loop's thread: nothing else can go on there.
    """
    timer = _later(seconds, end or os._exit)
    try:
        yield
    finally:
        timer.cancel()


def end_despite_threads(seconds: float, end: Callable[[int], None] | None = None) -> None:
    """End the process if it has not ended by itself in *seconds*, and log what was still at work.

    The interpreter waits for all threads that are no daemons, as those of a handler's own pool,
    and for the processes of `multiprocessing`.
    """
    if threading.active_count() > 1 or "multiprocessing.process" in sys.modules:
        _later(seconds, end or os._exit)


def _later(seconds: float, end: Callable[[int], None]) -> threading.Timer:
    timer = threading.Timer(seconds, _end, (end,))
    timer.name = "last-exit"
    timer.daemon = True
    timer.start()
    return timer


def _end(end: Callable[[int], None]) -> None:
    # Whatever becomes of the last line, this is the end.
    call_foreign(_tell_of_threads)
    end(0)


def _tell_of_threads() -> None:
    _log.warning("end_not_awaited", at_work=_find_threads())
    time.sleep(_LAST_LINE_SECONDS)


def _find_threads() -> list[str]:
    """Return the names of all threads but this one, and the function that each of them is in."""
    frames = sys._current_frames()  # noqa: SLF001 - the only way to see where a thread hangs
    return [
        f"{thread.name} in {frames[thread.ident].f_code.co_qualname}"
        for thread in threading.enumerate()
        if thread.ident in frames and thread is not threading.current_thread()
    ]
