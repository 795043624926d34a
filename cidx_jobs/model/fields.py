"""attrs fields for settings: each converts text, keeps a range, and says what it is about."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from cidx_jobs.model.errors import SettingsError


def whole(value: Any) -> int:
    """Give a whole number; a float with a fraction and a boolean are none."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        message = "must be a whole number"
        raise ValueError(message)
    return int(value)


def seconds(value: Any) -> float:
    """Give a number of seconds."""
    if isinstance(value, bool):
        message = "must be a number of seconds"
        raise ValueError(message)  # noqa: TRY004 - one kind of error for every wrong setting
    return float(value)


def flag(value: Any) -> bool:
    """Give a boolean; as text it is ``true`` or ``false``."""
    if isinstance(value, bool):
        return value
    if value in {"true", "false"}:
        return bool(value == "true")
    message = "must be true or false"
    raise ValueError(message)


def names(value: Any) -> tuple[str, ...]:
    """Give a tuple of names, as text separated by commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(str(part) for part in value)


def paths(value: Any) -> tuple[Path, ...]:
    """Give a tuple of paths, as text separated by commas."""
    return tuple(Path(part) for part in names(value))


def map_of(convert: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Give a converter of maps, as text ``k=v,k=v``, whose values *convert* reads."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, str):
            return {str(name): convert(part) for name, part in dict(value).items()}
        pairs = [part.partition("=") for part in names(value)]
        if any(not mark for _, mark, _ in pairs):
            message = "must be k=v,k=v"
            raise ValueError(message)
        return {name.strip(): convert(part.strip()) for name, _, part in pairs}

    return read


def command(value: Any) -> tuple[str, ...] | None:
    """Give a program's arguments; as text split as a shell does."""
    if value is None or value == "":
        return None
    return tuple(shlex.split(value)) if isinstance(value, str) else tuple(map(str, value))


def optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Give a converter that lets None be, and takes an empty text for it."""
    return lambda value: None if value is None or value == "" else convert(value)


def between(low: float, high: float) -> Callable[[Any, Any, Any], None]:
    """Give a validator of a range, both ends included."""

    def check(_: Any, attribute: Any, value: float | None) -> None:
        if value is not None and not low <= value <= high:
            message = f"{attribute.name} must be from {low:g} to {high:g}, not {value:g}"
            raise SettingsError(message)

    return check


def each_between(low: float, high: float) -> Callable[[Any, Any, Any], None]:
    """Give a validator of a map whose values have a range, both ends included."""

    def check(_: Any, attribute: Any, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if not name or not low <= value <= high:
                message = (
                    f"{attribute.name}: {name}={value:g}: there must be a name, "
                    f"and a number from {low:g} to {high:g}"
                )
                raise SettingsError(message)

    return check


def one_of(*choices: str) -> Callable[[Any, Any, Any], None]:
    """Give a validator of a choice."""

    def check(_: Any, attribute: Any, value: str | None) -> None:
        if value is not None and value not in choices:
            message = f"{attribute.name} must be one of {', '.join(choices)}, not {value!r}"
            raise SettingsError(message)

    return check


def number(default: int, low: int, high: int, about: str) -> Any:
    """Give a field for a whole number from *low* to *high*."""
    return attrs.field(
        default=default,
        converter=whole,
        validator=between(low, high),
        metadata={"about": about, "range": f"{low:,} to {high:,}", "bounds": (low, high)},
    )


def duration(default: float, low: float, high: float, about: str) -> Any:
    """Give a field for seconds from *low* to *high*."""
    return attrs.field(
        default=default,
        converter=seconds,
        validator=between(low, high),
        metadata={"about": about, "range": f"{low:g} to {high:g} seconds"},
    )


def numbers(
    default: Any, convert: Callable[[Any], Any], low: float, high: float, about: str
) -> Any:
    """Give a field for a map from names to numbers, each from *low* to *high*."""
    return attrs.field(
        default=default,
        converter=map_of(convert),
        validator=each_between(low, high),
        metadata={"about": about, "range": f"each {low:,g} to {high:,g}"},
    )


def choice(default: str | None, choices: tuple[str, ...], about: str) -> Any:
    """Give a field for one of a few words."""
    return attrs.field(
        default=default,
        validator=one_of(*choices),
        metadata={"about": about, "range": ", ".join(choices)},
    )


def other(default: Any, convert: Callable[[Any], Any], about: str) -> Any:
    """Give a field for anything that *convert* reads."""
    return attrs.field(default=default, converter=convert, metadata={"about": about, "range": ""})
