"""What a submit asks for, and what became of it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import msgspec

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, JsonObject

ResultT_co = TypeVar("ResultT_co", covariant=True)


class JobTypeLike(Protocol[ResultT_co]):
    """What names a job type and reads its results; a `JobType` does."""

    @property
    def name(self) -> str:
        """The name that it is registered by."""

    def read_result(self, result: JsonObject) -> ResultT_co:
        """Return a stored result as an instance of the type's class, if it has one."""


def name_of_type(job_type: str | JobTypeLike[Any]) -> str:
    """Return the name of a job type, which is given by its name or as itself."""
    named: Any = job_type
    # What is neither is told by whoever checks names.
    name: str = named if isinstance(named, str) else getattr(named, "name", named)
    return name


class OnConflict(StrEnum):
    """What a submit of an exclusive type does when the project has an active job of the type."""

    COALESCE = "coalesce"
    REJECT = "reject"
    REPLACE = "replace"


class RequestKey(msgspec.Struct, frozen=True, kw_only=True):
    """An idempotency key and the fingerprint of the request that it came with."""

    key: str
    """1 to 255 characters."""
    fingerprint: str


class SubmitRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job that somebody wants; None takes the default of the job type, user or server."""

    user_id: UserId
    project_id: ProjectId
    job_type: str = "repository_sync"
    options: JsonObject = msgspec.field(default_factory=dict)
    priority: int | None = None
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    start_at: datetime | None = None
    hold: bool = False
    on_conflict: OnConflict = OnConflict.COALESCE
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    limits: Mapping[str, int] = msgspec.field(default_factory=dict)
    """Keys of the user's own: of all jobs with one at most so many run at a time."""
    notify: str | None = None
    """A URL that the job's end is told to."""
    merged_urls: tuple[str, ...] = ()
    """The URLs of all requests that this one stands for, where it stands for several."""
    parent_id: JobId | None = None
    """The job whose run asks for it, once for each *child_key*."""
    child_key: str | None = None
    traceparent: str | None = None
    """The trace context of the submit (W3C Trace Context)."""
    request_key: RequestKey | None = None
    actor: UserId | None = None
    """Who asks, perhaps for another user; None for the server itself."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the job's end is told to."""
        return self.merged_urls if self.notify is None else (self.notify,)


class Submission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The job that serves a submit, stored."""

    job: Job
    is_joined: bool = False
    """The request joined a job that was there already."""
    is_replayed: bool = False
    """The request's idempotency key had been used for this job before."""
