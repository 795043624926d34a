"""Gates of the queue: each is closed while its scope has a reason to wait.

A scope is a user, a job type, a key, a user's share of a resource, or one job; its reasons are
those of `cidx_jobs.engine.queue.wait_reasons`. Whoever changes a fact has the gates looked at that
it bears on.
"""

import asyncio
from collections.abc import Iterable

from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.engine.queue.startable import ResourceShare
from cidx_jobs.engine.queue.wait_reasons import WaitReasons
from cidx_jobs.engine.state.job_cache import LiveJobs
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import QUEUED, Job
from cidx_jobs.model.job.key_limits import LimitKey


class Gates:
    """Opens and closes the gates of one queue."""

    def __init__(
        self, *, queue: JobQueue, slots: Slots, reasons: WaitReasons, live: LiveJobs,
        job_types: JobTypes, look_again: asyncio.Event,
    ) -> None:  # fmt: skip
        """Take the parts; *look_again* is set where somebody may have become startable."""
        self._queue = queue
        self._slots = slots
        self._reasons = reasons
        self._live = live
        self._job_types = job_types
        self._look_again = look_again

    def refresh_all(self) -> None:
        """Open and close every gate of the queue by the limits and pauses in force."""
        for user_id in self._queue.users():
            self.refresh_user(user_id)
        for job_type in self._queue.job_types():
            self.refresh_type(job_type)
        self.refresh_keys(self._queue.keys())
        self._refresh_shares(self._slots.limits.resources)
        self._look_again.set()

    def refresh_user(self, user_id: UserId) -> None:
        """Open the user's gate if nothing keeps their jobs from starting."""
        self._queue.set_user_open(user_id, is_open=not any(self._reasons.of_user(user_id)))

    def refresh_type(self, job_type: str) -> None:
        """Open the job type's gate if nothing keeps its jobs from starting."""
        self._queue.set_type_open(job_type, is_open=not any(self._reasons.of_type(job_type)))

    def refresh_keys(self, keys: Iterable[LimitKey]) -> None:
        """Open the gate of each key if nothing keeps its jobs from starting."""
        for key in keys:
            self._queue.set_key_open(key, is_open=not any(self._reasons.of_key(key)))

    def refresh_job(self, job: Job) -> None:
        """Let the queued job take part if nothing keeps this one from starting."""
        self._queue.set_eligible(job.job_id, is_eligible=not any(self._reasons.of_job(job)))

    def refresh_lines(self, job: Job) -> None:
        """Let the exclusive jobs of the job's project take part if none of them is at work."""
        if not job.has_place:
            return
        for other in self._live.in_lines(job.user_id, job.project_id):
            if other.status is QUEUED:
                self.refresh_job(other)
        self._look_again.set()

    def refresh_resources(self, names: Iterable[str]) -> None:
        """Look again at the gates of the types that need the resources, and start who may."""
        changed = frozenset(names)
        if not changed:
            return
        for job_type in self._queue.job_types():
            if not changed.isdisjoint(self._job_types.resources_of(job_type)):
                self.refresh_type(job_type)
        self._refresh_shares(changed)
        self._look_again.set()

    def _refresh_shares(self, names: Iterable[str]) -> None:
        # Only of those who have units, and they are few: everybody else has a share.
        holders = [
            ResourceShare(user, name) for name in names for user in self._slots.users_of(name)
        ]
        for share in dict.fromkeys((*holders, *self._queue.closed_shares())):
            self._queue.set_share_open(share, is_open=self._slots.has_share(*share))
