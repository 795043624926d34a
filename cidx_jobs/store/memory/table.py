"""The jobs of `MemoryPersistence`: guarded by version, with their order and their places."""

from collections.abc import Callable, Sequence

from cidx_jobs.model.errors import StaleRunError, StaleVersionError
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, Place
from cidx_jobs.model.listing import Change, RunGuard
from cidx_jobs.store.memory.lists import check_job

_Undo = Callable[[], object]
_PlaceKey = tuple[UserId, ProjectId, Place]


class JobTable:
    """Jobs by id, in the order of their submits; at most one job in each place of a project."""

    def __init__(self) -> None:
        """Begin empty."""
        self.jobs: dict[JobId, Job] = {}
        self.rows: dict[JobId, int] = {}
        """What `JobQuery.after_row` counts in."""
        self._last_row = 0
        self._places: dict[_PlaceKey, JobId] = {}

    def apply(self, changes: Sequence[Change]) -> None:
        """Put each change's job in the place of its row, in order; all of them or none.

        Raises:
            StaleVersionError: a row is not at its base version, or a place is taken.
            StoreError: a job breaks a rule of the table.
        """
        undo: list[_Undo] = []
        try:
            for change in changes:
                self._replace(change, undo)
        except BaseException:
            for step in reversed(undo):
                step()
            raise

    def holds_run(self, job_id: JobId, run: int) -> bool:
        """Tell whether the job is running, and that run."""
        job = self.jobs.get(job_id)
        return job is not None and job.run == run and job.status is JobStatus.RUNNING

    def check_run(self, guard: RunGuard) -> None:
        """Raise `StaleRunError` unless the run still holds."""
        if not self.holds_run(guard.job_id, guard.run):
            raise StaleRunError(guard.job_id, guard.run)

    def delete(self, job_id: JobId) -> None:
        """Take a final job out."""
        del self.jobs[job_id], self.rows[job_id]

    def _replace(self, change: Change, undo: list[_Undo]) -> None:
        job = change.job
        known = self.jobs.get(job.job_id)
        if (known.version if known else 0) != change.base_version:
            raise StaleVersionError(job.job_id, change.base_version)
        check_job(job)
        self._move_place(known, change, undo)
        if known is None:
            self._last_row += 1
            self.rows[job.job_id] = self._last_row
            undo.append(lambda: self.delete(job.job_id))
        else:
            undo.append(lambda: self.jobs.__setitem__(job.job_id, known))
        self.jobs[job.job_id] = job

    def has_line(self, user_id: UserId, project_id: ProjectId) -> bool:
        """Tell whether an exclusive job of the project is not final."""
        return any((user_id, project_id, place) in self._places for place in Place)

    def _move_place(self, before: Job | None, change: Change, undo: list[_Undo]) -> None:
        after = change.job
        old, new = _place_of(before), _place_of(after)
        if old == new:
            return
        if new is not None and new in self._places:
            raise StaleVersionError(after.job_id, change.base_version)
        if old is not None:
            self._places.pop(old)
            undo.append(lambda: self._places.__setitem__(old, after.job_id))
        if new is not None:
            self._places[new] = after.job_id
            undo.append(lambda: self._places.pop(new))


def _place_of(job: Job | None) -> _PlaceKey | None:
    if job is None or job.place is None:
        return None
    return job.user_id, job.project_id, job.place
