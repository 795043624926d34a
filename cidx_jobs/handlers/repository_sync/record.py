"""Outcome of a sync: the job's result, and the row of the project."""

from msgspec.structs import replace

from cidx_jobs.handlers.repository_sync.fetch import Target
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.ids import CopyId
from cidx_jobs.model.index import IndexState, TreeChanges
from cidx_jobs.model.job.job import Job, JsonObject
from cidx_jobs.model.listing import Project, RunGuard


def make_note(
    target: Target, before: IndexState | None, changes: TreeChanges | None
) -> dict[str, object]:
    """Return the members of the result (api.md 1.2) that are known before anything is published.

    Without *changes* the index shows the target already.
    """
    total = before.files_total if before else 0
    return {
        "commit_before": before.commit if before else None,
        "commit_after": target.commit,
        "files_added": changes.added if changes else 0,
        "files_modified": changes.modified if changes else 0,
        "files_renamed": changes.renamed if changes else 0,
        "files_deleted": changes.deleted if changes else 0,
        "files_indexed": 0,
        "files_skipped": 0,
        "files_total": changes.total if changes else total,
        "bytes_received": target.bytes_received,
        "phase_seconds": {},
        "resumed_from": None,
    }


class ProjectRecord:
    """What is known of the project of one job."""

    def __init__(self, store: ProjectStore, clock: Clock, job: Job) -> None:
        """Take where it is kept, and whose project it is."""
        self._store = store
        self._clock = clock
        self._job = job

    async def load(self) -> Project:
        """Return what is known, which may be the name alone."""
        job = self._job
        known = await self._store.load_project(job.user_id, job.project_id)
        return known or Project(
            user_id=job.user_id,
            project_id=job.project_id,
            repository_url=job.options.get("repository_url"),
            branch=job.options.get("branch"),
        )

    async def save(
        self,
        target: Target,
        state: IndexState | None,
        repository_bytes: int,
        phase_seconds: JsonObject | None,
        copy_id: CopyId,
    ) -> CopyId | None:
        """Store what a sync found, and return the copy that the project had before.

        None for *phase_seconds* keeps those of the sync before.

        Raises:
            StaleRunError: the run is over.
        """
        known = await self.load()
        now = self._clock.now()
        project = replace(
            known,
            repository_url=self._job.options["repository_url"],
            branch=self._job.options["branch"],
            default_branch=target.default_branch,
            last_commit=target.commit,
            last_synced_at=now,
            changed_at=known.changed_at if known.last_commit == target.commit else now,
            last_job_id=self._job.job_id,
            files_indexed=state.files_indexed if state else None,
            repository_bytes=repository_bytes,
            index_bytes=state.bytes if state else None,
            phase_seconds=known.phase_seconds if phase_seconds is None else phase_seconds,
            copy_id=copy_id,
            last_error=None,
        )
        await self._save(project)
        return known.copy_id

    async def save_failure(self, failure: JobFailure, copy_id: CopyId) -> None:
        """Store why the sync of a copy failed; what was good before stays as it is.

        Raises:
            StaleRunError: the run is over.
        """
        error = {
            "code": failure.failure_code,
            "message": str(failure),
            "occurred_at": self._clock.now(),
            "job_id": self._job.job_id,
            "copy_id": copy_id,
        }
        await self._save(replace(await self.load(), last_error=error))

    async def move(self, project: Project, copy_id: CopyId) -> None:
        """Store that the project's copy lies elsewhere now.

        Raises:
            StaleRunError: the run is over.
        """
        await self._save(replace(project, copy_id=copy_id))

    async def _save(self, project: Project) -> None:
        guard = RunGuard(job_id=self._job.job_id, run=self._job.run)
        await self._store.save_project(project, guard)
