"""Where jobs are kept: with their log, progress, checkpoints and idempotency keys."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import (
    Change,
    Checkpoint,
    EventQuery,
    IdempotencyRecord,
    JobPage,
    JobQuery,
    Project,
    RunGuard,
    StoreIdentity,
    StoreStats,
    Token,
)


class JobStore(Protocol):
    """Keeps jobs, their log, checkpoints, projects and tokens; every write is one transaction.

    A write returns after it is durable, and either all of it is stored or nothing. Cancelling
    the caller never undoes a write that has begun.

    Every write raises `StorageFullError` or `StorageUnavailableError` when nothing was stored,
    and `OwnerLostError` once another server owns the database.
    """

    @property
    def can_write(self) -> bool:
        """False while it is closed, and from a write that failed until one succeeds.

        A store that failed tries again by itself, so that this becomes true without a caller.
        """

    async def open(self) -> StoreIdentity:
        """Take the store into possession and begin a new epoch.

        Raises:
            StartRefusedError: it is owned, damaged, or of a newer schema; nothing was touched.
        """

    async def close(self) -> None:
        """Finish the writes under way and let go; closing twice is fine."""

    async def save_changes(
        self,
        changes: Sequence[Change],
        *,
        idempotency: IdempotencyRecord | None = None,
        project: Project | None = None,
        on_commit: Callable[[Sequence[Transition]], None] | None = None,
    ) -> Sequence[Transition]:
        """Store the changes of one or more jobs, all or nothing; give the log rows, numbered.

        Args:
            changes: what becomes of each job; in order, where they depend on each other.
            idempotency: the key of the request that made them.
            project: what the request says of the project (its url and branch).
            on_commit: called once after the commit, on the loop, in the order of the commits and
                before this returns; also when the caller was cancelled meanwhile.

        Raises:
            StaleVersionError: a row is not at its change's base version, or another job holds
                the place in its project's line: somebody else was first.
            IdempotencyKeyReusedError: the key is taken (by any request).
        """

    async def save_progress(
        self, jobs: Sequence[Job], on_commit: Callable[[Sequence[Job]], None] | None = None
    ) -> Sequence[JobId]:
        """Store progress reports, each for itself; give the ids that were refused as stale.

        A row is written if it is at ``job.version - 1`` and ``job.run``. *on_commit* gets the
        jobs that were stored, on the terms of `save_changes`.
        """

    async def load_job(self, job_id: JobId) -> Job | None:
        """Give the job as it was last committed."""

    async def load_unfinished_jobs(self) -> Sequence[Job]:
        """Give every job that is not final, in the order of their submits."""

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Give one page of the jobs that fit."""

    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        """Give rows of the transition log, oldest first."""

    async def load_oldest_sequence(self) -> int:
        """Give the number of the oldest row that the log still holds; 0 when it is empty."""

    async def find_idempotency_record(
        self, user_id: UserId, key: str, not_before: datetime
    ) -> IdempotencyRecord | None:
        """Give what the user's key was used for, unless that was before *not_before*."""

    async def save_checkpoint(
        self, change: Change, data: Any, on_commit: Callable[[], None] | None = None
    ) -> None:
        """Store what a run needs to go on, with the job's new version, in one transaction.

        Args:
            change: the job with its new `CheckpointInfo`; guarded by version and run.
            data: any JSON value.
            on_commit: on the terms of `save_changes`.

        Raises:
            StaleVersionError: the job changed meanwhile.
            StaleRunError: the run is over.
        """

    async def load_checkpoint(self, job_id: JobId) -> Checkpoint | None:
        """Give the job's last checkpoint."""

    async def delete_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus], limit: int
    ) -> Sequence[JobId]:
        """Delete at most *limit* final jobs with their log and checkpoints; give their ids."""

    async def count_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus]
    ) -> int:
        """Count the final jobs that `delete_expired_jobs` would delete without a limit."""

    async def save_project(self, project: Project, guard: RunGuard | None = None) -> None:
        """Store what is known of a project.

        Raises:
            StaleRunError: the run that the guard names is over.
        """

    async def load_project(self, user_id: UserId, project_id: ProjectId) -> Project | None:
        """Give what is known of a project."""

    async def list_projects(self, user_id: UserId | None) -> Sequence[Project]:
        """Give the projects of a user, or of all, by user and project id."""

    async def delete_project(self, user_id: UserId, project_id: ProjectId) -> None:
        """Forget a project; no error when there is none.

        A project with an exclusive job that is not final stays: the job was submitted meanwhile.
        """

    async def forget_copy(self, user_id: UserId, project_id: ProjectId) -> None:
        """Keep of a project what the next sync needs, and not the sizes of what was removed.

        A project with an exclusive job that is not final stays as it is.
        """

    async def save_token(self, token: Token) -> None:
        """Store a token, new or changed."""

    async def find_token(self, digest: str) -> Token | None:
        """Give the token with the SHA-256 *digest* (hex); None also once it is revoked."""

    async def list_tokens(self) -> Sequence[Token]:
        """Give all tokens, oldest first."""

    async def delete_token(self, token_id: str) -> bool:
        """Revoke a token at once; False when there is none."""

    async def save_controls(self, limits: Limits | None, pauses: Pauses) -> None:
        """Keep the limits (None: those of the settings) and pauses that an operator set."""

    async def load_controls(self) -> tuple[Limits | None, Pauses]:
        """Give the limits and pauses that are kept."""

    async def collect_stats(self) -> StoreStats:
        """Count what is stored."""

    async def sweep(self) -> int:
        """Remove files that a run or a write that was cut off has left; give how many.

        Only after `open` and before any run starts, once no child of an older server lives.
        """

    async def examine(self, *, deep: bool = False) -> Sequence[Finding]:
        """Compare what is stored with itself; give what does not fit together, if anything.

        Args:
            deep: also what takes long; while it is read, everything goes on.
        """
