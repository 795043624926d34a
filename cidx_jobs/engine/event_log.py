"""Reading the transition log to its end, page by page."""

from collections.abc import AsyncIterator

from msgspec.structs import replace

from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.model.job.job import Transition
from cidx_jobs.model.listing import EventQuery


async def read_log(manager: SyncJobManager, query: EventQuery) -> AsyncIterator[Transition]:
    """Go through all rows of the log that fit the query, oldest first; its limit is a page's."""
    while True:
        rows = await manager.query_events(query)
        for row in rows:
            yield row
        if len(rows) < query.limit:
            return
        query = replace(query, after_sequence=rows[-1].sequence)
