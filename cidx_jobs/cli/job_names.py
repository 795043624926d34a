"""Names of jobs on the command line: an id, the beginning of one, or ``@latest``."""

import string
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import click

from cidx_jobs.client import JobsClient, NotFoundError
from cidx_jobs.model.ids import is_job_id
from cidx_jobs.wire.jobs import JobDocument, JobMembers

LATEST = "@latest"
OWN_JOBS = "@me"
FEWEST_DIGITS = 4
MOST_PAGES = 25
PAGE = 200

_TIME_DIGITS = 12
"""A job id begins with its time: 48 bits of milliseconds (UUIDv7, RFC 9562)."""
_SLACK_MILLISECONDS = 5_000


async def find_job(client: JobsClient, name: str) -> JobDocument:
    """Return the job that *name* means.

    Raises:
        NotFoundError: there is none.
        click.UsageError: several ids begin so.
    """
    text = name.strip().lower()
    if not text:
        # As a variable of a script that was never set: it would be no job's path.
        message = "Job not found: the id is empty"
        raise NotFoundError(message, code="job_not_found")
    if text == LATEST:
        return await _latest(client)
    digits = text.replace("-", "")
    if is_job_id(text) or len(digits) < FEWEST_DIGITS or not set(digits) <= set(string.hexdigits):
        return await client.get_job(text)
    found = [job async for job in _beginning_with(client, text, digits)]
    if not found:
        message = f"Job not found: no id begins with {name}"
        raise NotFoundError(message, code="job_not_found")
    if len(found) > 1:
        message = f"several jobs begin with {name}: {', '.join(job.job_id for job in found[:5])}"
        raise click.UsageError(message)
    return await client.get_job(found[0].job_id)


async def _latest(client: JobsClient) -> JobDocument:
    # An administrator would be given everybody's jobs.
    page = await client.list_jobs(user_id=OWN_JOBS, limit=1)
    if not page.jobs:
        message = "Job not found: there is no job yet"
        raise NotFoundError(message, code="job_not_found")
    return await client.get_job(page.jobs[0].job_id)


async def _beginning_with(client: JobsClient, text: str, digits: str) -> AsyncIterator[JobMembers]:
    after = _instant(int(digits[:_TIME_DIGITS].ljust(_TIME_DIGITS, "0"), 16) - _SLACK_MILLISECONDS)
    before = _instant(
        int(digits[:_TIME_DIGITS].ljust(_TIME_DIGITS, "f"), 16) + _SLACK_MILLISECONDS
    )
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_jobs(
            created_after=after, created_before=before, limit=PAGE, cursor=cursor
        )
        for job in page.jobs:
            if job.job_id.startswith(text) or job.job_id.replace("-", "").startswith(digits):
                yield job
        cursor = page.next_cursor
        if cursor is None:
            return


def _instant(milliseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(max(0, milliseconds) / 1000, UTC)
    except (OverflowError, ValueError):
        # Beyond the years that a datetime knows, and so beyond all jobs: no bound.
        return None
