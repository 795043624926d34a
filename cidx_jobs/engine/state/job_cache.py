"""The jobs in memory: a cache of what is committed, never ahead of the store."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import CREATED, RUNNING, Job, Place
from cidx_jobs.model.listing import UnreadJob

RECENT_FINALS = 2_000
"""How many finished jobs stay at hand, so that those who watch their end need no query."""

_Project = tuple[UserId, ProjectId]


class LiveJobs:
    """Every unfinished job, the newest finished ones, and the line of each project."""

    def __init__(self, wants_place: Callable[[Job], bool]) -> None:
        """Begin empty; *wants_place* tells whether a job may take a place that becomes free."""
        self._wants_place = wants_place
        self._unfinished: dict[JobId, Job | UnreadJob] = {}
        """A job that nobody has asked for since the start may not be read yet."""
        self._finished: OrderedDict[JobId, Job] = OrderedDict()
        self._lines: dict[_Project, dict[tuple[str, Place], JobId]] = {}
        self._apart: dict[_Project, set[JobId]] = {}
        """Of the created jobs those that want a place: all others would be gone through in vain
        at each change in their project."""
        self._waiting_by_user: dict[UserId, int] = {}
        self._waiting_total = 0

    def put(self, job: Job) -> Job | None:
        """Take a committed state of a job, unless a newer one is here; return the one before."""
        job_id = job.job_id
        before = self.find(job_id)
        if before is not None:
            if before.version >= job.version:
                return before
            if before.status.is_waiting:
                self._count(before.user_id, -1)
            self._leave_line(before)
        if job.done:
            self._unfinished.pop(job_id, None)
            self._keep_finished(job)
        else:
            self._finished.pop(job_id, None)
            self._unfinished[job_id] = job
            if job.status.is_waiting:
                self._count(job.user_id, 1)
        self._enter_line(job)
        return before

    def put_unread(self, job: UnreadJob) -> None:
        """Take a stored job that is not here yet, to be read when somebody asks for it."""
        self._unfinished[job.job_id] = job
        self._count(job.user_id, 1)

    def find(self, job_id: JobId) -> Job | None:
        """Return the job if it is in memory."""
        found = self._unfinished.get(job_id)
        if found is None:
            return self._finished.get(job_id)
        return self._read(job_id) if isinstance(found, UnreadJob) else found

    def forget(self, job_id: JobId) -> None:
        """Drop a finished job, which was deleted from the store."""
        self._finished.pop(job_id, None)

    def __iter__(self) -> Iterator[Job]:
        """Go through the unfinished jobs."""
        return iter([self._read(job_id) for job_id in self._unfinished])

    @property
    def has_lines(self) -> bool:
        """True while a job stands in a line, or wants a place in one."""
        return bool(self._lines or self._apart)

    def in_place(
        self, user_id: UserId, project_id: ProjectId, job_type: str, place: Place
    ) -> Job | None:
        """Return the exclusive job that has this place in the line of its type in its project."""
        job_id = self._lines.get((user_id, project_id), {}).get((job_type, place))
        return None if job_id is None else self._read(job_id)

    def in_lines(self, user_id: UserId, project_id: ProjectId) -> list[Job]:
        """Return the exclusive jobs that have a place in a line of the project."""
        job_ids = self._lines.get((user_id, project_id))
        return list(map(self._read, job_ids.values())) if job_ids else []

    def apart(self, user_id: UserId, project_id: ProjectId) -> list[Job]:
        """Return the jobs of the project that want a place, the first submitted first."""
        job_ids = self._apart.get((user_id, project_id))
        # Ids are in the order of time (UUIDv7).
        return list(map(self._read, sorted(job_ids))) if job_ids else []

    def count_waiting(self, user_id: UserId) -> int:
        """Count the user's created and queued jobs."""
        return self._waiting_by_user.get(user_id, 0)

    @property
    def waiting_total(self) -> int:
        """How many jobs are created or queued."""
        return self._waiting_total

    def running(self) -> list[Job]:
        """Return the running jobs."""
        known = (job for job in self._unfinished.values() if isinstance(job, Job))
        return [job for job in known if job.status is RUNNING]

    def _read(self, job_id: JobId) -> Job:
        found = self._unfinished[job_id]
        if isinstance(found, UnreadJob):
            found = self._unfinished[job_id] = found.read()
        return found

    def _keep_finished(self, job: Job) -> None:
        self._finished[job.job_id] = job
        if len(self._finished) > RECENT_FINALS:
            self._finished.popitem(last=False)

    def _count(self, user_id: UserId, step: int) -> None:
        self._waiting_total += step
        count = self._waiting_by_user.get(user_id, 0) + step
        if count:
            self._waiting_by_user[user_id] = count
        else:
            del self._waiting_by_user[user_id]

    def _enter_line(self, job: Job) -> None:
        if job.place is not None:
            line = self._lines.setdefault((job.user_id, job.project_id), {})
            line[job.job_type, job.place] = job.job_id
        elif job.status is CREATED and self._wants_place(job):
            self._apart.setdefault((job.user_id, job.project_id), set()).add(job.job_id)

    def _leave_line(self, job: Job) -> None:
        if job.place is None and job.status is not CREATED:
            return
        key = (job.user_id, job.project_id)
        if job.place is not None:
            line = self._lines.get(key, {})
            if line.get((job.job_type, job.place)) == job.job_id:
                del line[job.job_type, job.place]
                if not line:
                    del self._lines[key]
        elif apart := self._apart.get(key):
            apart.discard(job.job_id)
            if not apart:
                del self._apart[key]
