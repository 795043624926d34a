"""Kinds of settings: attrs fields that convert text, check a range, and hold their description."""

import ipaddress
import math
import re
import shlex
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from cidx_jobs.model.errors import SettingsError
from cidx_jobs.settings.quantities import read_duration, read_size

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OF_PATHS = frozenset(string.ascii_letters + string.digits + "._~-/")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._:\[\]-]+/?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PROXY_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
_NO_PROXY_URL = "must be http://[USER:PASSWORD@]HOST:PORT, or https or socks5h in place of http"


def whole(value: Any) -> int:
    """Return a whole number; a float with a fraction and a boolean are none."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        message = "must be a whole number"
        raise ValueError(message)
    return int(value)


def seconds(value: Any) -> float:
    """Return a number of seconds; as text also ``90s``, ``15m``, ``8h``, ``7d``."""
    if isinstance(value, bool):
        message = "must be a number of seconds"
        raise ValueError(message)  # noqa: TRY004 - one kind of error for every wrong setting
    if isinstance(value, str) and value.strip()[-1:].isalpha():
        return read_duration(value)
    return float(value)


def flag(value: Any) -> bool:
    """Return a boolean; as text it is ``true`` or ``false``."""
    if isinstance(value, bool):
        return value
    if value in {"true", "false"}:
        return bool(value == "true")
    message = "must be true or false"
    raise ValueError(message)


def names(value: Any) -> tuple[str, ...]:
    """Return a tuple of names, as text separated by commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(str(part) for part in value)


def networks(value: Any) -> tuple[str, ...]:
    """Return a tuple of addresses and networks, as text separated by commas."""
    listed = names(value)
    for one in listed:
        ipaddress.ip_network(one, strict=False)
    return listed


def hosts(value: Any) -> tuple[str, ...]:
    """Return a tuple of ``host`` or ``host:port``, as text separated by commas."""
    found = names(value)
    for one in found:
        if not _HOST.fullmatch(one) and not _is_address(one):
            message = f"{one!r} is no host[:port]"
            raise ValueError(message)
    return found


def origins(value: Any) -> tuple[str, ...]:
    """Return a tuple of origins such as ``https://example.org``, as text separated by commas."""
    found = names(value)
    wrong = [one for one in found if not _ORIGIN.fullmatch(one)]
    if wrong:
        message = f"{wrong[0]!r} is no origin such as https://example.org"
        raise ValueError(message)
    return found


def header(value: Any) -> str | None:
    """Return the name of a header; None and an empty text are none."""
    if value is None or value == "":
        return None
    if not _HEADER.fullmatch(value):
        message = "must be the name of a header"
        raise ValueError(message)
    return str(value)


def url(value: Any) -> str | None:
    """Return an http or https URL with nothing behind its path; an empty text is none."""
    if value is None or value == "":
        return None
    parts = urlsplit(value)
    is_plain = (
        parts.scheme in {"http", "https"} and parts.hostname and _OF_PATHS.issuperset(parts.path)
    )
    if not is_plain or "//" in parts.path or any(mark in value for mark in "@?#"):
        message = "must be a URL such as https://example.org/path"
        raise ValueError(message)
    return str(value).rstrip("/")


def variables(value: Any) -> tuple[str, ...]:
    """Return a tuple of names of environment variables, as text separated by commas."""
    found = names(value)
    wrong = [name for name in found if not _VARIABLE.fullmatch(name)]
    if wrong:
        message = f"{wrong[0]!r} is no name of a variable"
        raise ValueError(message)
    return found


def path(value: Any) -> Path:
    """Return a path; an empty text would be the working directory, which nobody meant."""
    if value == "":
        message = "must not be empty"
        raise ValueError(message)
    return Path(value)


def paths(value: Any) -> tuple[Path, ...]:
    """Return a tuple of paths, as text separated by commas."""
    return tuple(Path(part) for part in names(value))


def map_of(convert: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Return a converter of maps, as text ``k=v,k=v``, whose values *convert* reads."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, str):
            return {str(name): convert(part) for name, part in dict(value).items()}
        pairs = [part.partition("=") for part in names(value)]
        if any(not mark for _, mark, _ in pairs):
            message = "must be k=v,k=v"
            raise ValueError(message)
        found = {name.strip(): convert(part.strip()) for name, _, part in pairs}
        if len(found) < len(pairs):
            message = "must name each only once"
            raise ValueError(message)
        return found

    return read


def command(value: Any) -> tuple[str, ...] | None:
    """Return a program's arguments; as text split as a shell does."""
    if value is None or value == "":
        return None
    return tuple(shlex.split(value)) if isinstance(value, str) else tuple(map(str, value))


def optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a converter that lets None be, and takes an empty text for it."""
    return lambda value: None if value is None or value == "" else convert(value)


def named(convert: Callable[[Any], Any]) -> Any:
    """Return the converter of a setting, whose errors name the setting."""

    def read(value: Any, field: Any) -> Any:
        try:
            return convert(value)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            message = f"{field.name}: {value!r} is not understood: {error}"
            raise SettingsError(message) from error

    return attrs.Converter(read, takes_field=True)


def between(low: float, high: float) -> Callable[[Any, Any, Any], None]:
    """Return a validator of a range, both ends included."""

    def check(_: Any, attribute: Any, value: float | None) -> None:
        if value is not None and not low <= value <= high:
            message = (
                f"{attribute.name} must be from {_shown(low)} to {_shown(high)}, "
                f"not {_shown(value)}"
            )
            raise SettingsError(message)

    return check


def each_between(low: float, high: float) -> Callable[[Any, Any, Any], None]:
    """Return a validator of a map whose values have a range, both ends included."""

    def check(_: Any, attribute: Any, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if not name or not low <= value <= high:
                message = (
                    f"{attribute.name}: {name}={_shown(value)}: there must be a name, "
                    f"and a number from {_shown(low)} to {_shown(high)}"
                )
                raise SettingsError(message)

    return check


def one_of(*choices: str) -> Callable[[Any, Any, Any], None]:
    """Return a validator of a choice."""

    def check(_: Any, attribute: Any, value: str | None) -> None:
        is_unset = value is None and attribute.default is None
        if not is_unset and value not in choices:
            message = f"{attribute.name} must be one of {', '.join(choices)}, not {value!r}"
            raise SettingsError(message)

    return check


def number(default: int, low: int, high: int, about: str) -> Any:
    """Return a field for a whole number from *low* to *high*."""
    return attrs.field(
        default=default,
        converter=named(whole),
        validator=between(low, high),
        metadata={"about": about, "range": _range(low, high), "bounds": (low, high)},
    )


def size(default: int, low: int, high: int, about: str) -> Any:
    """Return a field for bytes from *low* to *high*; as text also ``512M``, ``2G``."""
    return attrs.field(
        default=default,
        converter=named(read_size),
        validator=between(low, high),
        metadata={"about": about, "range": _range(low, high), "bounds": (low, high)},
    )


def duration(default: float, low: float, high: float, about: str, *, unit: str = "seconds") -> Any:
    """Return a field for seconds, or another *unit*, from *low* to *high*."""
    return attrs.field(
        default=default,
        converter=named(seconds),
        validator=between(low, high),
        metadata={"about": about, "range": f"{_range(low, high)} {unit}"},
    )


def numbers(
    default: Any, convert: Callable[[Any], Any], low: float, high: float, about: str
) -> Any:
    """Return a field for a map from names to numbers, each from *low* to *high*."""
    return attrs.field(
        default=default,
        converter=named(map_of(convert)),
        validator=each_between(low, high),
        metadata={"about": about, "range": f"each {_range(low, high)}"},
    )


def choice(default: str | None, choices: tuple[str, ...], about: str) -> Any:
    """Return a field for one of a few words."""
    return attrs.field(
        default=default,
        validator=one_of(*choices),
        metadata={"about": about, "range": ", ".join(choices)},
    )


def other(default: Any, convert: Callable[[Any], Any], about: str) -> Any:
    """Return a field for anything that *convert* reads."""
    metadata = {"about": about, "range": ""}
    return attrs.field(default=default, converter=named(convert), metadata=metadata)


def secret(about: str) -> Any:
    """Return a field for a text that nobody is to see again: it is shown nowhere."""
    metadata = {"about": about, "range": "", "secret": True}
    return attrs.field(default=None, converter=_secret, repr=False, metadata=metadata)


def _secret(value: Any) -> str | None:
    # No error names the value.
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        message = "a secret must be text"
        raise SettingsError(message)
    return value


def proxy_url(value: Any) -> str:
    """Return the URL of a proxy: scheme, perhaps user and password, host and port.

    Of a SOCKS proxy it is always the kind that looks names up itself.

    Raises:
        ValueError: it is none; the text does not hold it.
    """
    text = str(value)
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise ValueError(_NO_PROXY_URL) from error
    has_more = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in _PROXY_SCHEMES or not parts.hostname or port is None or has_more:
        raise ValueError(_NO_PROXY_URL)
    scheme = "socks5h" if parts.scheme == "socks5" else parts.scheme
    return f"{scheme}://{parts.netloc}"


def secret_url(convert: Callable[[Any], str], about: str) -> Any:
    """Return a field for a URL that may hold a password: it is shown nowhere."""

    def read(value: Any, field: Any) -> str | None:
        if value is None or value == "":
            return None
        try:
            return convert(value)
        except ValueError as error:
            message = f"{field.name}: {error}"
            raise SettingsError(message) from None

    converter = attrs.Converter(read, takes_field=True)
    metadata = {"about": about, "range": "", "secret": True}
    return attrs.field(default=None, converter=converter, repr=False, metadata=metadata)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _range(low: float, high: float) -> str:
    return f"{_shown(low)} to {_shown(high)}"


def _shown(number: float) -> str:
    is_whole = math.isfinite(number) and number == int(number)
    return f"{int(number):,}" if is_whole else f"{number:g}"
