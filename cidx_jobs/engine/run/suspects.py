"""Jobs that may kill the server: they run first and alone, until they are proven or caught.

A job that was running at `poison_after` unclean ends in a row, and stored nothing in any of those
lives, is suspect (guarantees.md, fact 13). After a crash the suspects run before anything else,
one at a time and with nothing beside them: if the server dies again, the guilty one is known.
Jobs that merely ran at the time lose nothing by it.
"""

from collections import deque
from collections.abc import Iterable

from cidx_jobs.interfaces import Clock
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus

ALONE_SECONDS = 30.0
"""How long a suspect has the server to itself; twice as long for each further death, so that also
one that takes its time is caught in the end."""

_MOST_DOUBLINGS = 12


def is_suspect(job: Job, poison_after: int) -> bool:
    """Tell whether the job was there at too many deaths; 0 suspects nobody."""
    return 0 < poison_after <= job.losses


class Suspects:
    """The suspects of this start, in their order, and the one that is being watched."""

    def __init__(self, clock: Clock, poison_after: int) -> None:
        """Begin with nobody suspect."""
        self._clock = clock
        self._poison_after = poison_after
        self._waiting: deque[JobId] = deque()
        self._watched: JobId | None = None
        self._until = 0.0

    def line_up(self, jobs: Iterable[Job]) -> None:
        """Take the suspects among the queued jobs, in their dispatch order."""
        suspects = [
            job
            for job in jobs
            if job.status is JobStatus.QUEUED and is_suspect(job, self._poison_after)
        ]
        suspects.sort(key=lambda job: job.dispatch_key or (0.0, 0, 0))
        self._waiting = deque(job.job_id for job in suspects)

    def next_in_line(self) -> JobId | None:
        """Give the suspect that is to run before all others; None when there is none left."""
        return self._waiting[0] if self._waiting else None

    def dismiss(self, job_id: JobId) -> None:
        """Let go of a suspect that cannot run now: it is cancelled, or waits for its time."""
        if self._waiting and self._waiting[0] == job_id:
            self._waiting.popleft()

    def watch(self, job: Job) -> None:
        """Begin to watch a suspect that starts: nothing else may start until it is let go."""
        self.dismiss(job.job_id)
        doublings = min(job.losses - self._poison_after, _MOST_DOUBLINGS)
        self._watched = job.job_id
        self._until = self._clock.monotonic() + ALONE_SECONDS * 2.0**doublings

    def is_alone(self, job: Job | None) -> bool:
        """Tell whether the watched job, as it is now, still has the server to itself."""
        if self._watched is None:
            return False
        is_proven = job is None or job.status is not JobStatus.RUNNING or job.progress > 0
        if is_proven or self._clock.monotonic() >= self._until:
            self._watched = None
            return False
        return True

    @property
    def watched(self) -> JobId | None:
        """The job that runs alone now."""
        return self._watched

    @property
    def seconds_left(self) -> float:
        """For how long the watched job still has the server to itself, at most."""
        return max(0.0, self._until - self._clock.monotonic())
