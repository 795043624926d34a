"""Reading the transition log to its end, and following one job from the first row to the last."""

from collections.abc import AsyncIterator

from msgspec.structs import replace

from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Transition
from cidx_jobs.model.listing import EventQuery


async def follow_transitions(manager: SyncJobManager, job_id: JobId) -> AsyncIterator[Transition]:
    """Go through the transitions that were, then those to come, until the job's end.

    It ends early when the server stops, and when the reader falls too far behind.

    Raises:
        JobNotFoundError: there is no such job.
    """
    await manager.get_job(job_id)
    subscription = manager.subscribe(lambda job: job.job_id == job_id)
    try:
        last = 0
        while True:
            query = EventQuery(job_id=job_id, after_sequence=last)
            async for row in read_log(manager, query):
                last = row.sequence
                yield row
                # A retry on request goes on after an end: the log is read to its last row.
                is_end = row.to_status.is_final
                if is_end and (await manager.get_job(job_id)).end_version <= row.version:
                    return
            if await anext(subscription, None) is None:
                return
    finally:
        subscription.close()


async def read_log(manager: SyncJobManager, query: EventQuery) -> AsyncIterator[Transition]:
    """Go through all rows of the log that fit the query, oldest first; its limit is a page's."""
    while True:
        rows = await manager.query_events(query)
        for row in rows:
            yield row
        if len(rows) < query.limit:
            return
        query = replace(query, after_sequence=rows[-1].sequence)
