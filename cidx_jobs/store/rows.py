"""Jobs, log rows, projects and tokens as rows, and back.

A time is stored as whole microseconds since 1970 in UTC; a value that is made of parts as JSON
text. A JSON column that holds the model's default is NULL.

None is not bound as a parameter: sqlite3 looks for an adapter of it each time, which takes ten
times as long as the binding. `ABSENT` is bound in its place, and `parameter` makes NULL of it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job import (
    NO_DETAIL,
    AttemptRecord,
    CheckpointInfo,
    DispatchKey,
    Job,
    JobError,
    JobStatus,
    JobWarning,
    JsonObject,
    PhaseState,
    Place,
    ProgressDetail,
    Transition,
)

Row = tuple[Any, ...]

ABSENT = -(2**63)
"""Stands for None in the rows of jobs and of the log on their way in; no member can be it."""

FIXED_COLUMNS = (
    "job_id",
    "job_type",
    "user_id",
    "project_id",
    "timeout_seconds",
    "created_at",
)
"""What a job keeps for life."""

PROGRESS_COLUMNS = (
    "version",
    "updated_at",
    "progress",
    "phase",
    "message",
    "progress_detail",
    "phases",
    "warnings",
)
"""What a progress report changes."""

CHANGING_COLUMNS = (
    *PROGRESS_COLUMNS,
    "status",
    "priority",
    "attempt",
    "max_attempts",
    "attempts_granted",
    "run",
    "epoch",
    "losses",
    "place",
    "hold",
    "start_at",
    "retry_at",
    "key_level",
    "key_turn",
    "key_arrival",
    "queued_at",
    "started_at",
    "finished_at",
    "cancel_requested_at",
    "cancel_reason",
    "labels",
    "options",
    "checkpoint",
    "result",
    "error",
    "attempts",
)
"""What a transition may change."""

NULLABLE_COLUMNS = frozenset(
    {
        "phase",
        "message",
        "progress_detail",
        "phases",
        "warnings",
        "place",
        "start_at",
        "retry_at",
        "key_level",
        "key_turn",
        "key_arrival",
        "queued_at",
        "started_at",
        "finished_at",
        "cancel_requested_at",
        "cancel_reason",
        "labels",
        "options",
        "checkpoint",
        "result",
        "error",
        "attempts",
        "from_status",
        "reason",
    }
)

EVENT_COLUMNS = (
    "seq",
    "job_id",
    "version",
    "user_id",
    "event",
    "from_status",
    "to_status",
    "at",
    "attempt",
    "run",
    "reason",
)

JOB_COLUMNS = (*FIXED_COLUMNS, *CHANGING_COLUMNS)

_NO_KEY = (ABSENT, ABSENT, ABSENT)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode
_read_detail = msgspec.json.Decoder(ProgressDetail).decode
_read_phases = msgspec.json.Decoder(tuple[PhaseState, ...]).decode
_read_warnings = msgspec.json.Decoder(tuple[JobWarning, ...]).decode
_read_attempts = msgspec.json.Decoder(tuple[AttemptRecord, ...]).decode
_read_checkpoint = msgspec.json.Decoder(CheckpointInfo).decode
_read_error = msgspec.json.Decoder(JobError).decode


def parameter(column: str) -> str:
    """Give the parameter mark of a column."""
    return f"nullif(?, {ABSENT})" if column in NULLABLE_COLUMNS else "?"


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


def encode_fixed(job: Job) -> Row:
    """Give the values of `FIXED_COLUMNS`."""
    return (
        job.job_id,
        job.job_type,
        job.user_id,
        job.project_id,
        job.timeout_seconds,
        to_microseconds(job.created_at),
    )


def encode_progress(job: Job) -> Row:
    """Give the values of `PROGRESS_COLUMNS`."""
    return (
        job.version,
        to_microseconds(job.updated_at),
        job.progress,
        ABSENT if job.phase is None else job.phase,
        ABSENT if job.message is None else job.message,
        ABSENT if job.progress_detail is NO_DETAIL else to_json(job.progress_detail),
        _filled(job.phases),
        _filled(job.warnings),
    )


def encode_changing(job: Job) -> Row:
    """Give the values of `CHANGING_COLUMNS`."""
    key = job.dispatch_key
    level, turn, arrival = _NO_KEY if key is None else key
    return (
        *encode_progress(job),
        job.status.value,
        job.priority,
        job.attempt,
        job.max_attempts,
        job.attempts_granted,
        job.run,
        job.epoch,
        job.losses,
        ABSENT if job.place is None else job.place.value,
        int(job.hold),
        _moment(job.start_at),
        _moment(job.retry_at),
        level,
        turn,
        arrival,
        _moment(job.queued_at),
        _moment(job.started_at),
        _moment(job.finished_at),
        _moment(job.cancel_requested_at),
        ABSENT if job.cancel_reason is None else job.cancel_reason,
        _filled(job.labels),
        _filled(job.options),
        _present(job.checkpoint),
        _present(job.result),
        _present(job.error),
        _filled(job.attempts),
    )


def decode_job(row: Row) -> Job:
    """Give the job whose `JOB_COLUMNS` the row holds."""
    (
        (job_id, job_type, user_id, project_id, timeout_seconds, created_at),
        (version, updated_at, progress, phase, message, detail, phases, warnings),
        (status, priority, attempt, max_attempts, attempts_granted, run, epoch, losses),
        (place, hold, start_at, retry_at, level, turn, arrival),
        (queued_at, started_at, finished_at, cancel_requested_at, cancel_reason),
        (labels, options, checkpoint, result, error, attempts),
    ) = (row[:6], row[6:14], row[14:22], row[22:29], row[29:34], row[34:])
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
        status=JobStatus(status),
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


def encode_transition(transition: Transition, sequence: int) -> Row:
    """Give the row of the log that *transition* becomes as number *sequence*."""
    before = transition.from_status
    return (
        sequence,
        transition.job_id,
        transition.version,
        transition.user_id,
        transition.event,
        ABSENT if before is None else before.value,
        transition.to_status.value,
        to_microseconds(transition.at),
        transition.attempt,
        transition.run,
        ABSENT if transition.reason is None else transition.reason,
    )


def decode_transition(row: Row) -> Transition:
    """Give the transition that a row of the log holds."""
    sequence, job_id, version, user_id, event, before, after, at, attempt, run, reason = row
    return Transition(
        sequence=sequence,
        job_id=JobId(job_id),
        version=version,
        user_id=UserId(user_id),
        event=event,
        from_status=None if before is None else JobStatus(before),
        to_status=JobStatus(after),
        at=from_microseconds(at),
        attempt=attempt,
        run=run,
        reason=reason,
    )


def numbered(transition: Transition, sequence: int) -> Transition:
    """Give the transition with its number (`attrs.evolve` takes three times as long)."""
    return Transition(
        sequence=sequence,
        job_id=transition.job_id,
        version=transition.version,
        user_id=transition.user_id,
        event=transition.event,
        from_status=transition.from_status,
        to_status=transition.to_status,
        at=transition.at,
        attempt=transition.attempt,
        run=transition.run,
        reason=transition.reason,
    )


def _moment(at: datetime | None) -> int:
    return ABSENT if at is None else to_microseconds(at)


def _time(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)


def _filled(value: Mapping[str, Any] | Sequence[Any]) -> str | int:
    return to_json(value) if value else ABSENT


def _present(value: JsonObject | CheckpointInfo | JobError | None) -> str | int:
    return ABSENT if value is None else to_json(value)
