"""A read is answered from what was read before, for a while: a cache that nobody empties."""

import time

from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job
from torture.jobs import TYPES

__all__ = ["TYPES"]

_KEPT_SECONDS = 0.3

_get_job = SyncJobManager.get_job
_kept: dict[JobId, tuple[float, Job]] = {}


async def _get_kept(self: SyncJobManager, job_id: JobId) -> Job:
    now = time.monotonic()
    if job_id not in _kept or _kept[job_id][0] < now:
        _kept[job_id] = (now + _KEPT_SECONDS, await _get_job(self, job_id))
    return _kept[job_id][1]


SyncJobManager.get_job = _get_kept  # type: ignore[method-assign]
