"""Table of jobs in memory: guarded by version, with the constraints of the database's table."""

from collections.abc import Callable, Sequence

from cidx_jobs.model.errors import StaleRunError, StaleVersionError, StoreError
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, Place
from cidx_jobs.model.listing import Change, RunGuard

_ALL_DONE = 100

_Undo = Callable[[], object]
_PlaceKey = tuple[UserId, ProjectId, str, Place]


class JobTable:
    """Jobs by id, in the order of their submits; at most one job in each place of a line."""

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
                if change.leaves_place:
                    self._leave_place(self.jobs.get(change.job.job_id), undo)
            for change in changes:
                self._replace(change, undo)
        except BaseException:
            for step in reversed(undo):
                step()
            raise

    def holds_run(self, job_id: JobId, run: int) -> bool:
        """Return whether the job is running, and that run."""
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
        _check_job(job)
        self._move_place(known, change, undo)
        if known is None:
            self._last_row += 1
            self.rows[job.job_id] = self._last_row
            undo.append(lambda: self.delete(job.job_id))
        else:
            undo.append(lambda: self.jobs.__setitem__(job.job_id, known))
        self.jobs[job.job_id] = job

    def has_line(self, user_id: UserId, project_id: ProjectId) -> bool:
        """Return whether an exclusive job of the project is not final."""
        return any((user_id, project_id) == key[:2] for key in self._places)

    def _move_place(self, before: Job | None, change: Change, undo: list[_Undo]) -> None:
        after = change.job
        old, new = _place_of(before), _place_of(after)
        if old == new:
            return
        if new is not None and new in self._places:
            raise StaleVersionError(after.job_id, change.base_version)
        self._leave_place(before, undo)
        if new is not None:
            self._places[new] = after.job_id
            undo.append(lambda: self._places.pop(new))

    def _leave_place(self, job: Job | None, undo: list[_Undo]) -> None:
        place = _place_of(job)
        if job is None or place is None or self._places.get(place) != job.job_id:
            return
        self._places.pop(place)
        undo.append(lambda: self._places.__setitem__(place, job.job_id))


def _place_of(job: Job | None) -> _PlaceKey | None:
    if job is None or job.place is None:
        return None
    return job.user_id, job.project_id, job.job_type, job.place


def _check_job(job: Job) -> None:
    """Hold the job to what the database's CHECK constraints hold it to.

    Raises:
        StoreError: a rule is broken; the text says which.
    """
    rules = {
        "final <=> finished_at": job.done == (job.finished_at is not None),
        "running => started_at, run": job.status is not JobStatus.RUNNING
        or (job.started_at is not None and job.run > 0),
        "progress is 0 to 100": 0 <= job.progress <= _ALL_DONE,
        "100 only when completed": job.progress < _ALL_DONE or job.status is JobStatus.COMPLETED,
        "no place when final": job.place is None or not job.done,
        "completed => result": job.status is not JobStatus.COMPLETED or job.result is not None,
        "failed, cancelled => error": job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}
        or job.error is not None,
        "version >= 1": job.version >= 1 and job.attempt >= 0 and job.run >= 0,
    }
    for rule, holds in rules.items():
        if not holds:
            message = f"the store refuses job {job.job_id}: {rule}"
            raise StoreError(message)
