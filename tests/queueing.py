"""What tests of the queue share: waiting jobs, a queue that is easy to fill, a naive model."""

from datetime import UTC, datetime

import attrs

from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import DispatchKey, Job, JobStatus
from cidx_jobs.model.job.key_limits import KeyLimits, keys_of

LONG_AGO = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_waiting_job(
    job_id: str,
    user_id: str,
    key: DispatchKey,
    *,
    priority: int = 5,
    job_type: str = "plain",
    limits: KeyLimits = (),
) -> Job:
    """Make a queued job that has nothing but what the queue looks at."""
    return Job(
        job_id=JobId(job_id),
        job_type=job_type,
        user_id=UserId(user_id),
        project_id=ProjectId("project"),
        status=JobStatus.QUEUED,
        version=2,
        priority=priority,
        max_attempts=1,
        attempts_granted=1,
        timeout_seconds=60,
        dispatch_key=key,
        limits=limits,
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
    )


@attrs.define
class Line:
    """A queue that tests fill by name and at their own time."""

    queue: JobQueue = attrs.field(factory=JobQueue)
    seconds: float = 1_000_000.0
    jobs: dict[str, Job] = attrs.field(factory=dict)

    def make(
        self,
        name: str,
        user_id: str | None = None,
        *,
        priority: int = 5,
        job_type: str = "plain",
        limits: KeyLimits = (),
    ) -> Job:
        """Give the job *name* a key; its user is the name up to the first digit, if not said."""
        user = user_id or name.rstrip("0123456789")
        key = self.queue.make_key(UserId(user), priority, self.seconds, job_type, keys_of(limits))
        job = make_waiting_job(
            name, user, key, priority=priority, job_type=job_type, limits=limits
        )
        self.jobs[name] = job
        return job

    def add(
        self,
        *names: str,
        priority: int = 5,
        job_type: str = "plain",
        limits: KeyLimits = (),
    ) -> None:
        """Queue the jobs, one after the other."""
        for name in names:
            job = self.make(name, priority=priority, job_type=job_type, limits=limits)
            self.queue.push(job)

    def flood(
        self,
        user_id: str,
        count: int,
        *,
        priority: int = 5,
        job_type: str = "plain",
        limits: KeyLimits = (),
    ) -> None:
        """Queue *count* jobs of a user, numbered from 1."""
        names = [f"{user_id}{number}" for number in range(1, count + 1)]
        self.add(*names, priority=priority, job_type=job_type, limits=limits)

    def start(self) -> str | None:
        """Start the next job; give its name, or None when none may start."""
        job_id = self.queue.next_startable()
        if job_id is None:
            return None
        assert self.queue.remove_started(job_id)
        return job_id

    def start_all(self) -> list[str]:
        """Start jobs until none may; give their names in order."""
        return list(iter(self.start, None))

    def close_user(self, user_id: str) -> None:
        """Let the user's jobs be passed over."""
        self.queue.set_user_open(UserId(user_id), is_open=False)

    def open_user(self, user_id: str) -> None:
        """Let the user's jobs start again."""
        self.queue.set_user_open(UserId(user_id), is_open=True)

    def order(self) -> list[str]:
        """Give the names of the waiting jobs in their order."""
        return list(self.queue)
