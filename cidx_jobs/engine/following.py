"""Following one job through its transitions, from the first to the last."""

from collections.abc import AsyncIterator

from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job import Transition
from cidx_jobs.model.queries import EventQuery

_PAGE = 200


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
            async for row in _rows_after(manager, job_id, last):
                last = row.sequence
                yield row
                # A retry on request goes on after an end: the log is read to its last row.
                is_end = row.to_status.is_final
                if is_end and (await manager.get_job(job_id)).version <= row.version:
                    return
            if await anext(subscription, None) is None:
                return
    finally:
        subscription.close()


async def _rows_after(
    manager: SyncJobManager, job_id: JobId, sequence: int
) -> AsyncIterator[Transition]:
    while True:
        query = EventQuery(job_id=job_id, after_sequence=sequence, limit=_PAGE)
        rows = await manager.query_events(query)
        for row in rows:
            sequence = row.sequence
            yield row
        if len(rows) < _PAGE:
            return
