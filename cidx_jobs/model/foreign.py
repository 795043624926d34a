"""Foreign code and what comes from it: calls that may raise anything; text made harmless."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import msgspec

from cidx_jobs.model.errors import ValidationError

P = ParamSpec("P")
T = TypeVar("T")

MAX_TEXT = 500
"""Characters of a message, an item or a name that are kept."""

MAX_DEPTH = 32
"""How deep arrays and objects may lie in each other."""
MIN_WHOLE, MAX_WHOLE = -(2**63), 2**63 - 1
"""The whole numbers that fit 64 bits, and so every language that has such a type."""

_MAX_SHOWN = 200
_NO_SCALARS = re.compile("[\x00\ud800-\udfff]")


class Raised(msgspec.Struct, frozen=True):
    """What foreign code raised in place of returning."""

    error: BaseException

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None]:
        """The error with its traceback, as a log line takes it."""
        return type(self.error), self.error, self.error.__traceback__

    def taken(self) -> Exception:
        """Return the error, which is then the caller's to tell.

        Only what derives from `Exception` is taken: a cancellation and an exit go on.
        """
        if isinstance(self.error, Exception):
            return self.error
        raise self.error


def call_foreign(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Raised:
    """Return what *function* returns, or what it raises, whatever that is.

    A panic of an extension written in Rust, ``gevent.Timeout`` and `GeneratorExit` derive from
    `BaseException`; `SystemExit`, let out of a task, ends the server (guarantees.md, G17).
    """
    try:
        return function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - what foreign code raises becomes a value
        return Raised(error)


def attempt(
    function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> tuple[T, None] | tuple[None, Exception]:
    """Call foreign code; return its value, or what it raised, as `Raised.taken` gives it."""
    outcome = call_foreign(function, *args, **kwargs)
    return (None, outcome.taken()) if isinstance(outcome, Raised) else (outcome, None)


def plain_json(value: Any) -> Any:
    """Return *value* as what JSON makes of it.

    Raises:
        ValueError: it is not JSON; the text says why.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        message = f"it is not JSON: {error}"
        raise ValueError(message) from error


def plain_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a job as its handler would find them after a restart.

    Raises:
        ValidationError: they are not JSON, or hold what no door takes (`check_values`).
    """
    try:
        given = dict(options)
        plain: Mapping[str, Any] = plain_json(given)
        # In a request's body they lie one level deep.
        check_values(plain, MAX_DEPTH - 1)
        if plain != given:
            _check_finite(given)
    except ValueError as error:
        raise ValidationError.at("/options", str(error)) from error
    return plain


def _check_finite(value: Any) -> None:
    """Refuse a number that JSON has not: as JSON it would be null, and nobody be told."""
    if isinstance(value, float) and not math.isfinite(value):
        message = f"a number is finite, not {value}"
        raise ValueError(message)
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for item in value:
        _check_finite(item)


def check_values(value: Any, levels: int = MAX_DEPTH) -> None:
    """Hold a JSON value to what is the same in every language, at every door (api.md 1).

    Raises:
        ValueError: a whole number is beyond 64 bits, a text holds NUL or half of a surrogate
            pair, or it has more than so many *levels*.
    """
    match value:
        case bool() | None | float():
            pass
        case int():
            if not MIN_WHOLE <= value <= MAX_WHOLE:
                message = f"a whole number is from -2^63 to 2^63-1, not {value}"
                raise ValueError(message)
        case str():
            if _NO_SCALARS.search(value):
                message = "a text holds NUL or half of a surrogate pair"
                raise ValueError(message)
        case dict() | list() if levels == 0:
            message = f"it is more than {MAX_DEPTH} levels deep"
            raise ValueError(message)
        case dict():
            for name, member in value.items():
                check_values(name)
                check_values(member, levels - 1)
        case list():
            for item in value:
                check_values(item, levels - 1)
        case _:
            message = f"it is not JSON: {type(value).__name__}"
            raise ValueError(message)


def plain_text(value: Any, max_characters: int | None = MAX_TEXT) -> str:
    """Return *value* as text; half of a surrogate pair, which no UTF-8 holds, as a question mark.

    Such text comes from file names that are none (`os.fsdecode`).
    """
    text = str(value)[:max_characters]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def escape(text: object) -> str:
    """Return *text* with every character that could act on a terminal written as an escape.

    These are controls, direction marks, zero-width and unassigned characters, surrogates, and
    separators other than the space (security.md).
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(part if part.isprintable() else _escaped(part) for part in shown)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def printable(text: str, max_characters: int = _MAX_SHOWN) -> str:
    """Return *text* escaped, for a message; a longer one loses its middle."""
    shown = escape(text)
    if len(shown) <= max_characters:
        return shown
    half = (max_characters - 1) // 2
    return f"{shown[:half]}…{shown[-half:]}"


def plain_count(value: float | None) -> int | None:
    """Return a count as a whole number.

    Raises:
        TypeError, ValueError, OverflowError: it is none.
    """
    return None if value is None else int(value)


def plain_weight(value: float) -> float:
    """Return the weight of a phase.

    Raises:
        TypeError, ValueError: it is not a number from 0 on.
    """
    weight = float(value)
    if not 0 <= weight < math.inf:
        message = f"a phase's weight is a number from 0 on, not {weight}"
        raise ValueError(message)
    return weight


def start_in_utc(time: datetime | None) -> datetime | None:
    """Return a start time in UTC; one without a time zone is left to whoever refuses it.

    Raises:
        ValidationError: UTC has no such time.
    """
    if time is None or time.tzinfo is None:
        return time
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValidationError.at("/start_at", "no such time in UTC") from error
