"""Jobs as rows, and back: the columns are made from the members of `Job`.

The type of a member says how it is stored: an enumeration as its text, the dispatch key as three
columns, a time and whatever else is made of parts as `values` says. NULL is None, or the model's
default in JSON columns.
"""

import functools
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import compress
from operator import attrgetter, is_not, itemgetter
from typing import Any, NamedTuple, get_args

import msgspec
from msgspec.structs import FieldInfo, astuple

from cidx_jobs.model.job.job import DispatchKey, Job, JsonObject
from cidx_jobs.model.job.packed import MIN_BYTES, PackedObject
from cidx_jobs.model.listing import UnreadJob
from cidx_jobs.store.sqlite.values import (
    ABSENT,
    NULLABLE,
    Row,
    from_json,
    from_microseconds,
    to_json,
    to_microseconds,
)

Shape = tuple[int, ...]
"""Which members of a job a row holds, by their numbers in the order of `Job`."""


class _Column(NamedTuple):
    """How one member of a job is stored; None and NULL are left to whoever asks."""

    encode: Callable[[Any], Any] | None
    """None where the value is stored as it is."""
    decode: Callable[[Any], Any] | None
    is_nullable: bool


def _column(field: FieldInfo) -> _Column:
    kinds = get_args(field.type)
    is_optional = type(None) in kinds
    kind: Any = kinds[0] if is_optional else field.type
    # An identifier is a NewType: at runtime a function that knows what it is a kind of.
    kind = getattr(kind, "__supertype__", kind)
    if kind in {str, int, float, DispatchKey}:
        return _Column(None, None, is_optional)
    if kind is bool:
        return _Column(int, bool, is_optional)
    if kind is datetime:
        return _Column(to_microseconds, from_microseconds, is_optional)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        # `_value_` is documented, and `value` reads it through a property at ten times the cost.
        by_text = {member.value: member for member in kind}
        return _Column(attrgetter("_value_"), by_text.__getitem__, is_optional)
    encode = partial(_to_json_unless, _default_of(field))
    decode = msgspec.json.Decoder(kind).decode
    return _Column(encode, _options if field.name == "options" else decode, is_nullable=True)


def _options(text: str) -> JsonObject:
    # A database may hold many jobs that wait, with long options: all of them are in memory.
    return from_json(text) if len(text) < MIN_BYTES else PackedObject(text.encode())


def _default_of(field: FieldInfo) -> Any:
    has_factory = field.default_factory is not msgspec.NODEFAULT
    return field.default_factory() if has_factory else field.default


def _to_json_unless(default: Any, value: Any) -> str | int:
    return ABSENT if value == default else to_json(value)


_FIELDS = msgspec.structs.fields(Job)
_MEMBERS = tuple(field.name for field in _FIELDS)
_NUMBERS = tuple(range(len(_FIELDS)))
_COLUMNS = tuple(map(_column, _FIELDS))
_DEFAULTS = tuple(map(_default_of, _FIELDS))
_UNLIKE = (object(),) * len(_FIELDS)
"""Differs from every job in each member."""

_KEY = _MEMBERS.index("dispatch_key")
"""The one member that is more than one column."""
_KEY_COLUMNS = tuple(f"key_{part}" for part in DispatchKey._fields)
_NO_KEY = (ABSENT,) * len(_KEY_COLUMNS)


def columns(shape: Shape) -> tuple[str, ...]:
    """Return the names of the columns of a shape."""
    names: list[str] = []
    for number in shape:
        names += _KEY_COLUMNS if number == _KEY else (_MEMBERS[number],)
    return tuple(names)


# The key comes last, where it is out of the way of the others.
JOB_COLUMNS = columns((*(number for number in _NUMBERS if number != _KEY), _KEY))
_DECODERS = tuple(
    (_MEMBERS[number], _COLUMNS[number].decode) for number in _NUMBERS if number != _KEY
)
PROGRESS: Shape = tuple(
    map(
        _MEMBERS.index,
        (
            "version",
            "updated_at",
            "progress",
            "phase",
            "message",
            "progress_detail",
            "phases",
            "warnings",
        ),
    )
)
"""What a progress report changes."""

_pick_place = itemgetter(
    *map(JOB_COLUMNS.index, ("job_id", "job_type", "user_id", "priority", *_KEY_COLUMNS))
)

_NULLABLE = {
    *columns(tuple(number for number in _NUMBERS if _COLUMNS[number].is_nullable)),
}


def parameter(column: str) -> str:
    """Return the parameter mark of a column."""
    return NULLABLE if column in _NULLABLE else "?"


def encode_new(job: Job) -> tuple[Shape, list[Any]]:
    """Return what a new row must hold: the members that do not have their defaults."""
    return _encode_differing(astuple(job), _DEFAULTS)


def encode_changed(job: Job, before: Job | None) -> tuple[Shape, list[Any]]:
    """Return what differs from the job *before*; everything, where that is not known.

    Members are compared by identity: a change that leaves a member alone keeps its object.
    """
    return _encode_differing(astuple(job), _UNLIKE if before is None else astuple(before))


def encode_progress(job: Job) -> list[Any]:
    """Return the values of the shape `PROGRESS`."""
    return _encode(astuple(job), PROGRESS)


def decode_job(row: Row) -> Job:
    """Return the job whose `JOB_COLUMNS` the row holds."""
    members = {
        name: value if decode is None else decode(value)
        for (name, decode), value in zip(_DECODERS, row, strict=False)
        if value is not None
    }
    if row[-1] is not None:
        members[_MEMBERS[_KEY]] = DispatchKey(*row[-len(_KEY_COLUMNS) :])
    return Job(**members)


def read_later(row: Row) -> UnreadJob:
    """Return the queued job whose `JOB_COLUMNS` the row holds, of which its place is read."""
    job_id, job_type, user_id, priority, level, turn, arrival = _pick_place(row)
    return UnreadJob(
        job_id=job_id,
        user_id=user_id,
        job_type=job_type,
        priority=priority,
        dispatch_key=DispatchKey(level, turn, arrival),
        read=partial(decode_job, row),
    )


def _encode_differing(members: Row, others: Row) -> tuple[Shape, list[Any]]:
    # Most members are the same: this finds the others without a loop in Python.
    shape = tuple(compress(_NUMBERS, map(is_not, members, others)))
    return shape, _encode(members, shape)


def _encode(members: Row, shape: Shape) -> list[Any]:
    plan = _plan(shape)
    values = list(plan.pick(members))
    for place, encode in plan.encoders:
        member = values[place]
        if member is None:
            values[place] = ABSENT
        elif encode is not None:
            values[place] = encode(member)
    if plan.key_place is not None:
        # Last, since it moves the places after it.
        values[plan.key_place : plan.key_place + 1] = values[plan.key_place] or _NO_KEY
    return values


class _Plan(NamedTuple):
    """How the members of a shape become values: most are stored as they are."""

    pick: Callable[[Row], Row]
    """Picks the members of the shape."""
    encoders: tuple[tuple[int, Callable[[Any], Any] | None], ...]
    """The places in the shape whose values may be others than the members, and how."""
    key_place: int | None


@functools.lru_cache(maxsize=512)
def _plan(shape: Shape) -> _Plan:
    encoders = [
        (place, _COLUMNS[number].encode)
        for place, number in enumerate(shape)
        if number != _KEY and (_COLUMNS[number].encode or _COLUMNS[number].is_nullable)
    ]
    # The getter of a single item returns no tuple.
    pick: Callable[[Row], Row] = (
        itemgetter(*shape) if len(shape) > 1 else itemgetter(slice(shape[0], shape[0] + 1))
    )
    return _Plan(pick, tuple(encoders), shape.index(_KEY) if _KEY in shape else None)
