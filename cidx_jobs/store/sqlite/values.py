"""Encoding of values: a time as an integer, a value made of parts as JSON text.

None is not bound as a parameter where speed counts: sqlite3 looks for an adapter of it each time,
which takes ten times as long as the binding. `ABSENT` is bound in its place, and `NULLABLE` makes
NULL of it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cidx_jobs.model.job.packed import unpacked

Row = tuple[Any, ...]

ABSENT = -(2**63)
"""Stands for None in the rows of jobs and of the log on their way in; no member can be it."""
NULLABLE = f"nullif(?, {ABSENT})"
"""The parameter mark of a column that may be `ABSENT`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_to_json = msgspec.json.Encoder(enc_hook=unpacked).encode
from_json = msgspec.json.Decoder().decode
"""Return the JSON value that a text holds."""


def to_json(value: Any) -> str:
    """Return any JSON value, or a value of the model, as JSON text."""
    return _to_json(value).decode()


def to_microseconds(at: datetime) -> int:
    """Return an aware time as whole microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the time, in UTC, that `to_microseconds` was given."""
    return _EPOCH + timedelta(0, 0, value)


def optional_microseconds(at: datetime | None) -> int | None:
    """Return what `to_microseconds` makes of a time, and None of None."""
    return None if at is None else to_microseconds(at)


def optional_time(value: int | None) -> datetime | None:
    """Return what `from_microseconds` makes of a number, and None of None."""
    return None if value is None else from_microseconds(value)
