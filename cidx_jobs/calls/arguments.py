"""Arguments of calls on jobs, read strictly: each fault has the argument's name as pointer."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from cidx_jobs.calls.trace_context import find_traceparent, is_traceparent
from cidx_jobs.model.errors import Fault, ValidationError
from cidx_jobs.model.foreign import plain_options, start_in_utc
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.job.submit import RequestKey, SubmitRequest, name_of_type
from cidx_jobs.model.schemas.value_types import plain_members
from cidx_jobs.wire.encode import fingerprint
from cidx_jobs.wire.request_bodies import REPOSITORY_SYNC

S = TypeVar("S", bound=msgspec.Struct)

KEY_PATTERN = r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?"
MAX_LISTED = 10_000
"""The most jobs that `JobCalls.list` returns at a time."""
MAX_TOGETHER = 10_000
"""The most jobs that are submitted together."""
MAX_NUMBER = 2**63 - 1

_KEY = re.compile(KEY_PATTERN)
_NAMES = frozenset({"user_id", "project_id", "job_type"})
"""What a submit says without a default: None is wrong there."""
_MAPPINGS = frozenset({"labels", "limits"})
_SUBMITTED = frozenset(SubmitRequest.__struct_fields__) - {
    "request_key",
    "actor",
    "parent_id",
    "child_key",
}


def read_submit(
    *, options: object = None, idempotency_key: Any = None, **members: Any
) -> SubmitRequest:
    """Return the submit that these arguments ask for; its ranges are checked where it is stored.

    Raises:
        ValidationError: an argument is of a wrong kind, or there is no such argument.
    """
    if unknown := members.keys() - _SUBMITTED:
        raise ValidationError(Fault(f"/{name}", "there is no such member") for name in unknown)
    given = {name: value for name, value in members.items() if value is not None or name in _NAMES}
    if "job_type" in given:
        given["job_type"] = name_of_type(given["job_type"])
    for name in given.keys() & _MAPPINGS:
        given[name] = plain(given[name])
    given["options"] = _read_options(options)
    given["traceparent"] = _read_trace(members.get("traceparent"))
    given["start_at"] = read_time("start_at", members.get("start_at"))
    given["actor"] = given.get("user_id")
    request = read(SubmitRequest, **given)
    if idempotency_key is None:
        return request
    if not isinstance(idempotency_key, str) or not _KEY.fullmatch(idempotency_key):
        message = "it must be 1 to 255 visible ASCII characters"
        raise ValidationError.at("/idempotency_key", message)
    # The same request from another span is the same.
    asked = msgspec.to_builtins(replace(request, traceparent=None))
    key = RequestKey(key=idempotency_key, fingerprint=fingerprint("PYTHON", "submit", asked))
    return replace(request, request_key=key)


def read_submits(user_id: str, jobs: Any) -> Sequence[SubmitRequest]:
    """Return the submits that are asked for together.

    Raises:
        ValidationError: one is wrong; its pointers begin with its number.
    """
    if not isinstance(jobs, Iterable) or isinstance(jobs, str | Mapping):
        raise _wrong("jobs", "they are a list of mappings")
    requests: list[SubmitRequest] = []
    for number, members in enumerate(jobs):
        if number == MAX_TOGETHER:
            raise _wrong("jobs", f"at most {MAX_TOGETHER} jobs are submitted together")
        try:
            requests.append(_read_one(user_id, members))
        except ValidationError as error:
            error.faults = tuple(
                Fault(f"/{number}{fault.pointer}", fault.message) for fault in error.faults
            )
            raise
    return requests


def _read_one(user_id: str, members: Any) -> SubmitRequest:
    if not isinstance(members, Mapping):
        raise ValidationError.at("", "it is a mapping of what a submit says")
    if "user_id" in members or "idempotency_key" in members:
        name = "user_id" if "user_id" in members else "idempotency_key"
        raise _wrong(name, "jobs that are submitted together have none of their own")
    given = {"project_id": None, "job_type": REPOSITORY_SYNC, **members}
    return read_submit(user_id=user_id, **given)


def _read_trace(traceparent: Any) -> str | None:
    if traceparent is None:
        return find_traceparent()
    if not is_traceparent(traceparent):
        raise _wrong("traceparent", "it is no traceparent (W3C Trace Context)")
    return str(traceparent)


def read(kind: type[S], **members: Any) -> S:
    """Return a value of the kind with these members.

    Raises:
        ValidationError: one is of a wrong kind.
    """
    try:
        return msgspec.convert(members, kind)
    except msgspec.ValidationError as error:
        raise ValidationError([Fault.told_by_msgspec(error)]) from error


def plain(value: Any) -> Any:
    """Return a mapping as a dictionary, and anything else as it is."""
    return dict(value) if isinstance(value, Mapping) else value


def _read_options(options: object) -> Mapping[str, Any]:
    if options is None:
        return {}
    plain = options if isinstance(options, Mapping) else plain_members(_built(options))
    if not isinstance(plain, Mapping):
        raise ValidationError.at("/options", "they are a JSON object, or an instance of a class")
    return plain_options(plain)


def _built(options: object) -> object:
    return msgspec.to_builtins(options) if isinstance(options, msgspec.Struct) else options


def read_id(job_id: str) -> JobId:
    """Return a job's id, which may be one of no job."""
    return JobId(read_text("job_id", job_id) or "")


def read_text(name: str, value: Any) -> str | None:
    """Return a text, or None."""
    if value is None or isinstance(value, str):
        return value
    raise _wrong(name, "it is a text")


def read_time(name: str, time: Any) -> datetime | None:
    """Return a time in UTC, or None."""
    if time is not None and not isinstance(time, datetime):
        raise _wrong(name, "it is a datetime")
    return start_in_utc(time)


def read_seconds(seconds: Any) -> float:
    """Return a number of seconds."""
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if is_number and not math.isnan(seconds):
        return float(seconds)
    raise ValidationError.at("/timeout", "it is a number of seconds")


def read_statuses(status: Any) -> list[str] | None:
    """Return the statuses that are named; None where none is."""
    if status is None:
        return None
    named = [status] if isinstance(status, str) else status
    if not isinstance(named, Iterable):
        raise ValidationError.at("/status", "it is a status, or several")
    return [one_of("status", one, tuple(JobStatus)) for one in named]


def read_labels(label: Any) -> list[list[str]]:
    """Return the pairs of key and value that are named."""
    if label is None:
        return []
    texts = [label] if isinstance(label, str) else label
    if not isinstance(texts, Iterable):
        raise ValidationError.at("/label", "it is key:value, or several of these")
    pairs = [str(text).partition(":") for text in texts]
    if not all(key and mark for key, mark, _ in pairs):
        raise ValidationError.at("/label", "it must be key:value")
    return [[key, value] for key, _, value in pairs]


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return the value, which is one of the choices."""
    if isinstance(value, str) and value in choices:
        return str(value)
    raise _wrong(name, f"it is one of {', '.join(choices)}")


def between(name: str, value: Any, low: int, high: int) -> int:
    """Return the whole number, which lies between the two."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if is_whole and low <= value <= high:
        return int(value)
    raise _wrong(name, f"it is a whole number from {low} to {high}")


def _wrong(name: str, message: str) -> ValidationError:
    return ValidationError([Fault(f"/{name}", message)])
