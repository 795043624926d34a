"""Jobs that may kill the server: they run first and alone, until they are proven or caught.

A job that was running at `poison_after` unclean ends in a row, and stored nothing in any of those
lives, is suspect (guarantees.md, fact 13). After a crash the suspects run before anything else,
one at a time and with nothing beside them: if the server dies again, the guilty one is known.
Jobs that merely ran at the time lose nothing by it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus

ALONE_SECONDS = 30.0
"""How long a suspect has the server to itself; twice as long for each further death, so that also
one that takes its time is caught in the end."""

_MOST_DOUBLINGS = 12
"""The time alone stops growing at a day and a half."""


def is_suspect(job: Job, poison_after: int) -> bool:
    """Tell whether the job was there at too many deaths; 0 suspects nobody."""
    return 0 < poison_after <= job.losses


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """One suspect's time alone; it counts for one run."""

    job_id: JobId
    run: int
    until: datetime
    """When it is over at the latest, by the wall clock, as it is told."""
    ends_at: float
    """The same in monotonic seconds, as it is obeyed."""


class Suspects:
    """The suspects of this start, in their order, and the one that is being watched."""

    def __init__(self, clock: Clock, poison_after: int) -> None:
        """Begin with nobody suspect."""
        self._clock = clock
        self._poison_after = poison_after
        self._waiting: deque[JobId] = deque()
        self._watch: Watch | None = None

    def line_up(self, jobs: Iterable[Job]) -> None:
        """Take the suspects among the queued jobs, in their dispatch order."""
        suspects = [
            job
            for job in jobs
            if job.status is JobStatus.QUEUED and is_suspect(job, self._poison_after)
        ]
        suspects.sort(key=lambda job: job.dispatch_key or (0.0, 0, 0))
        self._waiting = deque(job.job_id for job in suspects)

    def __iter__(self) -> Iterator[JobId]:
        """Go through the suspects that have yet to run, the next one first."""
        return iter(self._waiting)

    def __len__(self) -> int:
        """Count the suspects that have yet to run."""
        return len(self._waiting)

    def begin(self, job: Job) -> None:
        """Learn that a job starts; a suspect has the server to itself from now on.

        A suspect that was passed over for it could not run now: it is let go, since it would not
        be alone any more.
        """
        while self._waiting:
            if self._waiting.popleft() == job.job_id:
                self._begin_watch(job)
                return

    def take_back(self, job_id: JobId) -> None:
        """Learn that a start was not stored: a suspect is the next to run, as before."""
        if self._watch is not None and self._watch.job_id == job_id:
            self._watch = None
            self._waiting.appendleft(job_id)

    @property
    def watch(self) -> Watch | None:
        """The newest watch as long as its time is not over, proven or not."""
        watch = self._watch
        return watch if watch and self._clock.monotonic() < watch.ends_at else None

    @property
    def seconds_left(self) -> float:
        """For how long the watched job still has the server to itself, at most."""
        return max(0.0, self._watch.ends_at - self._clock.monotonic()) if self._watch else 0.0

    def _begin_watch(self, job: Job) -> None:
        doublings = min(job.losses - self._poison_after, _MOST_DOUBLINGS)
        seconds = ALONE_SECONDS * 2.0**doublings
        self._watch = Watch(
            job_id=job.job_id,
            run=job.run + 1,
            until=self._clock.now() + timedelta(seconds=seconds),
            ends_at=self._clock.monotonic() + seconds,
        )
