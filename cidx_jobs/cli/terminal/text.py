"""Widths of text in terminal columns, durations, and tables.

Every string that came from a server passes through `escape` (`model.foreign`) before it is
measured and shown: a file name or a message of git may hold anything (security.md).
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from cidx_jobs.cli.target import shows_utc
from cidx_jobs.model.foreign import escape

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

_WIDE = frozenset({"W", "F"})
_WITHOUT_WIDTH = frozenset({"Mn", "Me"})


def cells(text: str) -> int:
    """Count the columns that *text* takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in _WITHOUT_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def fit(text: str, width: int) -> str:
    """Cut *text* to at most *width* columns; what is cut off at its end shows as ``~``."""
    if cells(text) <= width:
        return text
    return _head(text, width - 1) + "~" if width > 0 else ""


def fit_path(path: str, width: int) -> str:
    """Cut a *path* to at most *width* columns; its end says most, so its beginning goes."""
    if cells(path) <= width:
        return path
    return "~" + _head(path[::-1], width - 1)[::-1] if width > 0 else ""


def pad(text: str, width: int) -> str:
    """Fill *text* with blanks to *width* columns."""
    return text + " " * (width - cells(text))


def _head(text: str, width: int) -> str:
    return "".join(_while_it_fits(text, width))


def _while_it_fits(text: str, width: int) -> Iterator[str]:
    for character in text:
        width -= _cells_of(character)
        if width < 0:
            return
        yield character


def moment(at: datetime, timespec: str = "seconds") -> str:
    """Return a time as it is shown: RFC 3339, local or in UTC, to the second or finer."""
    zoned = at.astimezone(UTC if shows_utc() else None)
    return zoned.isoformat(timespec=timespec).replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """Return *seconds* as people say them: ``0.4s``, ``12s``, ``3m05s``, ``2h10m``, ``4d02h``."""
    if seconds < 10:  # noqa: PLR2004 - under ten seconds tenths are worth showing
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"


def interval(seconds: int) -> str:
    """Return a whole number of seconds as options take it: ``90s``, ``15m``, ``8h``, ``7d``."""
    for unit, size in (("d", _DAY), ("h", _HOUR), ("m", _MINUTE)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def members(pairs: Iterable[tuple[str, object]], width: int) -> Iterator[str]:
    """Yield a line for each name and value, the names in a column of this width."""
    for name, value in pairs:
        yield f"{name:<{width}}{'-' if value is None else escape(str(value))}"


def table(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], width: int | None
) -> Iterator[str]:
    """Yield the lines of a table; the last column gets what is left of *width*, if that is set."""
    widths = [max(cells(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        line = "  ".join(pad(cell, room) for cell, room in zip(row, widths, strict=True)).rstrip()
        yield line if width is None else fit(line, width)
