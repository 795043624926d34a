"""What the parts promise each other; every seam has one conformance suite."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import attrs
import structlog

from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.index import (
    Document,
    IndexState,
    Publication,
    SearchHit,
    TreeChanges,
    TreeEntry,
    WantedFile,
)
from cidx_jobs.model.job.job import Job, JobStatus, JsonObject, Transition
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


class Clock(Protocol):
    """The two times there are; all code of the package that needs one takes it from here."""

    def now(self) -> datetime:
        """Give the wall clock's time, aware, in UTC."""

    def monotonic(self) -> float:
        """Give seconds that never go back, from an arbitrary start."""


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


class PhaseReporter(Protocol):
    """What a job says of the phase it is in."""

    async def report(
        self,
        *,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        current_item: str | None = None,
        message: str | None = None,
        percent: float | None = None,
    ) -> None:
        """Tell how far the phase is; cheap, and stored at most every `progress_interval_seconds`.

        *percent* (0 to 100) counts before *done* of *total*.
        """

    def finish(self, result: JsonObject) -> None:
        """Keep *result* as the phase's result; it is stored when the phase ends."""


@attrs.frozen(kw_only=True)
class ChildResult:
    """How a supervised child process ended."""

    returncode: int
    stdout: str
    """At most the last 64 KiB, undecodable bytes replaced; empty where *on_line* took it."""
    stderr: str
    """At most the last 64 KiB."""


class JobContext(Protocol):
    """A handler's whole view of the job that it runs, and of the server."""

    @property
    def job(self) -> Job:
        """The job as it was when this run began."""

    @property
    def options(self) -> JsonObject:
        """The job's options."""

    @property
    def checkpoint(self) -> Any:
        """What the last `save_checkpoint` of this job stored; None at first."""

    @property
    def cancel_requested(self) -> bool:
        """True once somebody asked for the job to stop."""

    @property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """A logger that names the job in each line."""

    async def report(
        self,
        *,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        current_item: str | None = None,
        message: str | None = None,
        percent: float | None = None,
    ) -> None:
        """Tell how far the job is; inside a phase, how far that phase is."""

    def plan(self, weights: Sequence[tuple[str, float]]) -> None:
        """Show the phases that are to come, with their shares (0 to 1) of the job."""

    def phase(self, name: str, weight: float = 0.0) -> AbstractAsyncContextManager[PhaseReporter]:
        """Enter a phase that makes up *weight* (0 to 1) of the job; one at a time."""

    async def save_checkpoint(self, data: Any) -> None:
        """Store what the next run needs to go on from here; durable when this returns.

        Raises:
            StaleRunError: this run is over; stop.
            JobFailure: *data* is not JSON (code VAL-002).
        """

    def raise_if_cancelled(self) -> None:
        """Raise `asyncio.CancelledError` once somebody asked for the job to stop."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,  # noqa: ASYNC109 - the contract's name; the child is killed at its end
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> ChildResult:
        """Run a child in a process group of its own, until it ends or *timeout* seconds passed.

        Its whole tree is ended (TERM, after 5 s KILL) when the time is up or the run is
        cancelled. *on_line* gets each line of its output.

        Raises:
            JobFailure: it could not be started (CFG-001), ended with another code than 0
                (CHILD_FAILED), or took too long (TIMEOUT).
        """

    def resource(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold one unit of a named resource; one at a time in a run, a second one raises.

        A resource that no limit names ends the run with the code CFG-003.
        """

    def warn(self, code: str, message: str) -> None:
        """Add a warning to the job; equal ones are counted. Stored with the next report."""


JobHandler = Callable[[JobContext], Awaitable[JsonObject | None]]
"""What a job type does: an ``async def`` that takes its context and gives a JSON object."""


class ActiveRun(NamedTuple):
    """One run: of which job, and the number that fences its writes.

    A tuple, because it is the key of every table of runs: its hash and comparison are C.
    """

    job_id: JobId
    run: int


CURRENT_RUN: ContextVar[ActiveRun | None] = ContextVar("CURRENT_RUN", default=None)
"""The run whose handler the running code belongs to; children are counted to it."""


class Executor(Protocol):
    """Where runs happen; it decides no order, no limit and no state."""

    async def start(self) -> None:
        """Get ready to take runs."""

    async def stop(self, grace_seconds: float) -> None:
        """End every run within the grace time, by cancellation; stopping twice is fine."""

    def dispatch(self, runs: Sequence[ActiveRun]) -> None:
        """Begin the runs, whose jobs are stored as running."""

    def cancel(self, run: ActiveRun) -> None:
        """Ask the run's task to end; its end is reported as every end is."""

    def lost(self, held: Sequence[Job]) -> Sequence[ActiveRun]:
        """Say which runs of these running jobs will never end (at start: all older epochs')."""


class IndexDraft(Protocol):
    """The next state of one project's index; searches see nothing of it until it is published.

    What was added is durable when `add` returns, and a later draft for the same job finds it.
    Every method raises `JobFailure` (IDX-001, IDX-002 or RES-001) when the index cannot be
    written or is damaged.
    """

    @property
    def is_full(self) -> bool:
        """True when the index is made anew, not changed."""

    async def compare(self, tree: Iterable[TreeEntry], max_file_bytes: int) -> TreeChanges:
        """Take the tree that the index shall show; *tree* is iterated in another thread."""

    async def take_wanted(self, max_files: int, max_bytes: int) -> Sequence[WantedFile]:
        """Give the next files to add, by path, at least one while there are any."""

    async def add(self, documents: Iterable[Document]) -> None:
        """Add contents, in one transaction; *documents* is iterated in another thread."""

    async def publish(self, commit: str, note: JsonObject) -> Publication:
        """Check that the draft is whole and sound, and make it what searches see, at once.

        *note* is kept with it, with ``files_indexed`` and ``files_skipped`` added.

        Raises:
            JobFailure: it is not (IDX-002); searches go on seeing the index as it was.
        """

    def activity(self) -> JsonObject:
        """Give what `publish` is about just now, as arguments of a progress report."""

    async def discard(self) -> None:
        """Throw the draft away: nobody will go on with it."""


class Indexer(Protocol):
    """Keeps one searchable index for each project."""

    async def load_state(self, user_id: UserId, project_id: ProjectId) -> IndexState | None:
        """Give what the index holds; None when there is none or it cannot be read."""

    def draft(
        self, user_id: UserId, project_id: ProjectId, *, job_id: JobId, run: int, full: bool
    ) -> AbstractAsyncContextManager[IndexDraft]:
        """Begin the index's next state, or go on with what an earlier run of the job left.

        One at a time for a project. *full* makes the index anew; so does an index that is
        damaged or of another format.
        """

    async def search(
        self,
        user_id: UserId,
        project_id: ProjectId,
        text: str,
        *,
        limit: int,
        path_prefix: str = "",
    ) -> Sequence[SearchHit]:
        """Give the lines that hold *text*, letter case aside, by path and then line.

        Raises:
            NotIndexedError: there is nothing to search yet.
            ValidationError: the text is shorter than three characters (pointer ``/q``).
            InvalidParameterError: the search would take too long.
            UnavailableError: too many of the user's searches run at a time.
        """

    async def close(self) -> None:
        """Let go of threads and files; closing twice is fine, and it can be used again."""


class ProjectFiles(Protocol):
    """The directories of projects, with their copies and indexes, for whoever removes them.

    Nobody takes away what a job works on: a look at the project's jobs comes first, in the same
    turn of the loop.
    """

    async def take_away(self, user_id: UserId, project_id: ProjectId) -> bool:
        """Move all that lies there of a project out of everybody's sight; False: there is nothing.

        From its first step on, a run that begins waits for its end in `settle`. What is searched
        just now is searched to its end.
        """

    async def settle(self, user_id: UserId, project_id: ProjectId) -> None:
        """Return once nothing of the project is being taken away."""

    def find_unused(self, projects: Sequence[Project], before: datetime) -> Sequence[Project]:
        """Give those whose files are there, and which no sync was begun for since; blocks."""

    def clear(self) -> None:
        """Delete what was taken away; blocks. What is left by a kill goes at the next start."""


@attrs.frozen(kw_only=True)
class Identity:
    """Who makes a request: a user, and what they may do."""

    user_id: str
    scopes: frozenset[str] = frozenset({"write"})
    """Of ``read``, ``write`` and ``admin``; each includes those before it."""

    def allows(self, scope: str) -> bool:
        """Tell whether the scopes include *scope*."""
        order = ("read", "write", "admin")
        return any(order.index(own) >= order.index(scope) for own in self.scopes if own in order)

    @property
    def is_admin(self) -> bool:
        """True when this user sees every user's jobs."""
        return "admin" in self.scopes


@attrs.frozen(kw_only=True)
class Credentials:
    """What a request brings to show who makes it."""

    authorization: str | None
    """The header ``Authorization`` as it came."""
    headers: Mapping[str, str]
    peer: str | None
    """The address of the other side; None over a unix socket."""


class Authenticator(Protocol):
    """Finds out who makes a request."""

    async def authenticate(self, credentials: Credentials) -> Identity | None:
        """Give the identity, or None when the credentials prove none (a 401)."""
