"""Why a job waits: one rule, told to whoever asks and obeyed by whatever starts jobs.

Each reason stands once, in the method of the scope that it closes: everything, one user, one job
type, a user's share of a resource, one key, or one job. The gates of the queue
(`cidx_jobs.engine.state.gates`) are closed while their scope has a reason; the scheduler takes the
first in rank that no gate keeps; ``blocked_by``, the estimate and the test for idleness go through
the same methods. So a new reason is one line in its scope, and a refresh of that scope's gates
where the fact changes.
"""

from collections.abc import Callable, Iterator
from itertools import chain

from cidx_jobs.engine.queue.due_times import DueTimes
from cidx_jobs.engine.queue.outages import Outage, Outages
from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.engine.queue.suspects import Suspects, Watch
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import CREATED, QUEUED, RUNNING, Job
from cidx_jobs.model.job.key_limits import LimitKey
from cidx_jobs.model.job.queue_status import (
    CHILDREN,
    DRAINING,
    HELD,
    HOST_DOWN,
    LIMIT,
    PAUSED,
    PROJECT_BUSY,
    RECOVERING,
    RESOURCE,
    RETRY_BACKOFF,
    START_AT,
    TOTAL_LIMIT,
    TYPE_MISSING,
    USER_LIMIT,
    SuspectRun,
    WaitReason,
)
from cidx_jobs.model.limits import Pauses

Reasons = Iterator[WaitReason]

_DRAINING = WaitReason(word=DRAINING)
_PAUSED = WaitReason(word=PAUSED)
_TOTAL_LIMIT = WaitReason(word=TOTAL_LIMIT)
_USER_LIMIT = WaitReason(word=USER_LIMIT)
_CHILDREN = WaitReason(word=CHILDREN)
_TYPE_MISSING = WaitReason(word=TYPE_MISSING)


class WaitReasons:
    """What keeps jobs from starting at this moment, by scope; nothing in here changes anything."""

    def __init__(
        self, *, clock: Clock, slots: Slots, job_types: JobTypes,
        due_times: DueTimes, suspects: Suspects, outages: Outages,
        find_job: Callable[[JobId], Job | None],
        is_project_busy: Callable[[Job], bool], waits_for_children: Callable[[Job], bool],
    ) -> None:  # fmt: skip
        """Take the parts that know the facts."""
        self.pauses: Pauses = Pauses()
        """What an operator paused."""
        self.is_stopping = False
        """True once the server stops: nothing starts any more."""
        self.starting: set[JobId] = set()
        """Jobs that were chosen, and whose start is just being stored."""
        self._clock = clock
        self._slots = slots
        self._job_types = job_types
        self._due_times = due_times
        self._suspects = suspects
        self._outages = outages
        self._find_job = find_job
        self._is_project_busy = is_project_busy
        self._waits_for_children = waits_for_children

    def find(self, job: Job) -> list[WaitReason]:
        """List why the job waits, in the order in which it is told; empty if it is free to go.

        Of a queued job nothing is left exactly when the scheduler takes it as soon as it is the
        first such in rank.
        """
        reasons = list(self._of(job))
        if len(reasons) <= 1:
            return reasons
        found = {reason.word: reason for reason in reasons}
        return sorted(found.values(), key=lambda reason: reason.rank)

    def is_free(self, job: Job) -> bool:
        """Tell whether there is no reason at all."""
        return not any(self._of(job))

    def of_everything(self) -> Reasons:
        """Go through what keeps every job from starting."""
        if self.pauses.draining or self.is_stopping:
            yield _DRAINING
        if self.pauses.everything:
            yield _PAUSED
        if not self._slots.has_total_room():
            yield _TOTAL_LIMIT

    def of_user(self, user_id: UserId) -> Reasons:
        """Go through what keeps jobs of the user from starting."""
        if user_id in self.pauses.users:
            yield _PAUSED
        if not self._slots.has_user_room(user_id):
            yield _USER_LIMIT

    def of_type(self, job_type: str) -> Reasons:
        """Go through what keeps jobs of the type from starting."""
        if job_type not in self._job_types:
            yield _TYPE_MISSING
        if job_type in self.pauses.job_types:
            yield _PAUSED
        for name in self._job_types.resources_of(job_type):
            if not self._slots.has_unit(name):
                yield WaitReason(word=f"{RESOURCE}{name}")

    def of_shares(self, user_id: UserId, job_type: str) -> Reasons:
        """Go through what keeps jobs of the type from starting because they are this user's."""
        for name in self._job_types.resources_of(job_type):
            if not self._slots.has_share(user_id, name):
                yield WaitReason(word=f"{RESOURCE}{name}")

    def of_key(self, key: LimitKey) -> Reasons:
        """Go through what keeps jobs with the key from starting."""
        if not self._slots.keys.has_room(key):
            yield WaitReason(word=f"{LIMIT}{key.name}")
        outage = self._outages.find(key)
        if outage is not None and not outage.is_open:
            yield _host_down(outage)

    def of_job(self, job: Job) -> Reasons:
        """Go through what keeps this one job from starting, whoever else may."""
        if job.status is CREATED:
            yield from self._of_created(job)
            return
        if self._due_times.is_set(job.job_id):
            yield WaitReason(word=RETRY_BACKOFF, until=job.retry_at)
        if job.has_place and self._is_project_busy(job):
            yield WaitReason(word=PROJECT_BUSY)
        if self._outages:
            yield from self._of_tries(job)

    def of_own(self, job: Job) -> Reasons:
        """Go through what keeps the job from starting that does not keep everybody from it."""
        scopes = chain(self.of_job(job), self.of_user(job.user_id), self.of_type(job.job_type))
        shares = self.of_shares(job.user_id, job.job_type)
        return chain(scopes, shares, *[self.of_key(each.key) for each in job.limits])

    def of_recovery(self, job_id: JobId | None) -> Reasons:
        """Go through what keeps all but a suspect from starting; None is nobody in particular."""
        watch = self.find_watch()
        if watch is not None:
            yield WaitReason(word=RECOVERING, until=watch.until)
        elif (suspect := self.find_suspect()) is not None and suspect.job_id != job_id:
            yield WaitReason(word=RECOVERING)

    def find_watch(self) -> Watch | None:
        """Return the watch of the suspect that has the server to itself now, if one has."""
        watch = self._suspects.watch
        job = None if watch is None else self._find_job(watch.job_id)
        if watch is None or job is None:
            return None
        is_starting = job.job_id in self.starting and job.run + 1 == watch.run
        is_running = job.status is RUNNING and job.run == watch.run
        # A suspect that has come on is proven: the server did not die of it.
        return watch if is_starting or (is_running and job.progress == 0) else None

    def find_suspect(self) -> Job | None:
        """Return the suspect that runs before all others; None where none can run now."""
        for job_id in self._suspects:
            job = self._find_job(job_id)
            if job is not None and job.status is QUEUED and not any(self.of_own(job)):
                return job
        return None

    def find_suspect_run(self) -> SuspectRun | None:
        """Say which suspect keeps all others waiting, if one does."""
        watch = self.find_watch()
        job = self.find_suspect() if watch is None else self._find_job(watch.job_id)
        if job is None:
            return None
        return SuspectRun(
            until=None if watch is None else watch.until,
            suspects=len(self._suspects) + (watch is not None),
            job_id=job.job_id,
            user_id=job.user_id,
        )

    def _of(self, job: Job) -> Reasons:
        if job.status is CREATED:
            return self._of_created(job)
        if job.job_id in self.starting:
            return iter(())
        return chain(self.of_everything(), self.of_recovery(job.job_id), self.of_own(job))

    def _of_tries(self, job: Job) -> Reasons:
        # Who has found a host down lets others try before it asks again.
        for each in job.limits:
            outage = self._outages.find(each.key)
            if outage is not None and job.job_id in outage.tried:
                yield _host_down(outage)

    def _of_created(self, job: Job) -> Reasons:
        is_later = job.start_at is not None and job.start_at > self._clock.now()
        if job.hold:
            yield WaitReason(word=HELD)
        if is_later:
            yield WaitReason(word=START_AT, until=job.start_at)
        is_suspended = self._waits_for_children(job)
        if is_suspended:
            yield _CHILDREN
        if not (job.hold or is_later or is_suspended) and self._is_project_busy(job):
            yield WaitReason(word=PROJECT_BUSY)


def _host_down(outage: Outage) -> WaitReason:
    return WaitReason(word=f"{HOST_DOWN}{outage.host}", until=outage.until)
