"""A store in memory: the promises of `JobStore` without files, for tests and for trying out.

Closing it keeps what it holds, so that opening it again is a restart of the server.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from cidx_jobs.model.errors import (
    IdempotencyKeyReusedError,
    StaleVersionError,
    StorageUnavailableError,
)
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import (
    KEY_LIFETIME,
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
from cidx_jobs.store.memory.lists import (
    compare_with_log,
    count_stats,
    is_wanted_event,
    page_of,
)
from cidx_jobs.store.memory.table import JobTable


class MemoryPersistence:
    """Keeps everything in dictionaries; each write happens at once, wholly or not at all."""

    def __init__(self) -> None:
        """Begin empty, with a new identity."""
        self._uuid = str(uuid.uuid4())
        self._epoch = 0
        self._is_open = False
        self._table = JobTable()
        self._events: list[Transition] = []
        self._sequence = 0
        self._pruned_sequence = 0
        self._checkpoints: dict[JobId, tuple[Checkpoint, bytes]] = {}
        self._keys: dict[tuple[UserId, str], IdempotencyRecord] = {}
        self._projects: dict[tuple[UserId, ProjectId], Project] = {}
        self._tokens: dict[str, Token] = {}
        self._controls: tuple[Limits | None, Pauses] = (None, Pauses())

    @property
    def can_write(self) -> bool:
        """True while it is open: nothing else can go wrong in memory."""
        return self._is_open

    async def open(self) -> StoreIdentity:
        """Begin a new epoch."""
        self._epoch += 1
        self._is_open = True
        return StoreIdentity(uuid=self._uuid, epoch=self._epoch, clock_seconds=0.0)

    async def close(self) -> None:
        """Take no more writes until it is opened again."""
        self._is_open = False

    async def save_job(self, job: Job, transition: Transition | None = None) -> None:
        """Store a job that is one version further, with its transition; see `save_changes`."""
        transitions = () if transition is None else (transition,)
        await self.save_changes(
            [Change(job=job, base_version=job.version - 1, transitions=transitions)]
        )

    async def save_changes(
        self,
        changes: Sequence[Change],
        *,
        idempotency: IdempotencyRecord | None = None,
        project: Project | None = None,
        on_commit: Callable[[Sequence[Transition]], None] | None = None,
    ) -> Sequence[Transition]:
        """Store the changes of one or more jobs, all or nothing; give the numbered log rows."""
        self._check_open()
        if idempotency is not None:
            self._check_key(idempotency)
        self._table.apply(changes)
        for change in changes:
            if change.drops_checkpoint:
                self._checkpoints.pop(change.job.job_id, None)
        if idempotency is not None:
            self._keys[idempotency.user_id, idempotency.key] = idempotency
        if project is not None:
            self._save_request_of_project(project)
        logged = self._append(changes)
        if on_commit is not None:
            on_commit(logged)
        return logged

    async def save_progress(
        self, jobs: Sequence[Job], on_commit: Callable[[Sequence[Job]], None] | None = None
    ) -> Sequence[JobId]:
        """Store progress reports, each for itself; give the ids that were refused as stale."""
        self._check_open()
        stored, refused = [], []
        for job in jobs:
            try:
                self._report(job)
            except StaleVersionError:
                refused.append(job.job_id)
            else:
                stored.append(job)
        if on_commit is not None and stored:
            on_commit(tuple(stored))
        return tuple(refused)

    async def load_job(self, job_id: JobId) -> Job | None:
        """Give the job as it was last stored."""
        return self._table.jobs.get(job_id)

    async def load_unfinished_jobs(self) -> Sequence[Job]:
        """Give every job that is not final, in the order of their submits."""
        return tuple(job for job in self._table.jobs.values() if not job.done)

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Give one page of the jobs that fit."""
        return page_of(self._table.jobs.values(), self._table.rows, query)

    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        """Give rows of the transition log, oldest first."""
        found = (event for event in self._events if is_wanted_event(event, query))
        return tuple(event for event, _ in zip(found, range(query.limit), strict=False))

    async def load_oldest_sequence(self) -> int:
        """Give the number from which on the log is whole; 0 when it never held anything."""
        return self._pruned_sequence + 1 if self._sequence else 0

    async def find_idempotency_record(
        self, user_id: UserId, key: str, not_before: datetime
    ) -> IdempotencyRecord | None:
        """Give what the user's key was used for, unless that was before *not_before*."""
        record = self._keys.get((user_id, key))
        return None if record is None or record.created_at < not_before else record

    async def save_checkpoint(
        self, change: Change, data: Any, on_commit: Callable[[], None] | None = None
    ) -> None:
        """Store what a run needs to go on, with the job's new version."""
        self._check_open()
        job = change.job
        # Encoded at once, so that what the handler does to its own copy later changes nothing.
        content = msgspec.json.encode(data)
        self._table.check_run(RunGuard(job_id=job.job_id, run=job.run))
        self._table.apply([change])
        info = job.checkpoint
        checkpoint = Checkpoint(
            job_id=job.job_id,
            run=job.run,
            data=None,
            phase=info.phase if info else None,
            saved_at=info.saved_at if info else job.updated_at,
        )
        self._checkpoints[job.job_id] = (checkpoint, content)
        self._append([change])
        if on_commit is not None:
            on_commit()

    async def load_checkpoint(self, job_id: JobId) -> Checkpoint | None:
        """Give the job's last checkpoint."""
        stored = self._checkpoints.get(job_id)
        if stored is None:
            return None
        checkpoint, content = stored
        return replace(checkpoint, data=msgspec.json.decode(content))

    async def delete_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus], limit: int
    ) -> Sequence[JobId]:
        """Delete at most *limit* final jobs with their log and checkpoints; give their ids."""
        self._check_open()
        expired = sorted(
            (job.finished_at, self._table.rows[job.job_id], job.job_id)
            for job in self._table.jobs.values()
            if job.finished_at and job.status in statuses and job.finished_at < finished_before
        )
        deleted = tuple(job_id for _, _, job_id in expired[:limit])
        for job_id in deleted:
            self._table.delete(job_id)
            self._checkpoints.pop(job_id, None)
        self._forget_events(frozenset(deleted))
        return deleted

    async def count_expired_jobs(
        self, finished_before: datetime, statuses: frozenset[JobStatus]
    ) -> int:
        """Count the final jobs that `delete_expired_jobs` would delete without a limit."""
        return sum(
            job.finished_at < finished_before
            for job in self._table.jobs.values()
            if job.finished_at is not None and job.status in statuses
        )

    async def save_project(self, project: Project, guard: RunGuard | None = None) -> None:
        """Store what is known of a project; a run leaves its url and branch as they are."""
        self._check_open()
        known = self._projects.get((project.user_id, project.project_id))
        if guard is not None:
            self._table.check_run(guard)
            if known is not None:
                project = replace(
                    project,
                    repository_url=known.repository_url or project.repository_url,
                    branch=known.branch or project.branch,
                )
        self._projects[project.user_id, project.project_id] = project

    async def load_project(self, user_id: UserId, project_id: ProjectId) -> Project | None:
        """Give what is known of a project."""
        return self._projects.get((user_id, project_id))

    async def list_projects(self, user_id: UserId | None) -> Sequence[Project]:
        """Give the projects of a user, or of all, by user and project id."""
        return tuple(
            project
            for (owner, _), project in sorted(self._projects.items())
            if user_id is None or owner == user_id
        )

    async def delete_project(self, user_id: UserId, project_id: ProjectId) -> None:
        """Forget a project without a job in its line; no error when there is none."""
        self._check_open()
        if not self._table.has_line(user_id, project_id):
            self._projects.pop((user_id, project_id), None)

    async def forget_copy(self, user_id: UserId, project_id: ProjectId) -> None:
        """Forget the sizes of a project without a job in its line."""
        self._check_open()
        key = (user_id, project_id)
        if key in self._projects and not self._table.has_line(*key):
            self._projects[key] = self._projects[key].without_copy()

    async def save_token(self, token: Token) -> None:
        """Store a token, new or changed."""
        self._check_open()
        self._tokens[token.token_id] = token

    async def find_token(self, digest: str) -> Token | None:
        """Give the token with the SHA-256 *digest* (hex); None also once it is revoked."""
        found = (token for token in self._tokens.values() if token.digest == digest)
        return next(found, None)

    async def list_tokens(self) -> Sequence[Token]:
        """Give all tokens, oldest first."""
        return tuple(sorted(self._tokens.values(), key=lambda token: token.created_at))

    async def delete_token(self, token_id: str) -> bool:
        """Revoke a token at once; False when there is none."""
        self._check_open()
        return self._tokens.pop(token_id, None) is not None

    async def save_controls(self, limits: Limits | None, pauses: Pauses) -> None:
        """Keep the limits (None: those of the settings) and pauses that an operator set."""
        self._check_open()
        self._controls = (limits, pauses)

    async def load_controls(self) -> tuple[Limits | None, Pauses]:
        """Give the limits and pauses that are kept."""
        return self._controls

    async def collect_stats(self) -> StoreStats:
        """Count what is stored."""
        return count_stats(self._table.jobs.values(), self._uuid, self._sequence)

    async def sweep(self) -> int:
        """Remove files that were left: there are none, and those of others are not ours."""
        return 0

    async def examine(self, *, deep: bool = False) -> Sequence[Finding]:  # noqa: ARG002 - as in `JobStore`
        """Compare what is stored with itself; give what does not fit together, if anything."""
        return compare_with_log(self._table.jobs, self._events)

    def _check_open(self) -> None:
        if not self._is_open:
            raise StorageUnavailableError

    def _check_key(self, record: IdempotencyRecord) -> None:
        known = self._keys.get((record.user_id, record.key))
        if known is None or known.job_id not in self._table.jobs:
            return
        if known.created_at >= record.created_at - KEY_LIFETIME:
            raise IdempotencyKeyReusedError

    def _report(self, job: Job) -> None:
        base = job.version - 1
        if not self._table.holds_run(job.job_id, job.run):
            raise StaleVersionError(job.job_id, base)
        self._table.apply([Change(job=job, base_version=base)])

    def _append(self, changes: Sequence[Change]) -> Sequence[Transition]:
        rows = [row for change in changes for row in change.transitions]
        logged = [replace(row, sequence=self._sequence + n) for n, row in enumerate(rows, start=1)]
        self._sequence += len(logged)
        self._events += logged
        return tuple(logged)

    def _forget_events(self, job_ids: frozenset[JobId]) -> None:
        gone = [event.sequence for event in self._events if event.job_id in job_ids]
        self._pruned_sequence = max([self._pruned_sequence, *gone])
        self._events = [event for event in self._events if event.job_id not in job_ids]

    def _save_request_of_project(self, project: Project) -> None:
        known = self._projects.get((project.user_id, project.project_id))
        if known is not None:
            project = replace(known, repository_url=project.repository_url, branch=project.branch)
        self._projects[project.user_id, project.project_id] = project
