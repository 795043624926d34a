"""Families: the children of each job by their keys, and which of them are not done.

A child is known by its parent and a key, so that a run that is repeated finds what it made
before. Only commits move what is here, as everything in the engine's memory.
"""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import FAILED, Job, JobStatus
from cidx_jobs.model.listing import ChildCounts, ChildRecord

_MANY = 2_000
"""Counts of so many families whose members are all done stay at hand."""


class _Family(msgspec.Struct):
    keys: dict[str, JobId] = msgspec.field(default_factory=dict)
    unfinished: set[JobId] = msgspec.field(default_factory=set)
    failed: set[JobId] = msgspec.field(default_factory=set)

    def note(self, key: str, job_id: JobId, status: JobStatus) -> None:
        self.keys[key] = job_id
        if status.is_final:
            self.unfinished.discard(job_id)
        else:
            self.unfinished.add(job_id)
        if status is FAILED:
            self.failed.add(job_id)
        else:
            self.failed.discard(job_id)

    @property
    def counts(self) -> ChildCounts:
        total = len(self.keys)
        done = total - len(self.unfinished)
        return ChildCounts(total=total, done=done, failed=len(self.failed))


class Families:
    """Who is whose child, for every parent that is not done or was looked at lately."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._families: OrderedDict[JobId, _Family] = OrderedDict()

    def note(self, job: Job) -> None:
        """Take a committed state of a job, if it is somebody's child."""
        if job.parent_id is None or job.child_key is None:
            return
        family = self._families.get(job.parent_id)
        if family is None:
            family = self._families[job.parent_id] = _Family()
            self._shrink()
        family.note(job.child_key, job.job_id, job.status)

    def note_stored(self, records: Iterable[ChildRecord]) -> None:
        """Take what is stored of children, where nothing newer is known."""
        for record in records:
            family = self._families.setdefault(record.parent_id, _Family())
            if record.key not in family.keys:
                family.note(record.key, record.job_id, record.status)

    def find(self, parent_id: JobId, key: str) -> JobId | None:
        """Return the child that the parent made for the key."""
        family = self._families.get(parent_id)
        return None if family is None else family.keys.get(key)

    def count(self, parent_id: JobId) -> ChildCounts | None:
        """Return how many children there are, and how many of them are done; None: not known."""
        family = self._families.get(parent_id)
        return None if family is None else family.counts

    def list_children(self, parent_id: JobId) -> list[JobId]:
        """Return the children, in the order in which they were made."""
        family = self._families.get(parent_id)
        return [] if family is None else list(family.keys.values())

    def list_unfinished(self, parent_id: JobId) -> list[JobId]:
        """Return the children that are not done."""
        family = self._families.get(parent_id)
        return [] if family is None else sorted(family.unfinished)

    def is_waiting(self, job: Job) -> bool:
        """Tell whether a suspended job waits for a child that is not done."""
        family = self._families.get(job.job_id) if job.joins else None
        if family is None or not family.unfinished:
            return False
        # Where it waits for all of them there is no need to look at each.
        is_for_all = len(job.joins) >= len(family.keys)
        return is_for_all or not family.unfinished.isdisjoint(job.joins)

    def is_known(self, parent_id: JobId) -> bool:
        """Tell whether the parent's children are known."""
        return parent_id in self._families

    def _shrink(self) -> None:
        # Those of parents that are not done are needed; the others can be read from the store.
        if len(self._families) <= _MANY:
            return
        for parent_id in list(self._families)[: len(self._families) - _MANY]:
            if not self._families[parent_id].unfinished:
                del self._families[parent_id]
