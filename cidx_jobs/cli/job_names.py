"""Names of jobs on the command line: an id, its beginning or end, or ``@latest``."""

import string
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import click

from cidx_jobs.client import JobsClient, NotFoundError
from cidx_jobs.model.ids import is_job_id
from cidx_jobs.model.listing import ONESELF
from cidx_jobs.wire.jobs import JobDocument, JobMembers

LATEST = "@latest"
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
    if is_job_id(text) or not digits or not set(digits) <= set(string.hexdigits):
        return await client.get_job(text)
    found = [job async for job in _beginning_with(client, text, digits)]
    if not found:
        found = [job async for job in _ending_with(client, text, digits)]
    if not found:
        message = f"Job not found: no id begins or ends with {name}"
        raise NotFoundError(message, code="job_not_found")
    if len(found) > 1:
        shown = ", ".join(job.job_id for job in found[:5])
        message = f"several jobs begin or end with {name}: {shown}"
        raise click.UsageError(message)
    return await client.get_job(found[0].job_id)


async def _latest(client: JobsClient) -> JobDocument:
    # An administrator would be given everybody's jobs.
    page = await client.list_jobs(user_id=ONESELF, limit=1)
    if not page.jobs:
        message = "Job not found: there is no job yet"
        raise NotFoundError(message, code="job_not_found")
    return await client.get_job(page.jobs[0].job_id)


async def _beginning_with(client: JobsClient, text: str, digits: str) -> AsyncIterator[JobMembers]:
    after = _instant(int(digits[:_TIME_DIGITS].ljust(_TIME_DIGITS, "0"), 16) - _SLACK_MILLISECONDS)
    before = _instant(
        int(digits[:_TIME_DIGITS].ljust(_TIME_DIGITS, "f"), 16) + _SLACK_MILLISECONDS
    )
    async for job in _newest(client, created_after=after, created_before=before):
        if job.job_id.startswith(text) or job.job_id.replace("-", "").startswith(digits):
            yield job


async def _ending_with(client: JobsClient, text: str, digits: str) -> AsyncIterator[JobMembers]:
    async for job in _newest(client):
        if job.job_id.endswith(text) or job.job_id.replace("-", "").endswith(digits):
            yield job


async def _newest(client: JobsClient, **filters: Any) -> AsyncIterator[JobMembers]:
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_jobs(limit=PAGE, cursor=cursor, **filters)
        for job in page.jobs:
            yield job
        cursor = page.next_cursor
        if cursor is None:
            return


def shown_end(job_id: str) -> str:
    """Return the end of an id that lists show: the ids of a minute begin alike."""
    return job_id[-12:]


def _instant(milliseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(max(0, milliseconds) / 1000, UTC)
    except (OverflowError, ValueError):
        # Beyond the years that a datetime knows, and so beyond all jobs: no bound.
        return None
