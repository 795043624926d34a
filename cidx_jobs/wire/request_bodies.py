"""What requests bring: one class for each body, and the submit that it stands for.

Ranges are checked where the rule lives (the engine); here stands only what has which type.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from cidx_jobs.model.errors import ValidationError
from cidx_jobs.model.foreign import start_in_utc
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.job.submit import OnConflict, RequestKey, SubmitRequest
from cidx_jobs.wire.encode import Document

REPOSITORY_SYNC = "repository_sync"


class Body(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all bodies: a member that is not declared is a fault."""


class EmptyBody(Body, frozen=True, kw_only=True):
    """The body of a request that takes no members."""


class SyncBody(Body, frozen=True, kw_only=True):
    """``POST /api/sync``: a submit of a ``repository_sync``."""

    project_id: str
    repository_url: str | None = None
    """The same as ``options.repository_url``."""
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    priority: int | None = None
    """0 to 9, 9 first; the server's default if null."""
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    """The longest a run may take."""
    start_at: datetime | None = None
    """Not to start before this time."""
    hold: bool = False
    """Not to start before somebody asks for it."""
    on_conflict: OnConflict = OnConflict.COALESCE
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def job_type(self) -> str:
        """The type that this route is for."""
        return REPOSITORY_SYNC


class SubmitBody(Body, frozen=True, kw_only=True):
    """``POST /api/jobs``: a submit of any registered type."""

    job_type: str
    project_id: str
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    priority: int | None = None
    """0 to 9, 9 first; the server's default if null."""
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    """The longest a run may take."""
    start_at: datetime | None = None
    """Not to start before this time."""
    hold: bool = False
    """Not to start before somebody asks for it."""
    on_conflict: OnConflict = OnConflict.COALESCE
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class CancelBody(Body, frozen=True, kw_only=True):
    """``POST /api/jobs/{job_id}/cancel`` and ``DELETE /api/jobs/{job_id}``."""

    reason: str | None = None
    """Shown to who reads the job; at most 500 characters."""


class RetryBody(Body, frozen=True, kw_only=True):
    """``POST /api/jobs/{job_id}/retry``."""

    from_start: bool = False
    """Without the checkpoint."""


class ReviseBody(Body, frozen=True, kw_only=True):
    """``PATCH /api/jobs/{job_id}``: what is null stays as it is."""

    priority: int | None = None
    labels: dict[str, str] | None = None
    """Replaces all labels."""


class TokenBody(Body, frozen=True, kw_only=True):
    """``POST /api/admin/tokens``."""

    user_id: str
    scope: str = "write"
    """``read``, ``write`` or ``admin``; each includes those before it."""
    lifetime_seconds: float | None = None
    """How long the token is good for; null is until it is revoked."""
    label: str | None = None


class PauseBody(Body, frozen=True, kw_only=True):
    """``POST /api/admin/pause`` and ``/resume``: without members it is about everything."""

    user_id: str | None = None
    job_type: str | None = None


class CleanupBody(Body, frozen=True, kw_only=True):
    """``POST /api/admin/cleanup``: which finished jobs to delete, with their events."""

    older_than_seconds: float
    """How long ago they finished, at least."""
    statuses: list[JobStatus] | None = None
    """Only these, each a final one; null is all of them."""
    dry_run: bool = False
    """Count them, and delete none."""


class LimitsBody(Body, frozen=True, kw_only=True):
    """``PATCH /api/admin/limits``: what is null stays as it is."""

    max_running_per_user: int | None = None
    max_running_total: int | None = None
    max_queued_per_user: int | None = None
    max_queued_total: int | None = None
    resources: dict[str, int] | None = None
    """Named ones are changed, others stay."""
    max_priority: int | None = None
    user_max_priorities: dict[str, int] | None = None
    """Replaces all of them."""


def make_submit(
    body: SubmitBody | SyncBody, user_id: str, key: RequestKey | None
) -> SubmitRequest:
    """Give the submit that the body asks for, by this user.

    Raises:
        ValidationError: the repository stands at two places, and differs; or the start time
            is none in UTC.
    """
    return SubmitRequest(
        user_id=UserId(user_id),
        project_id=ProjectId(body.project_id),
        job_type=body.job_type,
        options=_options(body),
        priority=body.priority,
        max_attempts=body.max_attempts,
        timeout_seconds=body.timeout_seconds,
        start_at=start_in_utc(body.start_at),
        hold=body.hold,
        on_conflict=body.on_conflict,
        labels=body.labels,
        request_key=key,
    )


def _options(body: SubmitBody | SyncBody) -> Mapping[str, Any]:
    url = body.repository_url if isinstance(body, SyncBody) else None
    if url is None:
        return body.options
    if body.options.get("repository_url", url) != url:
        raise ValidationError.at("/repository_url", "options.repository_url says another one")
    return {**body.options, "repository_url": url}
