"""The state machine: one table of ``status x event -> status`` and one pure `advance`.

An event that the table does not hold for a job's status raises `InvalidTransitionError` and
changes nothing. The diagram in ``docs/explanation/lifecycle.md`` is made from `TRANSITIONS`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec.structs import replace

from cidx_jobs.model.errors import InvalidTransitionError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.events import (
    EVENT_NAMES,
    Cancel,
    Complete,
    Enqueue,
    Event,
    Fail,
    Hold,
    Interrupt,
    RequestCancel,
    Retry,
    RetryLater,
    Revise,
    Start,
    Submit,
    Suspend,
)
from cidx_jobs.model.job.job import (
    CREATED,
    NO_DETAIL,
    RUNNING,
    AttemptRecord,
    Job,
    JobError,
    JobStatus,
    Outcome,
    PhaseState,
    PhaseStatus,
    ProgressDetail,
    Transition,
)

_S = JobStatus
TRANSITIONS: Mapping[tuple[JobStatus | None, str], JobStatus] = MappingProxyType(
    {
        (None, "submit"): _S.CREATED,
        (_S.CREATED, "enqueue"): _S.QUEUED,
        (_S.CREATED, "revise"): _S.CREATED,
        (_S.CREATED, "hold"): _S.CREATED,
        (_S.CREATED, "cancel"): _S.CANCELLED,
        (_S.QUEUED, "revise"): _S.QUEUED,
        (_S.QUEUED, "hold"): _S.CREATED,
        (_S.QUEUED, "start"): _S.RUNNING,
        (_S.QUEUED, "cancel"): _S.CANCELLED,
        (_S.RUNNING, "complete"): _S.COMPLETED,
        (_S.RUNNING, "fail"): _S.FAILED,
        (_S.RUNNING, "retry_later"): _S.QUEUED,
        (_S.RUNNING, "interrupt"): _S.QUEUED,
        (_S.RUNNING, "suspend"): _S.CREATED,
        (_S.RUNNING, "hold"): _S.RUNNING,
        (_S.RUNNING, "request_cancel"): _S.RUNNING,
        (_S.RUNNING, "cancel"): _S.CANCELLED,
        (_S.FAILED, "retry"): _S.QUEUED,
        (_S.CANCELLED, "retry"): _S.QUEUED,
    }
)
"""Every edge there is; None stands for "no such job yet"."""


def advance(
    job: Job, event: Event, now: datetime, actor: UserId | None = None
) -> tuple[Job, Transition]:
    """Take *job* along the edge *event*: the job after it, and the row for the log.

    *actor* is who asked for it; None for the server itself.

    Pure: *job* is not changed and nothing is stored. The new version is the old one plus one
    (for `Submit`, the job's own: it becomes the first version).

    Raises:
        InvalidTransitionError: the job's status has no such edge.
    """
    kind = type(event)
    is_new = kind is Submit and job.version == 1 and job.status is CREATED
    before = None if is_new else job.status
    edge = _EDGES.get((before, kind))
    if edge is None:
        raise InvalidTransitionError(job_id=job.job_id, status=job.status, event=EVENT_NAMES[kind])
    changed = job if is_new else _changed(job, event, edge, now)
    return changed, Transition(
        job_id=changed.job_id,
        user_id=changed.user_id,
        version=changed.version,
        event=edge.name,
        from_status=before,
        to_status=changed.status,
        at=changed.updated_at,
        attempt=changed.attempt,
        run=changed.run,
        reason=edge.find_reason(event),
        actor=actor,
    )


def record_progress(job: Job, now: datetime, **changes: Any) -> Job:
    """Return the job as the next stored version with new progress members; no edge, no log row.

    Raises:
        InvalidTransitionError: the job does not run.
    """
    if job.status is not RUNNING:
        raise InvalidTransitionError(job_id=job.job_id, status=job.status, event="report")
    changes["version"] = job.version + 1
    changes["updated_at"] = max(now, job.updated_at)
    return replace(job, **changes)


def has_progressed(job: Job) -> bool:
    """Tell whether a running job stored progress or a checkpoint in this life of the server."""
    if job.progress > 0:
        return True
    if job.checkpoint is None or job.started_at is None:
        return False
    return job.checkpoint.saved_at >= job.started_at


class _Edge(NamedTuple):
    """What taking an edge of `TRANSITIONS` does to a job."""

    name: str
    after: JobStatus
    change: Callable[[Job, Any, datetime], dict[str, Any]]
    """Returns the members that the event sets at a time, besides status, version and time."""
    find_reason: Callable[[Any], str | None]
    """Returns why it happened: what ends or delays an attempt always says so."""


def _changed(job: Job, event: Event, edge: _Edge, now: datetime) -> Job:
    changes = edge.change(job, event, now)
    changes["status"] = edge.after
    changes["version"] = job.version + 1
    changes["updated_at"] = max(now, job.updated_at)
    return replace(job, **changes)


def _enqueued(job: Job, event: Enqueue, now: datetime) -> dict[str, Any]:
    return {
        "queued_at": now,
        "dispatch_key": event.key,
        "place": event.place or job.place,
        "hold": False,
        "joins": (),
    }


def _revised(_: Job, event: Revise, __: datetime) -> dict[str, Any]:
    wanted = {
        "priority": event.priority,
        "labels": event.labels,
        "options": event.options,
        "limits": event.limits,
        "notify": event.notify,
        "place": event.place,
        "dispatch_key": event.key,
    }
    changes: dict[str, Any] = {name: new for name, new in wanted.items() if new is not None}
    if event.release:
        changes |= {"hold": False, "start_at": None}
    if event.end_backoff:
        changes["retry_at"] = None
    if event.from_start:
        changes["checkpoint"] = None
    return changes


def _held(job: Job, _: Hold, __: datetime) -> dict[str, Any]:
    if job.status is RUNNING:
        return {"hold": True}
    # Who is held has no place in its line, and no time at which it goes on by itself.
    return {"hold": True, "place": None, "retry_at": None}


def _started(job: Job, event: Start, now: datetime) -> dict[str, Any]:
    return {
        "attempt": job.attempt + 1,
        "run": job.run + 1,
        "epoch": event.epoch,
        "started_at": max(now, job.updated_at),
        "retry_at": None,
        "progress": 0,
        "phase": None,
        "message": None,
        "progress_detail": NO_DETAIL,
        "phases": (),
        "warnings": (),
        "error": None,
    }


def _completed(job: Job, event: Complete, _: datetime) -> dict[str, Any]:
    changes = _ended(job, event.elapsed_seconds, Outcome.COMPLETED, None)
    changes["result"] = event.result
    changes["progress"] = 100
    return changes


def _failed(job: Job, event: Fail, _: datetime) -> dict[str, Any]:
    return _ended(job, event.elapsed_seconds, Outcome.FAILED, event.error)


def _asked_to_stop(_: Job, event: RequestCancel, now: datetime) -> dict[str, Any]:
    return {"cancel_requested_at": now, "cancel_reason": event.reason}


def _cancelled(job: Job, event: Cancel, now: datetime) -> dict[str, Any]:
    if job.status is RUNNING:
        changes = _ended(job, event.elapsed_seconds, Outcome.CANCELLED, event.error)
    else:
        changes = {"finished_at": max(now, job.created_at), "error": event.error, "place": None}
    if job.cancel_requested_at is None:
        changes |= {"cancel_requested_at": now, "cancel_reason": event.reason}
    return changes


def _ended(
    job: Job, elapsed_seconds: float, outcome: Outcome, error: JobError | None
) -> dict[str, Any]:
    record = _attempt_record(job, elapsed_seconds, outcome, error)
    return {
        "finished_at": record.finished_at,
        "error": error,
        "place": None,
        "losses": 0,
        "attempts": (*job.attempts, record),
        "phases": _closed_phases(job.phases, outcome, record.finished_at),
        "progress_detail": _without_future(job.progress_detail),
    }


def _without_future(detail: ProgressDetail) -> ProgressDetail:
    if detail is NO_DETAIL:
        return detail
    return replace(detail, eta_seconds=None, waiting_for=None)


def _put_back(job: Job, event: RetryLater, _: datetime) -> dict[str, Any]:
    record = _attempt_record(job, event.elapsed_seconds, Outcome.FAILED, event.error)
    return {
        "retry_at": event.retry_at,
        "dispatch_key": event.key,
        "place": event.place or job.place,
        "queued_at": record.finished_at,
        "started_at": None,
        "losses": 0,
        "attempts": (*job.attempts, record),
        "progress_detail": _without_future(job.progress_detail),
    }


def _given_back(job: Job, event: Interrupt, _: datetime) -> dict[str, Any]:
    record = _attempt_record(job, event.elapsed_seconds, Outcome.INTERRUPTED, event.error)
    changes = {
        "attempt": job.attempt - 1,
        "place": event.place or job.place,
        "started_at": None,
        "losses": 0 if event.is_clean or has_progressed(job) else job.losses + 1,
        "attempts": (*job.attempts, record),
        "progress_detail": _without_future(job.progress_detail),
    }
    return changes | ({"checkpoint": None} if event.drop_checkpoint else {})


def _suspended(job: Job, event: Suspend, _: datetime) -> dict[str, Any]:
    record = _attempt_record(job, event.elapsed_seconds, Outcome.INTERRUPTED, None)
    return {
        "attempt": job.attempt - 1,
        "started_at": None,
        "losses": 0,
        # Its line goes on without it: a child may be of the same type and project.
        "place": None,
        "joins": event.joins,
        "start_at": None,
        "attempts": (*job.attempts, record),
        "progress_detail": _without_future(job.progress_detail),
    }


def _retried(job: Job, event: Retry, now: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "max_attempts": job.attempt + job.attempts_granted,
        "place": event.place,
        "dispatch_key": event.key,
        "queued_at": now,
        "started_at": None,
        "finished_at": None,
        "cancel_requested_at": None,
        "cancel_reason": None,
        "error": None,
        "result": None,
        "retry_at": None,
        "hold": False,
        "start_at": None,
        "joins": (),
        "removed": (),
        "progress": 0,
        "phase": None,
        "message": None,
        "progress_detail": NO_DETAIL,
        "phases": (),
    }
    return changes | ({"checkpoint": None} if event.from_start else {})


def _attempt_record(
    job: Job, elapsed_seconds: float, outcome: Outcome, error: JobError | None
) -> AttemptRecord:
    # The end is the start plus a monotonic duration, so that a step of the wall clock can
    # never make a duration negative (guarantees.md, G11).
    started_at = job.started_at or job.created_at
    return AttemptRecord(
        attempt=job.attempt,
        started_at=started_at,
        finished_at=started_at + timedelta(seconds=max(0.0, elapsed_seconds)),
        outcome=outcome,
        error=error,
    )


def _closed_phases(
    phases: tuple[PhaseState, ...], outcome: Outcome, at: datetime
) -> tuple[PhaseState, ...]:
    if outcome is Outcome.COMPLETED:
        return phases
    return tuple(
        replace(phase, status=PhaseStatus.FAILED, finished_at=at)
        if phase.status is PhaseStatus.RUNNING
        else phase
        for phase in phases
    )


def _unchanged(_: Job, __: Submit, ___: datetime) -> dict[str, Any]:
    return {}


def _no_reason(_: Any) -> str | None:
    return None


def _given_reason(
    event: Enqueue | Revise | Hold | Interrupt | Suspend | RequestCancel,
) -> str | None:
    return event.reason


def _error_code(event: Fail | RetryLater) -> str:
    return event.error.code


def _reason_or_code(event: Cancel) -> str:
    return event.reason or event.error.code


def _returned(_: Complete) -> str:
    return "the handler returned"


_RULES: Mapping[type[Any], tuple[Callable[..., dict[str, Any]], Callable[[Any], str | None]]] = {
    Submit: (_unchanged, _no_reason),
    Enqueue: (_enqueued, _given_reason),
    Revise: (_revised, _given_reason),
    Hold: (_held, _given_reason),
    Start: (_started, _no_reason),
    Complete: (_completed, _returned),
    Fail: (_failed, _error_code),
    RetryLater: (_put_back, _error_code),
    Interrupt: (_given_back, _given_reason),
    Suspend: (_suspended, _given_reason),
    RequestCancel: (_asked_to_stop, _given_reason),
    Cancel: (_cancelled, _reason_or_code),
    Retry: (_retried, _no_reason),
}
"""What each event changes, and why it happened."""

_KINDS = {name: kind for kind, name in EVENT_NAMES.items()}
_EDGES: Mapping[tuple[JobStatus | None, type[Any]], _Edge] = {
    (before, _KINDS[name]): _Edge(name, after, *_RULES[_KINDS[name]])
    for (before, name), after in TRANSITIONS.items()
}
"""`TRANSITIONS` by the kind of an event, with what taking the edge means: one look for each."""
