"""Messages between processes that share a directory: what is asked, and what comes back."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from cidx_jobs.interfaces.door import Until
from cidx_jobs.model import errors
from cidx_jobs.model.errors import CidxJobsError, Fault
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.job.packed import unpacked
from cidx_jobs.model.job.submit import Submission, SubmitRequest
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import EventQuery, JobPage, JobQuery
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.model.schedules.view import ScheduleView

PATH = "/internal/calls"

_KEPT = ("code", "retry_after_seconds")
"""Members of errors that are not among those that their text names."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call of a method of `JobDoor`, with those of these arguments that it takes."""

    method: str
    submits: tuple[SubmitRequest, ...] = ()
    query: JobQuery | None = None
    events: EventQuery | None = None
    job_id: JobId | None = None
    text: str | None = None
    flag: bool = False
    priority: int | None = None
    labels: dict[str, str] | None = None
    if_version: int | None = None
    until: Until = "done"
    since: int | None = None
    seconds: float = 0.0
    limits: dict[str, Any] = {}
    user_id: str | None = None
    name: str | None = None
    """A project, a job type, a schedule or a process."""
    schedule: Schedule | None = None
    members: dict[str, Any] = {}
    after: tuple[str, str] | None = None
    number: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An error that the call ended with."""

    kind: str
    message: str
    members: dict[str, Any]
    kept: dict[str, Any]
    faults: tuple[tuple[str, str], ...] = ()


RESULTS: Mapping[str, Any] = MappingProxyType(
    {
        "ping": bool,
        "wake": bool,
        "create_jobs": tuple[Submission, ...],
        "get_job": Job,
        "query_jobs": JobPage,
        "query_events": tuple[Transition, ...],
        "cancel_job": Job,
        "retry_job": Job,
        "start_job": Job,
        "revise_job": Job,
        "wait_for": tuple[Job, bool],
        "change_limits": Limits,
        "set_pause": Pauses,
        "remove_project": None,
        "add_schedule": ScheduleView,
        "get_schedule": ScheduleView,
        "list_schedules": tuple[ScheduleView, ...],
        "change_schedule": ScheduleView,
        "remove_schedule": None,
        "run_schedule": Job,
    }
)
"""What each method gives."""


def encode_message(value: Any) -> bytes:
    """Return a message as bytes."""
    return msgspec.json.encode(value, enc_hook=unpacked)


def describe_error(error: CidxJobsError) -> Failed:
    """Return the error as a message."""
    faults = getattr(error, "faults", ())
    return Failed(
        kind=type(error).__name__,
        message=error.message,
        members=error.members,
        kept={name: getattr(error, name) for name in _KEPT if hasattr(error, name)},
        faults=tuple((fault.pointer, fault.message) for fault in faults),
    )


def make_error(told: Failed) -> CidxJobsError:
    """Return the error that was told of, of the same class."""
    kind = getattr(errors, told.kind, CidxJobsError)
    known = isinstance(kind, type) and issubclass(kind, CidxJobsError)
    error: CidxJobsError = CidxJobsError.__new__(kind if known else CidxJobsError)
    CidxJobsError.__init__(error, told.message, **told.members)
    faults = tuple(Fault(pointer, message) for pointer, message in told.faults)
    for name, value in {**told.kept, **({"faults": faults} if faults else {})}.items():
        setattr(error, name, value)
    return error
