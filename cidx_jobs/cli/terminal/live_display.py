"""Progress on stderr: one live line on a terminal, one line a change elsewhere."""

import os
import sys
import time
from collections.abc import Callable
from typing import IO, Protocol

import attrs

from cidx_jobs.cli.terminal.job_lines import change_line, live_line
from cidx_jobs.client.smooth_percent import TICK_SECONDS, SmoothProgress
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.jobs import JobDocument

NARROWEST = 20
USUAL_WIDTH = 80
REDRAW_SECONDS = TICK_SECONDS
"""How often a live line is looked at: its percent glides, and its estimate counts down."""

_CLEAR = "\r\x1b[K"


class Display(Protocol):
    """Where the progress of a job is shown."""

    def show(self, job: JobDocument) -> None:
        """Show how the job stands now."""

    def notice(self, text: str) -> None:
        """Say something that stays to be read."""

    def tick(self) -> None:
        """Let time be seen to pass; called every `REDRAW_SECONDS`."""

    def close(self) -> None:
        """Leave the stream at the beginning of a line."""


def make_display(stream: IO[str] | None = None) -> Display:
    """Return the display that fits *stream* (stderr): live on a terminal that can, else lines."""
    stream = stream or sys.stderr
    if stream.isatty() and os.environ.get("TERM") not in {None, "", "dumb"}:
        return LiveLine(stream, width=lambda: terminal_width(stream))
    return ChangeLines(stream)


def terminal_width(stream: IO[str]) -> int:
    """Return the columns of the terminal behind *stream* as they are now."""
    try:
        return max(NARROWEST, os.get_terminal_size(stream.fileno()).columns)
    except (OSError, ValueError):
        return USUAL_WIDTH


@attrs.define
class LiveLine:
    """One line that is drawn over itself."""

    _stream: IO[str]
    _width: Callable[[], int]
    _now: Callable[[], float] = time.monotonic
    _job: JobDocument | None = None
    _shown_at: float = 0.0
    _progress: SmoothProgress = attrs.field(factory=SmoothProgress)
    _drawn: tuple[int, str] | None = None
    """The width and the line that can be seen now; None when something else was written."""

    def show(self, job: JobDocument) -> None:
        """Draw the line for the job's new state."""
        self._job = job
        self._shown_at = self._now()
        self._progress.take(job, self._shown_at)
        self.tick()

    def tick(self) -> None:
        """Draw the line anew if it is another one, in the width that the terminal has now."""
        if self._job is None:
            return
        now = self._now()
        # The last column stays free: some terminals begin a new line after it.
        width = self._width() - 1
        line = live_line(
            self._job,
            width,
            percent=self._progress.percent(now),
            age_seconds=now - self._shown_at,
            marks=self._marks(),
        )
        if self._drawn != (width, line):
            self._write(_CLEAR + line)
            self._drawn = (width, line)

    def notice(self, text: str) -> None:
        """Put a line above the live one."""
        self._write(f"{_CLEAR}{escape(text)}\n")
        self._drawn = None
        self.tick()

    def close(self) -> None:
        """Wipe the line: what is said after it says it better."""
        if self._job is not None:
            self._write(_CLEAR)
            self._job = self._drawn = None

    def _marks(self) -> str:
        encoding = getattr(self._stream, "encoding", None) or "ascii"
        return "\u2588\u2591" if encoding.lower().replace("-", "") == "utf8" else "#-"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@attrs.define
class ChangeLines:
    """A line for each change that can be seen, for files, pipes and logs."""

    _stream: IO[str]
    _last: str = ""

    def show(self, job: JobDocument) -> None:
        """Write a line unless it would repeat the one before."""
        line = change_line(job)
        if line != self._last:
            self._last = line
            self._write(line)

    def tick(self) -> None:
        """Do nothing: what does not change is not written again."""

    def notice(self, text: str) -> None:
        """Write a line of its own."""
        self._write(escape(text))

    def close(self) -> None:
        """Do nothing: each line is whole."""

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
