"""The log: one line an event on stderr, without secrets, and never a reason to fail.

Event names are constant, data are fields. What other libraries log by `logging` comes out the
same way.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec
import structlog

from cidx_jobs.model.foreign import plain_text
from cidx_jobs.model.redact import MAX_CHARACTERS, redact_secrets
from cidx_jobs.observe.line_writer import LineWriter

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_SECRET_ENDS = tuple(
    f"_{name}"
    for name in ("token", "password", "passwd", "secret", "authorization", "cookie", "jwt_key")
)
"""How the names of fields end whose values are never shown."""
_CONTROL_MARKS = "\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
_NOT_IN_A_LINE = re.compile(f"[\x00-\x1f{_CONTROL_MARKS}]")
_NOT_IN_A_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f{_CONTROL_MARKS}]")
_LARGEST_WHOLE = 2**63
_LOUD_LIBRARIES = ("asyncio", "aiohttp", "aiosqlite")
_MAX_DEPTH = 6


def configure_logging(
    level: str = "info", log_format: str | None = None, stream: TextIO | None = None
) -> LineWriter:
    """Let structlog, and `logging` of the libraries below us, write to one stream.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        log_format: ``json`` or ``console``; unset, the console's when the stream is a terminal.
        stream: stderr if None.
    """
    stream = stream or sys.stderr
    is_console = log_format == "console" if log_format else stream.isatty()
    writer = LineWriter(stream, _tell_dropped)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            without_secrets,
            _Console(colors=stream.isatty()) if is_console else to_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    _take_over_logging(LEVELS[level])
    return writer


def _tell_dropped(lines: int) -> None:
    structlog.get_logger("cidx_jobs.log").warning("log_lines_dropped", lines=lines)


def without_secrets(_: Any, __: str, event: structlog.typing.EventDict) -> dict[str, Any]:
    """Return the event with tokens, passwords and ``user:pass@`` replaced, also deep inside."""
    return {name: _clean(name, value, 0) for name, value in event.items()}


def to_json(_: Any, __: str, event: Mapping[str, Any]) -> str:
    """Return the event as one line of JSON, its name and level first."""
    head = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    # These marks stand inside strings only, where JSON takes the escape for the mark.
    return _NOT_IN_A_LINE.sub(_escape, msgspec.json.encode(head | dict(event)).decode())


class _Console:
    """Writes an event for a person; what a terminal would obey is escaped."""

    def __init__(self, *, colors: bool) -> None:
        """Use colours or not."""
        self._render = structlog.dev.ConsoleRenderer(colors=colors)

    def __call__(self, logger: Any, method: str, event: Mapping[str, Any]) -> str:
        """Return the event as one line; a traceback follows it."""
        shown = {name: _show(name, value) for name, value in event.items()}
        return self._render(logger, method, shown)


class _Bridge(logging.Handler):
    """Takes the records of `logging` into structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record as an event named after its logger."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        log = structlog.get_logger(record.name)
        info = record.exc_info if record.exc_info and record.exc_info[0] else None
        log.log(record.levelno, "library_logged", logger=record.name, text=text, exc_info=info)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Let a record that cannot be logged be lost."""


def _take_over_logging(level: int) -> None:
    bridge = _Bridge()
    for name in _LOUD_LIBRARIES:
        library = logging.getLogger(name)
        library.handlers = [bridge]
        library.propagate = False
        library.setLevel(max(level, logging.WARNING))


def _clean(name: str, value: Any, depth: int) -> Any:
    if value is not None and f"_{name}".lower().endswith(_SECRET_ENDS):
        return "[secret]"
    match value:
        case None | bool() | float():
            return value
        case int() if -_LARGEST_WHOLE <= value < _LARGEST_WHOLE:
            return value
        case Mapping() if depth < _MAX_DEPTH:
            pairs = [(str(key), one) for key, one in value.items()]
            return {plain_text(key, None): _clean(key, one, depth + 1) for key, one in pairs}
        case list() | tuple() | set() | frozenset() if depth < _MAX_DEPTH:
            return [_clean("", one, depth + 1) for one in value]
        case _:
            return _without_secrets(plain_text(value, None))


def _without_secrets(text: str) -> str:
    """Return the text without its secrets; a long one keeps its beginning and its last lines.

    What went wrong stands at the end of a traceback.
    """
    if len(text) <= MAX_CHARACTERS:
        return redact_secrets(text)
    # From the beginning of a line on: what stands before it could be the name of a secret.
    last_lines = text[-MAX_CHARACTERS:].partition("\n")[2]
    return "\n".join(filter(None, (redact_secrets(text), redact_secrets(last_lines))))


def _show(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pattern = _NOT_IN_A_TEXT if name == "exception" else _NOT_IN_A_LINE
    return pattern.sub(_escape, value)


def _escape(hit: re.Match[str]) -> str:
    return f"\\u{ord(hit.group()):04x}"
