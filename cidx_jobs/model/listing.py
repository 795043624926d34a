"""What may be asked of a store, and the values that its answers are made of."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from cidx_jobs.model.errors import NotIndexedError
from cidx_jobs.model.ids import CopyId, JobId, ProjectId, UserId
from cidx_jobs.model.job.job import DispatchKey, Job, JobStatus, JsonObject, Transition

KEY_LIFETIME = timedelta(hours=24)
"""How long an idempotency key is kept, whatever becomes of its job (api.md 1.3)."""

LONG_MEMBERS = ("options", "result", "error")
"""What of a job may be long; a brief page leaves it out then."""
MAX_LISTED_BYTES = 16 * 1024
"""How long a member of a brief page may be, as JSON text."""

_NOT_SHOWN = "GIT-001"

EVERYBODY = "*"
"""As the user whose things are listed: all users. For who may read those of others."""
ONESELF = "@me"
"""As the user whose jobs are listed: whoever asks, by whatever name. For everybody."""


class JobQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to list; None means "any"."""

    user_id: UserId | None = None
    statuses: frozenset[JobStatus] | None = None
    job_type: str | None = None
    project_id: ProjectId | None = None
    schedule: str | None = None
    parent_id: JobId | None = None
    labels: tuple[tuple[str, str], ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    newest_first: bool = True
    limit: int = 50
    offset: int = 0
    is_brief: bool = False
    """Leave out the attempts, and of `LONG_MEMBERS` what is longer than `MAX_LISTED_BYTES`."""
    after_row: int | None = None
    """Continue behind this row (`JobPage.next_row`); the offset is then ignored."""


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of jobs; *total* counts all that fit the query, exactly or up to a bound."""

    jobs: tuple[Job, ...]
    total: int
    total_is_exact: bool = True
    next_row: int | None = None
    """None when this is the last page."""
    omitted: Mapping[JobId, tuple[str, ...]] = {}
    """Which members of a job a brief page left out, where it did: they have their defaults."""


class ChildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a job's child."""

    parent_id: JobId
    key: str
    job_id: JobId
    status: JobStatus


class ChildCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many children a job has, how many of them are done, and failed among these."""

    total: int
    done: int
    failed: int


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of the transition log to read, oldest first."""

    job_id: JobId | None = None
    user_id: UserId | None = None
    after_sequence: int = 0
    limit: int = 200


class IdempotencyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """That a key was used: by whom, for which request (its fingerprint), and for which job."""

    user_id: UserId
    key: str
    fingerprint: str
    """A digest of method, path and body as canonical JSON."""
    job_id: JobId
    created_at: datetime


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One job's part of a transaction: the job as it will be, and its rows for the log.

    No transition means a stored progress report: the version grows, the log does not.
    """

    job: Job
    base_version: int
    """The version the row must still be at; 0 when the row must not exist yet."""
    transitions: tuple[Transition, ...] = ()
    drops_checkpoint: bool = False
    leaves_place: bool = False
    """Its place in its line is free before the first change of the transaction is stored: two
    jobs that change places could not be stored one after the other."""
    before: Job | None = None
    """The job as it is stored at *base_version*, where that is known: the store then writes only
    what differs."""
    max_user_bytes: int | None = None
    """Where it stands with a new job: refused if all that is stored of its user, this included,
    would be more bytes (`cidx_jobs.model.job.stored_bytes`)."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler saved: any JSON value, and the run that saved it."""

    job_id: JobId
    run: int
    data: Any
    phase: str | None
    saved_at: datetime


class RunGuard(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a write belongs to: refused once the job's row has moved on."""

    job_id: JobId
    run: int


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one project of one user; None where nothing is known yet."""

    user_id: UserId
    project_id: ProjectId
    repository_url: str | None = None
    branch: str | None = None
    default_branch: str | None = None
    """The branch that the remote called its default at the last sync."""
    last_commit: str | None = None
    last_synced_at: datetime | None = None
    last_job_id: JobId | None = None
    files_indexed: int | None = None
    repository_bytes: int | None = None
    index_bytes: int | None = None
    changed_at: datetime | None = None
    """When a sync last found another commit than the one before."""
    sync_every_seconds: int | Literal["auto"] | None = None
    """How often its remote is asked for news; None is never."""
    phase_seconds: JsonObject = msgspec.field(default_factory=dict)
    """How long each phase took in the last sync; the weights of the next one come from it."""
    copy_id: CopyId | None = None
    """The copy and index that its last good sync went into; others may use the same."""
    last_error: JsonObject | None = None
    """Why the last sync failed: code, message, time and job; None once one was good again."""

    @property
    def readable_copy_id(self) -> CopyId:
        """The copy that the project may read.

        The remote decides who may: a project that was not let in to it, or found nothing there,
        reads nothing more until a sync of its own was let in again.

        Raises:
            NotIndexedError: there is none.
        """
        if self.copy_id is None:
            raise NotIndexedError(self.project_id)
        error = self.last_error or {}
        code = str(error.get("code"))
        is_shut_out = code.startswith("AUTH-") or code == _NOT_SHOWN
        if is_shut_out and error.get("copy_id") == self.copy_id:
            reason = f"its remote did not let the last sync in ({code}): sync it again"
            raise NotIndexedError(self.project_id, reason)
        return self.copy_id

    def without_copy(self) -> "Project":
        """Return what is known once copy and index are removed: all but their sizes."""
        return replace(self, files_indexed=None, repository_bytes=None, index_bytes=None)


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An access token as it is stored: never its text, only the SHA-256 of it."""

    token_id: str
    user_id: UserId
    scope: str
    """``read``, ``write`` or ``admin``; each includes those before it."""
    digest: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    label: str | None = None


class JobFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over the jobs that were submitted in a span of time."""

    by_status: dict[str, int]
    by_type: dict[str, int]
    average_run_seconds: float | None
    """Of the last runs of those that completed or failed; None when there are none."""


class UnreadJob(msgspec.Struct, frozen=True, kw_only=True):
    """A queued job of which only its place in the order was read; the rest waits for its use.

    Nothing but its turn and its resources keeps it: it has no limits by key, no place in a line,
    no parent, no children, no back-off, and was there at no death of a server.
    """

    job_id: JobId
    user_id: UserId
    job_type: str
    priority: int
    dispatch_key: DispatchKey
    read: Callable[[], Job]
    """Returns the whole job, as it was stored."""


class StoreStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over everything stored, and whose they are."""

    database_id: str
    by_status: JsonObject
    by_type: JsonObject
    by_user: JsonObject
    by_status_and_type: Mapping[tuple[str, str], int]
    bytes_by_user: Mapping[str, int]
    """What is stored of each user's jobs, as `max_stored_bytes_per_user` counts it."""
    database_bytes: int
    wal_bytes: int
    last_sequence: int


class StoreIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who opened the store: the database's own uuid, its lock file, and this start's epoch."""

    uuid: str
    epoch: int
    clock_seconds: float
    """The engine clock when the store was last written: it goes on from here, never back."""
    stopped_epoch: int = 0
    """The last start before this one that was told to stop; 0 where none was."""
    lock: str = ""
    """Names the locked file among all of the machine, which no copy of the database shares."""

    @property
    def run_mark(self) -> str:
        """Return what the children of this start carry in their environment."""
        return f"{self.uuid}:{self.epoch}:{self.lock}"
