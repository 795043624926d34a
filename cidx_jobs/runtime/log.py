"""Our loggers: those of `logging` under ``cidx_jobs``, with structlog's way of writing to them.

Nothing is written anywhere until somebody adds a handler, as `setup_logging` does. Event names are
constant, data are fields; secrets are gone before any handler sees a line. structlog itself is
loaded for a terminal only: with what it looks for beside it, it would be a seventh of a start.
"""

import functools
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

import msgspec

from cidx_jobs.model.foreign import plain_text
from cidx_jobs.model.redact import MAX_CHARACTERS, redact_secrets

PACKAGE = "cidx_jobs"
"""Above all our loggers; what is set there holds for all of them."""

_SECRET_ENDS = tuple(
    f"_{name}"
    for name in ("token", "password", "passwd", "secret", "authorization", "cookie", "jwt_key")
)
"""How the names of fields end whose values are never shown."""
_NAMES_OF_EACH_LINE = {"timestamp", "level"}
_LARGEST_WHOLE = 2**63
_MAX_DEPTH = 6
_MAX_KEPT = 4_096
_MAX_KEPT_CHARACTERS = 200
_CALLER = 3
"""So many frames up from `logging` stands whoever wrote the line: two are ours."""

logging.getLogger(PACKAGE).addHandler(logging.NullHandler())


class LogEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a line of ours says: the message of its record in `logging`."""

    name: str
    """In snake_case past tense."""
    fields: Mapping[str, Any] | msgspec.Struct
    """Harmless already: without secrets, and nothing that JSON has not."""

    def __str__(self) -> str:
        """Return the line as handlers show it that know nothing of fields."""
        pairs = (f"{name}={value!r}" for name, value in self.members().items())
        return " ".join((self.name, *pairs))

    def members(self) -> Mapping[str, Any]:
        """Return the fields by their names; those that a typed line has not are left out."""
        fields = self.fields
        if isinstance(fields, msgspec.Struct):
            known: dict[str, Any] = msgspec.to_builtins(fields)
            return known
        return fields


def get_logger(name: str) -> "BoundLog":
    """Return the logger of that name below ``cidx_jobs``; a `bind` adds fields to its lines."""
    return BoundLog(logging.getLogger(f"{PACKAGE}.{name}"), {})


class BoundLog:
    """A logger with fields of its own: each line is an event's name, and its data as fields.

    ``exc_info`` is as in `logging`, and becomes the field ``exception``. What an application has
    bound by structlog's context variables is in each line, too.
    """

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: Mapping[str, Any]) -> None:
        """Write to the logger, with these fields in each line."""
        self._logger = logger
        self._fields = fields

    def bind(self, **fields: Any) -> "BoundLog":
        """Return a logger whose lines have these fields besides."""
        return BoundLog(self._logger, {**self._fields, **fields})

    def unbind(self, *names: str) -> "BoundLog":
        """Return a logger whose lines do not have these fields."""
        kept = {name: value for name, value in self._fields.items() if name not in names}
        return BoundLog(self._logger, kept)

    def debug(self, event: str, *arguments: Any, **fields: Any) -> None:
        """Write a line for developers; *arguments* go into the event's text as by ``%``."""
        self._write(logging.DEBUG, event, arguments, fields)

    def info(self, event: str, *arguments: Any, **fields: Any) -> None:
        """Write a line about what is in order."""
        self._write(logging.INFO, event, arguments, fields)

    def warning(self, event: str, *arguments: Any, **fields: Any) -> None:
        """Write a line that somebody should see."""
        self._write(logging.WARNING, event, arguments, fields)

    def error(self, event: str, *arguments: Any, **fields: Any) -> None:
        """Write a line about what failed."""
        self._write(logging.ERROR, event, arguments, fields)

    def exception(self, event: str, *arguments: Any, **fields: Any) -> None:
        """Write a line about what failed, with the exception that is being handled."""
        self._write(logging.ERROR, event, arguments, {"exc_info": True, **fields})

    def critical(self, event: str, *arguments: Any, **fields: Any) -> None:
        """Write a line about what ends the program."""
        self._write(logging.CRITICAL, event, arguments, fields)

    def log(self, level: int, event: str, *arguments: Any, **fields: Any) -> None:
        """Write a line of that level of `logging`."""
        self._write(level, event, arguments, fields)

    def _write(
        self, level: int, event: str, arguments: tuple[Any, ...], fields: Mapping[str, Any]
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        shown = {**_find_context(), **self._fields, **fields}
        if (exception := format_exception(shown.pop("exc_info", None))) is not None:
            shown["exception"] = exception
        for own in _NAMES_OF_EACH_LINE & shown.keys():
            del shown[own]
        text = str(event) % arguments if arguments else str(event)
        message = LogEvent(name=clean_text(text), fields=clean_fields(shown))
        self._logger.log(level, message, stacklevel=_CALLER)


def format_exception(exc_info: Any) -> str | None:
    """Return the traceback that `logging`'s ``exc_info`` stands for; None where there is none."""
    if isinstance(exc_info, BaseException):
        error: BaseException | None = exc_info
    elif isinstance(exc_info, tuple):
        error = exc_info[1]
    else:
        error = sys.exception() if exc_info else None
    return None if error is None else "".join(traceback.format_exception(error)).rstrip("\n")


class TypedLog:
    """A logger for lines that each job has: the short way, for fields that are typed.

    Texts among them are harmless by what they are, or come out of `clean_text`.
    """

    def __init__(self, name: str) -> None:
        """Write to the logger of that name below ``cidx_jobs``, from this thread."""
        self._logger = logging.getLogger(f"{PACKAGE}.{name}")
        # Where a line comes from is the same for all of them; to find it out each time would be
        # a fifth of what a line takes.
        self._pattern = vars(
            self._logger.makeRecord(self._logger.name, logging.INFO, __file__, 0, "", (), None)
        )

    def is_enabled_for(self, level: int) -> bool:
        """Tell whether lines of that level are wanted: whoever writes asks first."""
        return self._logger.isEnabledFor(level)

    def write(self, level: int, name: str, fields: msgspec.Struct) -> None:
        """Write the event with its fields."""
        self._logger.handle(_RecordLike(self._pattern, level, LogEvent(name=name, fields=fields)))


class _RecordLike(logging.LogRecord):
    """A record that differs from another one by time, level and message alone."""

    def __init__(self, pattern: Mapping[str, Any], level: int, message: LogEvent) -> None:
        members = self.__dict__
        members.update(pattern)
        members["created"] = created = time.time()
        members["msecs"] = created % 1 * 1_000
        members["relativeCreated"] += (created - pattern["created"]) * 1_000
        members["levelno"] = level
        members["levelname"] = logging.getLevelName(level)
        members["msg"] = message


def clean_text(text: str) -> str:
    """Return text from elsewhere without secrets; short ones are cleaned once and kept."""
    if len(text) <= _MAX_KEPT_CHARACTERS:
        return _clean_once(text)
    return _without_secrets(plain_text(text, None))


def clean_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with tokens, passwords and ``user:pass@`` replaced, also deep inside."""
    return {name: _clean(name, value, 0) for name, value in fields.items()}


@functools.lru_cache(_MAX_KEPT)
def _clean_once(text: str) -> str:
    return redact_secrets(plain_text(text, None))


def _without_secrets(text: str) -> str:
    """Return the text without its secrets; a long one keeps its beginning and its last lines.

    What went wrong stands at the end of a traceback.
    """
    if len(text) <= MAX_CHARACTERS:
        return redact_secrets(text)
    # From the beginning of a line on: what stands before it could be the name of a secret.
    last_lines = text[-MAX_CHARACTERS:].partition("\n")[2]
    return "\n".join(filter(None, (redact_secrets(text), redact_secrets(last_lines))))


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
            return clean_text(str(value))


def _find_context() -> Mapping[str, Any]:
    # Whoever has bound something has loaded it.
    bound: Any = sys.modules.get("structlog.contextvars")
    return {} if bound is None else bound.get_contextvars()
