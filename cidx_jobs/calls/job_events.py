"""Following one job: its transitions from the first to the last, wherever it runs."""

import math
from collections.abc import AsyncIterator

from cidx_jobs.interfaces.door import GetJob, JobDoor, QueryEvents, WaitForJob
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Transition
from cidx_jobs.model.listing import EventQuery


async def follow(door: JobDoor, job_id: JobId) -> AsyncIterator[Transition]:
    """Go through the transitions that were, then those to come, until the job's end.

    It ends early when the system stops that the door leads to.

    Raises:
        JobNotFoundError: there is no such job.
    """
    version = (await door.ask(GetJob(job_id=job_id))).version
    last = 0
    while True:
        query = EventQuery(job_id=job_id, after_sequence=last)
        rows = await door.ask(QueryEvents(query=query))
        for row in rows:
            last, version = row.sequence, max(version, row.version)
            yield row
            # A retry on request goes on after an end: the log is read to its last row.
            if row.to_status.is_final:
                job = await door.ask(GetJob(job_id=job_id))
                if job.end_version <= row.version:
                    return
        if not rows:
            change = WaitForJob(job_id=job_id, until="change", since=version, seconds=math.inf)
            job, is_over = await door.ask(change)
            if is_over and job.version == version:
                return
            version = job.version
