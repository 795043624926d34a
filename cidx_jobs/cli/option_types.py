"""Options that several commands share, and types of values that click does not have."""

import contextlib
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

_NUMBER = re.compile(r"[0-9]{1,9}")
_WORDS = ("auto", "never")


def examples(*lines: str) -> str:
    """Return the end of a page of help that shows how the command is called."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def complete_profiles(_: click.Context, __: click.Parameter, beginning: str) -> list[str]:
    """Return the names of profiles that begin so, for a shell to complete."""
    from cidx_jobs.cli.profiles import load_profiles

    return [name for name in sorted(load_profiles()) if name.startswith(beginning)]


def _read_duration(text: str) -> float:
    # Not at the top: the settings are more than a page of help needs.
    from cidx_jobs.settings.quantities import read_duration

    return read_duration(text)


class AnyDuration(click.FloatRange):
    """A duration, as a number of seconds or as ``15m``, ``2h``, ``7d``."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; anything else is a wrong command line."""
        if isinstance(value, str) and value.strip()[-1:].isalpha():
            with contextlib.suppress(ValueError):
                value = _read_duration(value)
        seconds: float = super().convert(value, param, ctx)
        return seconds


class Seconds(AnyDuration):
    """A duration, of which `nan` and `inf` are none: no request could carry them."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; anything else is a wrong command line."""
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


class Duration(click.ParamType):  # type: ignore[type-arg]  # no [] in older releases
    """A whole number of seconds, minutes, hours or days: ``90``, ``90s``, ``15m``, ``7d``."""

    name = "DURATION"

    def __init__(self, *, is_zero_taken: bool = False) -> None:
        """Take whether nothing is a duration, too."""
        self._least = 0 if is_zero_taken else 1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds; anything else is a wrong command line."""
        try:
            seconds = _read_duration(str(value))
        except ValueError:
            seconds = -1.0
        if seconds < self._least or not seconds.is_integer():
            self.fail(f"{value!r} must be a duration such as 90s, 15m, 2h or 7d.", param, ctx)
        return int(seconds)


class Every(click.ParamType):  # type: ignore[type-arg]  # no [] in older releases
    """A `Duration`, or ``auto`` or ``never``."""

    name = "DURATION|auto|never"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return the seconds, or the word; anything else is a wrong command line."""
        return str(value) if value in _WORDS else Duration().convert(value, param, ctx)


class AnyPath(click.Path):
    """A file or folder, whether or not it can be read: whoever opens it finds that out."""

    def __init__(self) -> None:
        """Take any path."""
        super().__init__(readable=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; an empty text would be the working directory, which nobody meant."""
        if value == "":
            self.fail("it is empty.", param, ctx)
        return super().convert(value, param, ctx)


class KeyValue(click.ParamType):  # type: ignore[type-arg]  # no [] in older releases
    """A text ``K=V``."""

    name = "K=V"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return key and value; a text without either is a wrong command line."""
        if isinstance(value, tuple):
            return value
        key, mark, rest = value.partition("=")
        if not mark or not key:
            self.fail(f"{value!r} must be K=V.", param, ctx)
        return key, rest


class KeyLimit(click.ParamType):  # type: ignore[type-arg]  # no [] in older releases
    """A text ``KEY=N``."""

    name = "KEY=N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return key and number; whether they are in range is for the server to say."""
        if isinstance(value, tuple):
            return value
        key, mark, rest = value.rpartition("=")
        if not mark or not key or not _NUMBER.fullmatch(rest):
            self.fail(f"{value!r} must be KEY=N, N a whole number.", param, ctx)
        return key, int(rest)


class Time(click.ParamType):  # type: ignore[type-arg]  # no [] in older releases
    """A time as RFC 3339 has it; one without an offset is local time."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time in UTC; anything else is a wrong command line."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} must be a time such as 2030-01-31T18:00:00Z.", param, ctx)


class Since(Time):
    """A time, or how long ago it was: ``2h``, ``90d``."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time in UTC; anything else is a wrong command line."""
        if isinstance(value, str):
            try:
                return datetime.now(UTC) - timedelta(seconds=_read_duration(value))
            except (ValueError, OverflowError):
                pass
        return super().convert(value, param, ctx)


class HeaderText(click.ParamType):  # type: ignore[type-arg]  # no [] in older releases
    """A text of visible ASCII characters, as a header can hold it."""

    name = "KEY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text; one that no header can hold is a wrong command line."""
        text = str(value)
        if not (text and text.isascii() and text.isprintable()):
            self.fail("it must be 1 to 255 visible ASCII characters.", param, ctx)
        return text


SECONDS = Seconds(min=0, min_open=True)
KEY_VALUE = KeyValue()
KEY_LIMIT = KeyLimit()

USER = click.option("--user", help="Of this user; for administrators, to read for auditors.")
LABELS = click.option("--label", "-l", "labels", multiple=True, type=KEY_VALUE, help="A label.")
PRIORITY = click.option("--priority", type=click.IntRange(0, 9), help="0 to 9, 9 first.")
RUN_TIMEOUT = click.option(
    "--run-timeout", "timeout_seconds", type=SECONDS, help="How long a run may take: 90s, 2h."
)
YES = click.option("--yes", is_flag=True, help="Do not ask first.")
DATA_DIR = click.option(
    "--data-dir",
    metavar="D",
    type=AnyPath(),
    help="The server's data directory; else CIDX_JOBS_DATA_DIR, else ./data.",
)
PROFILE = click.option(
    "--profile",
    metavar="NAME",
    shell_complete=complete_profiles,
    help="Where you have logged in under this name.",
)
NOTIFY = click.option(
    "--notify",
    metavar="URL",
    help="Have its end posted there, signed with the secret of `cidx-jobs notify-secret`.",
)
CONFIG = click.option(
    "--config",
    metavar="FILE.toml",
    type=AnyPath(),
    help="The server's settings.",
)
