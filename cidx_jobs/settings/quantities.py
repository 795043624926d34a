"""Durations and sizes as people write them."""

import math
import re
from collections.abc import Iterator
from typing import Any

_PARTS = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?[smhdw]){1,5}")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_KILO = 1000.0
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?([KMGT])(?:I?B)?")
_UNITS = " KMGT"


def read_duration(text: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``15m``, ``1.5h``, ``7d``, ``2w`` or ``1h30m``.

    Raises:
        ValueError: it is none of these.
    """
    plain = text.strip().lower()
    if _PARTS.fullmatch(plain):
        return math.fsum(_each_part(plain))
    if _NUMBER.fullmatch(plain):
        return float(plain)
    message = "must be a duration such as 90s, 15m, 2h or 7d"
    raise ValueError(message)


def _each_part(text: str) -> Iterator[float]:
    number = ""
    for mark in text:
        if mark in _SECONDS:
            yield float(number) * _SECONDS[mark]
            number = ""
        else:
            number += mark


def read_size(value: Any) -> int:
    """Return the bytes of a whole number, or of ``512M``, ``2G``, ``1.5GiB``: units of 1,024.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str) and (found := _SIZE.fullmatch(value.strip().upper())):
        return int(float(found[1]) * 1024 ** _UNITS.index(found[2]))
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        message = "must be a whole number of bytes, or such as 512M or 2G"
        raise ValueError(message)
    return int(value)


def show_size(count: float) -> str:
    """Return a number of bytes in the unit that leaves the fewest digits: ``4.2 MB``."""
    if count < _KILO:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= _KILO
        if count < _KILO:
            return f"{count:.1f} {unit}"
    return f"{count / _KILO:.1f} TB"
