"""Where the lines of the log go: a stream that may be full, slow or gone, and stops nobody.

A pipe that nobody reads (a collector that hangs, a terminal after Ctrl-S) takes 64 KiB and then
holds whoever writes to it. So a thread writes to whatever may have a reader, from a queue with a
bound; what does not fit is dropped and counted.
"""

import atexit
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from cidx_jobs.observe.log_file import LogFile
from cidx_jobs.runtime.blocking import THREAD_PREFIX
from cidx_jobs.runtime.forks import in_forked_children

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""So much may wait for a reader."""

_WRITE_BYTES = 64 * 1024
_LAST_LINES_SECONDS = 1.0


class TextStream(Protocol):
    """Where lines are written to: a stream of text, or the log's own file."""

    def write(self, text: str, /) -> int:
        """Write a text."""

    def flush(self) -> None:
        """Hand it to the system."""

    def isatty(self) -> bool:
        """Tell whether a person sits at it."""

    def fileno(self) -> int:
        """Return its descriptor."""


class LineWriter:
    """Writes lines to a stream; what cannot be written is dropped and counted, never raised."""

    def __init__(
        self, stream: TextStream, tell_dropped: Callable[[int], None] = lambda _: None
    ) -> None:
        """Write to *stream*, from any thread.

        Args:
            stream: where lines go.
            tell_dropped: called with a number of lines that did not fit, once there is room.
        """
        self._stream = stream
        self._lock = threading.Lock()
        self._dropped = 0
        descriptor = _find_reader(stream)
        self._queue = None if descriptor is None else LineQueue(descriptor, tell_dropped)

    @property
    def dropped(self) -> int:
        """Lines that were lost, as on a full disk or where nobody reads."""
        return self._dropped + (0 if self._queue is None else self._queue.dropped)

    def reopen(self) -> None:
        """Go on in the file that has the path now, where lines go to a file of the log.

        Raises:
            OSError: it cannot be opened; the one before is written on.
        """
        if isinstance(self._stream, LogFile):
            self._stream.reopen()

    def write(self, line: str) -> None:
        """Write one line, which brings no line end of its own."""
        if self._queue is not None:
            self._queue.put(line.encode("utf-8", "backslashreplace") + b"\n")
            return
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                # A full disk, a reader that went away, or a stream that was closed.
                self._dropped += 1


class LineQueue:
    """Lines on their way to a descriptor that may block; one thread writes them.

    It writes to the descriptor itself: a Python stream whose lock is held by a thread that hangs
    could not even be flushed at the interpreter's end.
    """

    def __init__(
        self,
        descriptor: int,
        tell_dropped: Callable[[int], None],
        *,
        max_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        """Write to *descriptor*; its thread begins with the first line."""
        self.dropped = 0
        """Lines that did not fit or could not be written."""
        self._descriptor = descriptor
        self._tell_dropped = tell_dropped
        self._max_bytes = max_bytes
        self._begin_anew()
        # A fork has no such thread, and the lines that wait are its parent's to write.
        in_forked_children(self._begin_anew)
        atexit.register(self.drain, _LAST_LINES_SECONDS)

    def put(self, line: bytes) -> None:
        """Take a line, without waiting for anything."""
        with self._changed:
            if self._bytes + len(line) > self._max_bytes or not self._has_thread():
                self._count(1)
                return
            self._lines.append(line)
            self._bytes += len(line)
            self._changed.notify_all()

    def drain(self, seconds: float) -> None:
        """Return once all lines are written, at the latest after *seconds*."""
        with self._changed:
            self._changed.wait_for(lambda: not self._bytes, seconds)

    def _begin_anew(self) -> None:
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._untold = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def _has_thread(self) -> bool:
        if self._thread is None:
            name = THREAD_PREFIX + "log"
            thread = threading.Thread(target=self._write_forever, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # None is to be had now; the next line tries again.
                return False
            self._thread = thread
        return True

    def _write_forever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                batch = self._take()
            is_written = _write_all(self._descriptor, b"".join(batch))
            with self._changed:
                self._bytes -= sum(map(len, batch))
                if not is_written:
                    self._count(len(batch))
                untold = self._untold if is_written and not self._lines else 0
                self._untold -= untold
                self._changed.notify_all()
            if untold:
                self._tell_dropped(untold)

    def _take(self) -> list[bytes]:
        batch = [self._lines.popleft()]
        size = len(batch[0])
        while self._lines and size + len(self._lines[0]) <= _WRITE_BYTES:
            size += len(self._lines[0])
            batch.append(self._lines.popleft())
        return batch

    def _count(self, lines: int) -> None:
        self.dropped += lines
        self._untold += lines


def _find_reader(stream: TextStream) -> int | None:
    """Return the stream's descriptor if somebody reads at its other end; None for a file."""
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return None
    has_reader = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)
    return descriptor if has_reader else None


def _write_all(descriptor: int, data: bytes) -> bool:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            # Somebody who shares the pipe has asked not to wait; we do, for a reader.
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
        except OSError:
            # The reader went away, or the disk behind it is full.
            return False
    return True
