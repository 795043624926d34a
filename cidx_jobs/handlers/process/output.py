"""Output of a child process: the tail that is kept, the lines that are handed on, the exit."""

import asyncio
import codecs
import re
import signal
from collections.abc import Callable
from typing import cast

from cidx_jobs.interfaces.run import ChildResult
from cidx_jobs.model.foreign import Raised, call_foreign

CAPTURED_BYTES = 64 * 1024
"""So many of the last bytes of each stream are kept for who started the child."""
MAX_LINE_CHARACTERS = 8_192
"""What a line has beyond is dropped: a child that writes none at all fills no memory."""

_STDOUT, _STDERR = 1, 2
_UNKNOWN_CODE = -255
_CODES_OF_SIGNALS = frozenset(
    128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)
)
"""How a shell passes on that a signal ended what it ran."""
_DIED_OF_SIGNAL = b"died of signal"
"""What git says of its own children."""

OnLine = Callable[[str], None]


class ChildOutput(asyncio.SubprocessProtocol):
    """Collects what a child says, and tells of its end."""

    def __init__(self, on_line: OnLine | None, on_error_line: OnLine | None) -> None:
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done at the child's exit, and at once where a line's callback raised (`raised`)."""
        self.closed = asyncio.Event()
        """Set when the child has exited and its pipes are read to their ends."""
        self.was_killed = False
        """True once `kill` had to end the child."""
        self.raised: BaseException | None = None
        """What a line's callback raised, also after the child's exit."""
        self._transport: asyncio.SubprocessTransport | None = None
        self._tails = {_STDOUT: bytearray(), _STDERR: bytearray()}
        self._takes_stdout = on_line is not None
        self._lines = {
            fd: _Lines(callback)
            for fd, callback in ((_STDOUT, on_line), (_STDERR, on_error_line))
            if callback
        }

    @property
    def is_well(self) -> bool:
        """True once the child has exited by itself and nothing else went wrong."""
        exited = self.exited
        return exited.done() and not exited.cancelled() and self.raised is None

    @property
    def tells_of_signal(self) -> bool:
        """True where a signal ended the child, or what it ran, as shells and git tell it."""
        code = self._transport.get_returncode() if self._transport else None
        said = self._tails[_STDERR]
        return code is not None and (
            code < 0 or code in _CODES_OF_SIGNALS or (code != 0 and _DIED_OF_SIGNAL in said)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what the code is asked of."""
        # A loop's promise; uvloop's transports are none by their class.
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the last of it, and hand its lines on."""
        if not (fd == _STDOUT and self._takes_stdout):
            tail = self._tails[fd]
            tail += data
            del tail[:-CAPTURED_BYTES]
        if fd in self._lines:
            self._tell(self._lines[fd].feed, data)

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        """Hand the last line on, which may have no end."""
        if fd in self._lines:
            self._tell(self._lines[fd].finish)

    def process_exited(self) -> None:
        """Tell of the exit; pipes may still hold words."""
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell that there is no more to come."""
        self.closed.set()

    def kill(self) -> None:
        """End the child itself at once; what it started ends with its run."""
        if self._transport is not None and self._transport.get_returncode() is None:
            self.was_killed = True
            self._transport.kill()

    def raise_for_lines(self) -> None:
        """Raise what a line's callback raised, if one did."""
        if self.raised is not None:
            raise self.raised

    def result(self) -> ChildResult:
        """Return the child's code and what was kept of its words."""
        code = self._transport.get_returncode() if self._transport else None
        return ChildResult(
            returncode=_UNKNOWN_CODE if code is None else code,
            stdout=self._tails[_STDOUT].decode("utf-8", "replace"),
            stderr=self._tails[_STDERR].decode("utf-8", "replace"),
        )

    def _tell(self, feed: Callable[..., None], *data: bytes) -> None:
        # An error of the callback is the caller's: it ends the wait, and with it the child.
        if self.raised is not None:
            return
        outcome = call_foreign(feed, *data)
        if isinstance(outcome, Raised):
            self.raised = outcome.error
            if not self.exited.done():
                self.exited.set_result(None)


class _Lines:
    """Cuts bytes into lines at every CR and LF; the empty ones between them are left out."""

    def __init__(self, callback: OnLine) -> None:
        self._callback = callback
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> None:
        """Take more bytes and hand on the lines that end in them."""
        *lines, rest = re.split(r"[\r\n]", self._rest + self._decoder.decode(data))
        self._rest = rest[:MAX_LINE_CHARACTERS]
        for line in filter(None, lines):
            self._callback(line[:MAX_LINE_CHARACTERS])

    def finish(self) -> None:
        """Hand on the last line if it has no end."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        if rest:
            self._callback(rest)
