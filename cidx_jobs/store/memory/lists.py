"""Filters, pages and counts over jobs and log in memory; pure functions."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job, JobStatus, Transition
from cidx_jobs.model.job.packed import count_bytes
from cidx_jobs.model.listing import (
    LONG_MEMBERS,
    MAX_LISTED_BYTES,
    EventQuery,
    JobFigures,
    JobPage,
    JobQuery,
    StoreStats,
)


def page_of(jobs: Iterable[Job], rows: Mapping[JobId, int], query: JobQuery) -> JobPage:
    """Return the page that *query* asks for; *rows* numbers the jobs in the order of submits."""
    found = [(rows[job.job_id], job) for job in jobs if _is_wanted(job, query)]
    total = len(found)
    found.sort(key=lambda pair: pair[0], reverse=query.newest_first)
    offset = query.offset
    if query.after_row is not None:
        found = [pair for pair in found if _is_behind(pair[0], query.after_row, query)]
        offset = 0
    page = found[offset : offset + query.limit]
    has_more = len(found) > offset + len(page)
    omitted = {job.job_id: long for _, job in page if query.is_brief and (long := _long(job))}
    return JobPage(
        jobs=tuple(
            _without(job, omitted.get(job.job_id, ())) if query.is_brief else job
            for _, job in page
        ),
        total=total,
        next_row=page[-1][0] if page and has_more else None,
        omitted=omitted,
    )


def _long(job: Job) -> tuple[str, ...]:
    return tuple(
        name for name in LONG_MEMBERS if count_bytes(getattr(job, name)) > MAX_LISTED_BYTES
    )


def _without(job: Job, omitted: Iterable[str]) -> Job:
    members: dict[str, Any] = {name: {} if name == "options" else None for name in omitted}
    return replace(job, attempts=(), **members)


def compare_with_log(
    jobs: Mapping[JobId, Job], events: Iterable[Transition]
) -> tuple[Finding, ...]:
    """Return the jobs that are not what their last row of the log says."""
    last = {event.job_id: event for event in events}
    return tuple(
        Finding(kind="log", message=f"{job.job_id} is not what its log says", job_id=job.job_id)
        for job in jobs.values()
        if (row := last.get(job.job_id)) is None
        or (row.to_status, row.run) != (job.status, job.run)
    )


def is_wanted_event(event: Transition, query: EventQuery) -> bool:
    """Return whether a row of the log fits the query."""
    return (
        event.sequence > query.after_sequence
        and query.job_id in {None, event.job_id}
        and query.user_id in {None, event.user_id}
    )


def count_stats(
    jobs: Iterable[Job],
    bytes_by_user: Mapping[UserId, int],
    database_id: str,
    last_sequence: int,
) -> StoreStats:
    """Count the jobs by status, type and user."""
    stored = list(jobs)
    return StoreStats(
        database_id=database_id,
        by_status=dict(Counter(job.status.value for job in stored)),
        by_type=dict(Counter(job.job_type for job in stored)),
        by_user=dict(Counter(job.user_id for job in stored)),
        by_status_and_type=dict(Counter((job.status.value, job.job_type) for job in stored)),
        bytes_by_user={user_id: size for user_id, size in bytes_by_user.items() if size > 0},
        database_bytes=0,
        wal_bytes=0,
        last_sequence=last_sequence,
    )


def count_jobs(
    jobs: Iterable[Job], created_from: datetime | None, created_before: datetime | None
) -> JobFigures:
    """Count the jobs that were submitted in the span, the end not included."""
    stored = [
        job
        for job in jobs
        if (created_from is None or job.created_at >= created_from)
        and (created_before is None or job.created_at < created_before)
    ]
    runs = [
        (job.finished_at - job.started_at).total_seconds()
        for job in stored
        if job.status in {JobStatus.COMPLETED, JobStatus.FAILED}
        and job.finished_at is not None
        and job.started_at is not None
    ]
    return JobFigures(
        by_status=dict(Counter(job.status.value for job in stored)),
        by_type=dict(Counter(job.job_type for job in stored)),
        average_run_seconds=sum(runs) / len(runs) if runs else None,
    )


def _is_wanted(job: Job, query: JobQuery) -> bool:
    return (
        query.user_id in {None, job.user_id}
        and (query.statuses is None or job.status in query.statuses)
        and query.job_type in {None, job.job_type}
        and query.project_id in {None, job.project_id}
        and query.schedule in {None, job.schedule}
        and query.parent_id in {None, job.parent_id}
        and all(job.labels.get(key) == value for key, value in query.labels)
        and (query.created_after is None or job.created_at > query.created_after)
        and (query.created_before is None or job.created_at < query.created_before)
    )


def _is_behind(row: int, after: int, query: JobQuery) -> bool:
    return row < after if query.newest_first else row > after
