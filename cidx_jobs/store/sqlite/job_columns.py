"""Jobs as rows, and back; and how any value is stored.

A time is stored as whole microseconds since 1970 in UTC; a value that is made of parts as JSON
text. A JSON column that holds the model's default is NULL.

None is not bound as a parameter: sqlite3 looks for an adapter of it each time, which takes ten
times as long as the binding. `ABSENT` is bound in its place, and `parameter` makes NULL of it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, cast

import attrs
import msgspec

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import (
    NO_DETAIL,
    AttemptRecord,
    CheckpointInfo,
    DispatchKey,
    Job,
    JobError,
    JobStatus,
    JobWarning,
    PhaseState,
    Place,
    ProgressDetail,
)

Row = tuple[Any, ...]

ABSENT = -(2**63)
"""Stands for None in the rows of jobs and of the log on their way in; no member can be it."""

_STATUSES = {status.value: status for status in JobStatus}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_KEY = (ABSENT, ABSENT, ABSENT)
_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode
_read_detail = msgspec.json.Decoder(ProgressDetail).decode
_read_phases = msgspec.json.Decoder(tuple[PhaseState, ...]).decode
_read_warnings = msgspec.json.Decoder(tuple[JobWarning, ...]).decode
_read_attempts = msgspec.json.Decoder(tuple[AttemptRecord, ...]).decode
_read_checkpoint = msgspec.json.Decoder(CheckpointInfo).decode
_read_error = msgspec.json.Decoder(JobError).decode


def to_microseconds(at: datetime) -> int:
    """Give an aware time as whole microseconds since 1970."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_microseconds(value: int) -> datetime:
    """Give the time, in UTC, that `to_microseconds` was given."""
    return _EPOCH + timedelta(0, 0, value)


def to_json(value: Any) -> str:
    """Give any JSON value, or a value of the model, as JSON text."""
    return _to_json(value).decode()


def from_json(text: str) -> Any:
    """Give the JSON value that the text holds."""
    return _from_json(text)


def _text(value: str | None) -> str | int:
    return ABSENT if value is None else value


# `_value_` is the documented name of what `value` reads through a property, at ten times the cost.
def _word(value: StrEnum) -> str:
    return value._value_


def _optional_word(value: StrEnum | None) -> str | int:
    return ABSENT if value is None else value._value_


def _moment(at: datetime | None) -> int:
    return ABSENT if at is None else to_microseconds(at)


def _filled(value: Mapping[str, Any] | Sequence[Any]) -> str | int:
    return to_json(value) if value else ABSENT


def _present(value: Any) -> str | int:
    return ABSENT if value is None else to_json(value)


def _detail(value: ProgressDetail) -> str | int:
    return ABSENT if value is NO_DETAIL else to_json(value)


def _key(value: DispatchKey | None) -> tuple[float, ...]:
    return _NO_KEY if value is None else value


_AS_IS = None
_ENCODERS: Mapping[str, Callable[[Any], Any] | None] = {
    "job_id": _AS_IS,
    "job_type": _AS_IS,
    "user_id": _AS_IS,
    "project_id": _AS_IS,
    "timeout_seconds": _AS_IS,
    "created_at": to_microseconds,
    "version": _AS_IS,
    "updated_at": to_microseconds,
    "progress": _AS_IS,
    "phase": _text,
    "message": _text,
    "progress_detail": _detail,
    "phases": _filled,
    "warnings": _filled,
    "status": _word,
    "priority": _AS_IS,
    "attempt": _AS_IS,
    "max_attempts": _AS_IS,
    "attempts_granted": _AS_IS,
    "run": _AS_IS,
    "epoch": _AS_IS,
    "losses": _AS_IS,
    "place": _optional_word,
    "hold": int,
    "start_at": _moment,
    "retry_at": _moment,
    "queued_at": _moment,
    "started_at": _moment,
    "finished_at": _moment,
    "cancel_requested_at": _moment,
    "cancel_reason": _text,
    "labels": _filled,
    "options": _filled,
    "checkpoint": _present,
    "result": _present,
    "error": _present,
    "attempts": _filled,
    # The one member that is three columns comes last.
    "dispatch_key": _key,
}
"""How each member of a job is stored, in the order of the columns."""

_MEMBERS = tuple(_ENCODERS)
_KEY = _MEMBERS[-1]
_KEY_COLUMNS = ("key_level", "key_turn", "key_arrival")
_CHANGING = _MEMBERS[_MEMBERS.index("version") :]
_PROGRESS = _MEMBERS[_MEMBERS.index("version") : _MEMBERS.index("status")]

JOB_COLUMNS = (*_MEMBERS[:-1], *_KEY_COLUMNS)
_NULLABLE = frozenset(
    {
        *(name for name, encode in _ENCODERS.items() if encode not in {_AS_IS, _word, int}),
        *_KEY_COLUMNS,
        "from_status",
        "reason",
    }
) - {"created_at", "updated_at"}

Shape = int
"""Which members of a job a row holds: one bit for each, in the order of the columns."""

Encoder = Callable[[Job, Any], tuple[Shape, list[Any]]]
"""Gives the shape and the values of the members that differ from those of another object."""

PROGRESS: Shape = sum(1 << _MEMBERS.index(name) for name in _PROGRESS)
"""What a progress report changes."""


def columns(shape: Shape) -> tuple[str, ...]:
    """Name the columns of a shape."""
    names = [name for bit, name in enumerate(_MEMBERS) if shape >> bit & 1]
    return (*names[:-1], *_KEY_COLUMNS) if names[-1] == _KEY else tuple(names)


def parameter(column: str) -> str:
    """Give the parameter mark of a column."""
    return f"nullif(?, {ABSENT})" if column in _NULLABLE else "?"


def encode_new(job: Job) -> tuple[Shape, list[Any]]:
    """Give what a new row must hold: the members that do not have their defaults."""
    return _encode_all(job, _DEFAULTS)


def encode_changed(job: Job, before: Job | None) -> tuple[Shape, list[Any]]:
    """Give what differs from the job *before*; everything that can, where that is not known.

    Members are compared by identity: a change that leaves a member alone keeps its object.
    """
    return _encode_changing(job, _UNLIKE if before is None else before)


def encode_progress(job: Job) -> list[Any]:
    """Give the values of the shape `PROGRESS`."""
    return _encode_progress(job, _UNLIKE)[1]


def _make_encoder(names: Sequence[str]) -> Encoder:
    """Write out a comparison of these members, one by one.

    It is a third of what storing a transition takes in Python, and a loop would take twice as
    long.
    """
    source = ["def encode(job, other):", "    shape, values = 0, []"]
    for name in names:
        encoded = "member" if _ENCODERS[name] is _AS_IS else f"encode_{name}(member)"
        add = "extend" if name == _KEY else "append"
        source += [
            f"    if (member := job.{name}) is not other.{name}:",
            f"        shape |= {1 << _MEMBERS.index(name)}",
            f"        values.{add}({encoded})",
        ]
    source.append("    return shape, values")
    scope: dict[str, Any] = {f"encode_{name}": _ENCODERS[name] for name in names}
    exec("\n".join(source), scope)  # noqa: S102 - made of nothing but the names of the members
    return cast("Encoder", scope["encode"])


_encode_all = _make_encoder(_MEMBERS)
_encode_changing = _make_encoder(_CHANGING)
_encode_progress = _make_encoder(_PROGRESS)
_DEFAULTS = SimpleNamespace(**{field.name: field.default for field in attrs.fields(Job)})
_UNLIKE = SimpleNamespace(**dict.fromkeys(_MEMBERS, object()))
"""Differs from every job in each member."""


def decode_job(row: Row) -> Job:
    """Give the job whose `JOB_COLUMNS` the row holds."""
    # fmt: off
    (
        job_id, job_type, user_id, project_id, timeout_seconds, created_at,
        version, updated_at, progress, phase, message, detail, phases, warnings,
        status, priority, attempt, max_attempts, attempts_granted, run, epoch, losses,
        place, hold, start_at, retry_at,
        queued_at, started_at, finished_at, cancel_requested_at, cancel_reason,
        labels, options, checkpoint, result, error, attempts, level, turn, arrival,
    ) = row
    # fmt: on
    return Job(
        job_id=JobId(job_id),
        job_type=job_type,
        user_id=UserId(user_id),
        project_id=ProjectId(project_id),
        timeout_seconds=timeout_seconds,
        created_at=from_microseconds(created_at),
        version=version,
        updated_at=from_microseconds(updated_at),
        progress=progress,
        phase=phase,
        message=message,
        progress_detail=NO_DETAIL if detail is None else _read_detail(detail),
        phases=() if phases is None else _read_phases(phases),
        warnings=() if warnings is None else _read_warnings(warnings),
        status=_STATUSES[status],
        priority=priority,
        attempt=attempt,
        max_attempts=max_attempts,
        attempts_granted=attempts_granted,
        run=run,
        epoch=epoch,
        losses=losses,
        place=None if place is None else Place(place),
        hold=bool(hold),
        start_at=_time(start_at),
        retry_at=_time(retry_at),
        dispatch_key=None if level is None else DispatchKey(level, turn, arrival),
        queued_at=_time(queued_at),
        started_at=_time(started_at),
        finished_at=_time(finished_at),
        cancel_requested_at=_time(cancel_requested_at),
        cancel_reason=cancel_reason,
        labels={} if labels is None else _from_json(labels),
        options={} if options is None else _from_json(options),
        checkpoint=None if checkpoint is None else _read_checkpoint(checkpoint),
        result=None if result is None else _from_json(result),
        error=None if error is None else _read_error(error),
        attempts=() if attempts is None else _read_attempts(attempts),
    )


def _time(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)
