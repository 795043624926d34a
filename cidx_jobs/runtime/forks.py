"""What a forked child must not have of this process: its locks, its sockets, its signals.

`multiprocessing` and `ProcessPoolExecutor` fork by default on Linux up to Python 3.13. A child has
a copy of every descriptor and of the way signals are taken: a SIGTERM to it would stop the server,
and as long as it lives the port and the data directory stay taken (guarantees.md, fact 18).
What is executed anew, as git, has none of it.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterable

from cidx_jobs.model.foreign import call_foreign

React = Callable[[], None]

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_LOOPS = frozenset({"asyncio", "uvloop"})
# One registry for the process: what the interpreter calls after a fork cannot be taken back.
_reactions: dict[object, React] = {}


def in_forked_children(react: React) -> React:
    """Call *react* in every child that is forked from now on; return what ends that.

    It runs before any code of the child's own, on its only thread, and must not raise.
    """
    key = object()
    _reactions[key] = react
    return lambda: _forget(key)


def withhold(find_descriptors: Callable[[], Iterable[int]]) -> React:
    """Close the descriptors in every child that is forked from now on; return what ends that.

    In the child ``/dev/null`` takes their place: objects that hold the numbers live on in it, and
    must find nothing of the child's own behind them.
    """
    return in_forked_children(lambda: _close(find_descriptors()))


def _close(descriptors: Iterable[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for descriptor in tuple(descriptors):
            with contextlib.suppress(OSError):
                os.dup2(nothing, descriptor, inheritable=False)
    finally:
        os.close(nothing)


def _forget(key: object) -> None:
    _reactions.pop(key, None)


def _react() -> None:
    if not _reactions:
        return
    _release_signals()
    for react in tuple(_reactions.values()):
        # One that fails must not keep the others from their part.
        call_foreign(react)
    _reactions.clear()


def _release_signals() -> None:
    # What a loop took is told to that loop by a socket, which the child shares with its parent.
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            if _is_of_a_loop(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)


def _is_of_a_loop(handler: object) -> bool:
    module = getattr(getattr(handler, "func", handler), "__module__", None) or ""
    return module.partition(".")[0] in _LOOPS


os.register_at_fork(after_in_child=_react)
