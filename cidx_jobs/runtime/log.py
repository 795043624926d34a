"""Our loggers: those of `logging` under ``cidx_jobs``, with structlog's way of writing to them.

Nothing is written anywhere until somebody adds a handler, as `setup_logging` does. Event names are
constant, data are fields; secrets are gone before any handler sees a line.
"""

import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

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
"""Larger numbers are written as text: who reads JSON may have 64 bits for one."""
_MAX_DEPTH = 6
"""What lies deeper is written as one text."""
_MAX_KEPT = 4_096
_MAX_KEPT_CHARACTERS = 200
"""Ids, types and users come again in line after line, long texts do not: those are not kept."""
_CALLER = 3
"""So many frames up from `logging` stands whoever wrote the line: two are structlog's."""

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


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of that name below ``cidx_jobs``; a `bind` adds fields to its lines."""
    return _BoundLogger(logging.getLogger(f"{PACKAGE}.{name}"), _PROCESSORS, {})


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


def _clean_event(_: Any, __: str, event: structlog.typing.EventDict) -> dict[str, Any]:
    return clean_fields(event)


def _as_message(
    _: Any, __: str, event: structlog.typing.EventDict
) -> tuple[tuple[LogEvent], dict[str, int]]:
    name = str(event.pop("event", ""))
    for own in _NAMES_OF_EACH_LINE & event.keys():
        del event[own]
    return (LogEvent(name=name, fields=event),), {"stacklevel": _CALLER}


_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    structlog.processors.format_exc_info,
    _clean_event,
    _as_message,
]
# What is written is `logging`'s to decide, by the levels that are set there.
_BoundLogger: Callable[..., structlog.typing.FilteringBoundLogger] = (
    structlog.make_filtering_bound_logger(logging.DEBUG)
)
