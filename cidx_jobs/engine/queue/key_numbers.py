"""How many jobs may run with each key, and how many do.

The number of a key is that of the newest request among its unfinished jobs, and nothing else: so
it is the same after a restart, from the rows alone, and a key of which no job is left is
forgotten.
"""

from collections import Counter

from sortedcontainers import SortedList

from cidx_jobs.engine.counts import decrease
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.job.key_limits import KeyLimits, LimitKey

_Number = tuple[float, JobId, int]
"""When it was set, by which job, and the number itself."""


class KeyNumbers:
    """The number of each key, and the count of those that hold a place in it."""

    def __init__(self) -> None:
        """Begin with no key."""
        self._set: dict[LimitKey, SortedList[_Number]] = {}
        self._used: Counter[LimitKey] = Counter()

    def note(self, before: Job | None, job: Job) -> None:
        """Learn what has become of a job; *before* is what was known of it."""
        old = before.limits if before is not None and not before.done else ()
        new = () if job.done else job.limits
        if old is not new:
            self._forget(job.job_id, old)
            self._learn(job.job_id, new)

    def limit_of(self, key: LimitKey) -> int | None:
        """Return how many jobs with the key may run; None where no job has it."""
        numbers = self._set.get(key)
        return None if numbers is None else numbers[-1][2]

    def count(self, key: LimitKey) -> int:
        """Count those that hold a place."""
        return self._used.get(key, 0)

    def has_room(self, key: LimitKey) -> bool:
        """Tell whether one more job with the key could run."""
        limit = self.limit_of(key)
        return limit is None or self.count(key) < limit

    def has_room_for_new(self, limits: KeyLimits) -> bool:
        """Tell whether a job could run that is just being submitted, whose numbers are the newest.

        They count once they are stored; until then those before them do, too.
        """
        return all(
            self.has_room(each.key) and self.count(each.key) < each.limit for each in limits
        )

    def take(self, key: LimitKey) -> None:
        """Count one who holds a place."""
        self._used[key] += 1

    def give_back(self, key: LimitKey) -> None:
        """Count one less."""
        decrease(self._used, key)

    def jobs_with(self, key: LimitKey) -> list[JobId]:
        """Return the unfinished jobs that have the key."""
        return [job_id for _, job_id, _ in self._set.get(key, ())]

    def used(self) -> dict[LimitKey, int]:
        """Return the keys that are held, and by how many."""
        return dict(self._used)

    def _learn(self, job_id: JobId, limits: KeyLimits) -> None:
        for each in limits:
            numbers = self._set.get(each.key)
            if numbers is None:
                numbers = self._set[each.key] = SortedList()
            numbers.add((each.set_at, job_id, each.limit))

    def _forget(self, job_id: JobId, limits: KeyLimits) -> None:
        for each in limits:
            numbers = self._set[each.key]
            numbers.remove((each.set_at, job_id, each.limit))
            if not numbers:
                del self._set[each.key]
