"""What requests bring: one class for each body, and the submit that it stands for.

Ranges are checked where the rule lives (the engine), and told here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from cidx_jobs.model.account import ACCOUNT_SCOPES
from cidx_jobs.model.errors import ValidationError
from cidx_jobs.model.foreign import start_in_utc
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import MAX_PRIORITY, MIN_PRIORITY, JobStatus
from cidx_jobs.model.job.submit import OnConflict, RequestKey, SubmitRequest
from cidx_jobs.model.limits import (
    MAX_AGE_SECONDS,
    MAX_ATTEMPTS,
    MAX_LIFETIME_SECONDS,
    MAX_QUEUED_PER_USER,
    MAX_QUEUED_TOTAL,
    MAX_RUNNING,
    MAX_UNITS,
    SCOPES,
)
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.member_rules import about

REPOSITORY_SYNC = "repository_sync"

Reason = Annotated[str, Meta(max_length=500)]
"""Why somebody cancels a job, in their words."""


class Body(Document, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The base of all bodies: a member that is not declared is a fault.

    A client sends what was asked for and no more, so that a server of an older version, which
    would refuse members that it does not know, takes what it can do.
    """

    is_unread_unless_object: ClassVar[bool] = False
    """Whether JSON that is no object is a body that cannot be read (400), and not a wrong one."""


class LenientBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The base of what clients of others send: members that are not declared are ignored."""


class EmptyBody(Body, frozen=True, kw_only=True):
    """The body of a request that takes no members."""


class LenientEmptyBody(LenientBody, frozen=True, kw_only=True):
    """The body of a request of others' clients whose members have no effect."""


class JobBody(Body, frozen=True, kw_only=True):
    """What every submit may say."""

    project_id: Annotated[str, about("The project, one of its user's.", rules.PROJECT_ID)]
    user_id: Annotated[
        str | None,
        about("Whose job it shall be, if not the caller's; for administrators.", rules.USER_ID),
    ] = None
    options: Annotated[dict[str, Any], about("What the job was told, by its type's schema.")] = (
        msgspec.field(default_factory=dict)
    )
    priority: Annotated[
        int | None, about("0 to 9, 9 first; the server's default if null.", rules.PRIORITY)
    ] = None
    max_attempts: Annotated[
        int | None,
        about(
            "How many attempts a submit, or a retry on request, grants.",
            rules.between(1, MAX_ATTEMPTS),
        ),
    ] = None
    timeout_seconds: Annotated[
        float | None, about("The longest a run may take.", rules.TIMEOUT)
    ] = None
    start_at: Annotated[datetime | None, about("Not to start before this time.")] = None
    hold: Annotated[bool, about("Not to start before somebody asks for it.")] = False
    on_conflict: Annotated[
        OnConflict, about("What to do while an exclusive job of the project is active.")
    ] = OnConflict.COALESCE
    labels: Annotated[rules.Labels, about("The caller's own marks.", rules.LABELS)] = (
        msgspec.field(default_factory=dict)
    )
    limits: Annotated[
        rules.KeyLimits,
        about(
            "Keys of the caller's own, and how many jobs with each run at a time at "
            "most; the newest number counts.",
            rules.LIMITS,
        ),
    ] = msgspec.field(default_factory=dict)
    notify: Annotated[
        str | None,
        about(
            "Where the job's end is posted, signed with the user's notify secret; its "
            "host is one of `webhook_allowed_hosts`.",
            rules.NOTIFY,
        ),
    ] = None


class SyncBody(JobBody, frozen=True, kw_only=True):
    """``POST /api/sync``: a submit of a ``repository_sync``."""

    repository_url: Annotated[str | None, about("The same as `options.repository_url`.")] = None
    options: Annotated[
        dict[str, Any],
        about("What the sync is told.", {"$ref": "#/components/schemas/SyncOptions"}),
    ] = msgspec.field(default_factory=dict)

    @property
    def job_type(self) -> str:
        """The type that this route is for."""
        return REPOSITORY_SYNC


class SubmitBody(JobBody, frozen=True, kw_only=True):
    """``POST /api/jobs``: a submit of any registered type."""

    job_type: Annotated[str, about("The name of a registered job type.", rules.JOB_TYPE)]


class CancelBody(Body, frozen=True, kw_only=True):
    """``POST /api/jobs/{job_id}/cancel`` and ``DELETE /api/jobs/{job_id}``."""

    reason: Annotated[
        Reason | None, about("Shown to who reads the job; at most 500 characters.")
    ] = None


class RetryBody(Body, frozen=True, kw_only=True):
    """``POST /api/jobs/{job_id}/retry``."""

    from_start: Annotated[bool, about("Without the checkpoint.")] = False


class ReviseBody(Body, frozen=True, kw_only=True):
    """``PATCH /api/jobs/{job_id}``: what is null stays as it is."""

    priority: Annotated[int | None, about("0 to 9, 9 first.", rules.PRIORITY)] = None
    labels: Annotated[rules.Labels | None, about("Replaces all labels.", rules.LABELS)] = None


class TokenBody(Body, frozen=True, kw_only=True):
    """``POST /api/admin/tokens``."""

    user_id: Annotated[str, about("Whom the token stands for.", rules.USER_ID)]
    scope: Annotated[str, about(rules.SCOPES, {"enum": list(SCOPES)})] = "write"
    lifetime_seconds: Annotated[
        float | None,
        about(
            "How long the token is good for; null is until it is revoked.",
            {"exclusiveMinimum": 0, "maximum": MAX_LIFETIME_SECONDS},
        ),
    ] = None
    label: Annotated[
        str | None, about("What it is for, in its owner's words.", rules.TOKEN_LABEL)
    ] = None


class UserBody(Body, frozen=True, kw_only=True):
    """``POST /api/admin/users``: an account, by a password or by a hash of it from elsewhere."""

    user_id: Annotated[str, about("Whose it is.", rules.USER_ID)]
    scope: Annotated[
        str, about("`write`, `audit` or `admin`.", {"enum": list(ACCOUNT_SCOPES)})
    ] = "write"
    password: Annotated[str | None, about("Either this or its hash.", rules.PASSWORD)] = None
    password_hash: Annotated[str | None, about("Argon2id in the PHC form, or bcrypt.")] = None


class ChangeUserBody(Body, frozen=True, kw_only=True):
    """``PATCH /api/admin/users/{user_id}``: what is null stays as it is."""

    password: Annotated[str | None, about("The new one.", rules.PASSWORD)] = None
    scope: Annotated[
        str | None, about("`write`, `audit` or `admin`.", {"enum": [*ACCOUNT_SCOPES, None]})
    ] = None


class PasswordBody(Body, frozen=True, kw_only=True):
    """``POST /auth/password``."""

    old: Annotated[str, about("The password there is.")]
    new: Annotated[str, about("The one to be.", rules.PASSWORD)]


class CidxSyncBody(LenientBody, frozen=True, kw_only=True):
    """A sync as the CIDX client asks for it; what has no effect here is not declared."""

    is_unread_unless_object = True

    full_reindex: Annotated[bool | None, about("Index everything anew, whatever changed.")] = None
    incremental: Annotated[bool | None, about("False is `full_reindex`.")] = None
    force: Annotated[bool | None, about("Replace an active sync of the project.")] = None
    force_sync: Annotated[bool | None, about("The same as `force`.")] = None
    pull_remote: Annotated[bool | None, about("Without effect: a sync fetches always.")] = None

    @property
    def is_full(self) -> bool:
        """Whether everything is to be indexed anew."""
        return bool(self.full_reindex) or self.incremental is False

    @property
    def is_forced(self) -> bool:
        """Whether an active sync is to be replaced."""
        return bool(self.force or self.force_sync)


class CidxNamedSyncBody(CidxSyncBody, frozen=True, kw_only=True):
    """The same, with the project in the body."""

    repository_alias: Annotated[str, about("The project.")]


class LoginBody(LenientBody, frozen=True, kw_only=True):
    """``POST /auth/login``."""

    username: Annotated[str, about("Who logs in.")]
    password: Annotated[str, about("What they show for it.")]


class PauseBody(Body, frozen=True, kw_only=True):
    """``POST /api/admin/pause`` and ``/resume``: without members it is about everything."""

    user_id: Annotated[str | None, about("Only this user's jobs.", rules.USER_ID)] = None
    job_type: Annotated[str | None, about("Only jobs of this type.", rules.JOB_TYPE)] = None


class CleanupBody(Body, frozen=True, kw_only=True):
    """``POST /api/admin/cleanup``: which finished jobs to delete, with their events."""

    older_than_seconds: Annotated[
        float, about("How long ago they finished, at least.", rules.between(0, MAX_AGE_SECONDS))
    ]
    statuses: Annotated[
        list[JobStatus] | None,
        about("Only these, each a final one; null is all of them.", rules.FINAL_STATUSES),
    ] = None
    dry_run: Annotated[bool, about("Count them, and delete none.")] = False


class LimitsBody(Body, frozen=True, kw_only=True):
    """``PATCH /api/admin/limits``: what is null stays as it is."""

    max_running_per_user: Annotated[
        int | None, about("How many jobs of a user may run.", rules.between(1, MAX_RUNNING))
    ] = None
    max_running_total: Annotated[
        int | None, about("How many jobs may run in all.", rules.between(1, MAX_RUNNING))
    ] = None
    max_queued_per_user: Annotated[
        int | None,
        about("How many jobs of a user may wait.", rules.between(1, MAX_QUEUED_PER_USER)),
    ] = None
    max_queued_total: Annotated[
        int | None, about("How many jobs may wait in all.", rules.between(1, MAX_QUEUED_TOTAL))
    ] = None
    resources: Annotated[
        dict[str, int] | None,
        about("Named ones are changed, others stay.", rules.named_numbers(1, MAX_UNITS)),
    ] = None
    max_priority: Annotated[
        int | None, about("The highest priority that a user may ask for.", rules.PRIORITY)
    ] = None
    user_max_priorities: Annotated[
        dict[str, int] | None,
        about("Replaces all of them.", rules.named_numbers(MIN_PRIORITY, MAX_PRIORITY)),
    ] = None


def make_submit(
    body: SubmitBody | SyncBody,
    user_id: str,
    key: RequestKey | None,
    *,
    actor: str | None = None,
    traceparent: str | None = None,
) -> SubmitRequest:
    """Return the submit that the body asks for, for this user; by *actor*, if it is another.

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
        limits=body.limits,
        notify=body.notify,
        request_key=key,
        traceparent=traceparent,
        actor=UserId(actor or user_id),
    )


def _options(body: SubmitBody | SyncBody) -> Mapping[str, Any]:
    url = body.repository_url if isinstance(body, SyncBody) else None
    if url is None:
        return body.options
    if body.options.get("repository_url", url) != url:
        raise ValidationError.at("/repository_url", "options.repository_url says another one")
    return {**body.options, "repository_url": url}
