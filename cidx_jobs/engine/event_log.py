"""Reading the transition log to its end, page by page."""

from collections.abc import AsyncIterator

from msgspec.structs import replace

from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.listing import EventQuery

_PAGE = 1000


async def read_log(manager: SyncJobManager, query: EventQuery) -> AsyncIterator[Transition]:
    """Go through all rows of the log that fit the query, oldest first; its limit is a page's."""
    while True:
        rows = await manager.query_events(query)
        for row in rows:
            yield row
        if len(rows) < query.limit:
            return
        query = replace(query, after_sequence=rows[-1].sequence)


async def find_status_at(manager: SyncJobManager, job: Job, version: int) -> JobStatus | None:
    """Return the job's status at a version; None where it has none or the log tells no more."""
    if version > job.version:
        return None
    status: JobStatus | None = None
    async for row in read_log(manager, EventQuery(job_id=job.job_id, limit=_PAGE)):
        if row.version > version:
            break
        status = row.to_status
    return status
