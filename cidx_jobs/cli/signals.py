"""Signal handlers: Ctrl-C and SIGTERM end a command at any time, without a traceback.

From the first line of `main` to the last, either signal ends the process at once with its exit
code: nothing is held that an end could harm. Only where a command has something to say or to
close does it take them over, for as long as that lasts.
"""

import os
import signal
from types import FrameType

from cidx_jobs.cli.exit_codes import Exit

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CODES: dict[int, int] = {}


def end_at_once_on_signals(*, server_code: int | None = None) -> None:
    """Let Ctrl-C and SIGTERM end the process, quietly, from now on.

    A server that is told to stop by SIGTERM or SIGHUP ends well: with *server_code*. A command of
    a client leaves SIGHUP to the system.
    """
    _CODES[signal.SIGINT] = Exit.INTERRUPTED
    _CODES[signal.SIGTERM] = Exit.TERMINATED if server_code is None else server_code
    if server_code is not None:
        _CODES[signal.SIGHUP] = server_code
    for number in _CODES:
        # A parent may have asked for it to be ignored (nohup): that stays.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    os._exit(_CODES[number])


class RaisingKeyboardInterrupt:
    """A block within which Ctrl-C raises KeyboardInterrupt; both handlers are restored after it.

    No `contextlib` here: this module is imported before Ctrl-C is taken over.
    """

    def __enter__(self) -> None:
        """Take Ctrl-C over, unless it is ignored."""
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        if self._before[signal.SIGINT] is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *_: object) -> None:
        """Restore the handlers of both signals."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
