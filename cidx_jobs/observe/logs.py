"""The log of a program: one line an event on stderr, without secrets, and never a reason to fail.

What the libraries below us log by `logging` comes out the same way.
"""

import functools
import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from typing_extensions import override

from cidx_jobs.model.foreign import Raised, attempt, call_foreign
from cidx_jobs.observe.line_writer import LineWriter, TextStream
from cidx_jobs.observe.log_file import LogFile
from cidx_jobs.runtime.log import PACKAGE, LogEvent, clean_fields, get_logger
from cidx_jobs.settings import Settings

_LIBRARIES = ("asyncio", "aiohttp", "aiosqlite")
_CONTROL_MARKS = "\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
_NOT_IN_A_LINE = re.compile(f"[\x00-\x1f{_CONTROL_MARKS}]")
_NOT_IN_A_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f{_CONTROL_MARKS}]")

_encode = msgspec.json.Encoder().encode

Render = Callable[[logging.LogRecord], str]


def setup_logging(settings: Settings, stream: TextStream | None = None) -> LineWriter:
    """Write our log, and the warnings of the libraries below us, to one stream, as `serve` does.

    Level and form are the settings' `log_level` and `log_format`. Called again it replaces what
    it set up before. Returns the writer, which counts the lines that were lost.

    Args:
        settings: of the server.
        stream: the settings' `log_file` if None, else stderr.

    Raises:
        SettingsError: `log_file` cannot be opened.
    """
    file = None if settings.log_file is None or stream else LogFile(settings.log_file)
    stream = stream or file or sys.stderr
    form = settings.log_format or ("console" if stream.isatty() else "json")
    writer = LineWriter(stream, _tell_dropped)
    handler = LineHandler(
        writer, ConsoleLines(colors=stream.isatty()) if form == "console" else to_json
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    _let_write(PACKAGE, handler, level)
    for library in _LIBRARIES:
        _let_write(library, handler, max(level, logging.WARNING))
    return writer


def reopen_log_files() -> None:
    """Go on in the file that has the name of the log's now, as after a rotation."""
    for handler in logging.getLogger(PACKAGE).handlers:
        if isinstance(handler, LineHandler):
            try:
                handler.reopen()
            except OSError as error:
                get_logger("log").warning("log_file_not_reopened", reason=error.strerror)


def count_dropped_lines() -> int:
    """Return how many lines of our log were lost, where `setup_logging` has set it up."""
    handlers = logging.getLogger(PACKAGE).handlers
    return sum(one.dropped for one in handlers if isinstance(one, LineHandler))


class LineHandler(logging.Handler):
    """Writes each record as one line; what cannot be written is lost, and never raised."""

    def __init__(self, writer: LineWriter, render: Render) -> None:
        """Write what *render* makes of a record."""
        super().__init__()
        self._writer = writer
        self._render = render

    def reopen(self) -> None:
        """Open the log's file anew, if it is written to one."""
        self._writer.reopen()

    @property
    def dropped(self) -> int:
        """Lines that were lost."""
        return self._writer.dropped

    @override
    def emit(self, record: logging.LogRecord) -> None:
        line = call_foreign(self._render, record)
        if isinstance(line, Raised):
            line.taken()
        else:
            self._writer.write(line)


class ConsoleLines:
    """Renders a record for a person; what a terminal would obey is escaped."""

    def __init__(self, *, colors: bool) -> None:
        """Use colours or not."""
        self._render = structlog.dev.ConsoleRenderer(colors=colors)

    def __call__(self, record: logging.LogRecord) -> str:
        """Return the record as one line; a traceback follows it."""
        event = _event_of(record)
        head = {
            "timestamp": _time_of(record),
            "level": _level_of(record),
            "event": event.name,
        }
        shown = {name: _show(name, value) for name, value in {**event.members(), **head}.items()}
        return str(self._render(None, head["level"], shown))


def to_json(record: logging.LogRecord) -> str:
    """Return the record as one line of JSON: its time, level and name, then its fields."""
    event = _event_of(record)
    name, fields = _encode(event.name).decode(), _encode(event.fields).decode()
    rest = f",{fields[1:]}" if len(fields) > len("{}") else "}"
    line = f'{{"timestamp":"{_time_of(record)}","level":"{_level_of(record)}","event":{name}{rest}'
    if line.isascii() and "\x7f" not in line:
        # JSON has escaped the other controls of ASCII.
        return line
    # These marks stand inside strings only, where JSON takes the escape for the mark.
    return _NOT_IN_A_LINE.sub(_escape, line)


def _event_of(record: logging.LogRecord) -> LogEvent:
    if isinstance(record.msg, LogEvent):
        return record.msg
    text, error = attempt(record.getMessage)
    fields: dict[str, Any] = {
        "logger": record.name,
        "text": str(record.msg) if error is not None else text,
    }
    if record.exc_info and record.exc_info[0]:
        info = {"exc_info": record.exc_info}
        fields.update(structlog.processors.format_exc_info(None, "error", info))
    return LogEvent(name="library_logged", fields=clean_fields(fields))


def _time_of(record: logging.LogRecord) -> str:
    second = int(record.created)
    return f"{_second_of(second)}.{int((record.created - second) * 1e6):06d}Z"


@functools.lru_cache(1)
def _second_of(second: int) -> str:
    # Lines come many in a second, and this would be a third of what one takes to render.
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _level_of(record: logging.LogRecord) -> str:
    return record.levelname.lower()


def _let_write(name: str, handler: LineHandler, level: int) -> None:
    logger = logging.getLogger(name)
    for older in tuple(logger.handlers):
        if isinstance(older, LineHandler):
            logger.removeHandler(older)
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(level)


def _tell_dropped(lines: int) -> None:
    get_logger("log").warning("log_lines_dropped", lines=lines)


def _show(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pattern = _NOT_IN_A_TEXT if name == "exception" else _NOT_IN_A_LINE
    return pattern.sub(_escape, value)


def _escape(hit: re.Match[str]) -> str:
    return f"\\u{ord(hit.group()):04x}"
