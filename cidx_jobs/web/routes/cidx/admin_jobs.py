"""What the client of CIDX asks about everybody's jobs: list, figures, clean-up."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from cidx_jobs.engine.operator_rules import FINAL
from cidx_jobs.model.errors import InvalidParameterError
from cidx_jobs.model.limits import MAX_AGE_SECONDS
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.cursors import PageLimit
from cidx_jobs.web.http.query import LenientQuery, Number, Query
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.routes.cidx.documents import (
    AdminCleanupDocument,
    AdminJobListDocument,
    AdminJobStatsDocument,
)
from cidx_jobs.web.routes.cidx.groups import CIDX
from cidx_jobs.web.routes.jobs.job_list import StatusName, read_statuses, show_rows
from cidx_jobs.wire.jobs import AdminJobDocument
from cidx_jobs.wire.member_rules import about

_HOUR = 3_600
_DAY = Annotated[
    str,
    Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", extra={"rule": "it must be YYYY-MM-DD"}),
]


FinalStatusName = Annotated[str, Meta(extra_json_schema={"enum": sorted(FINAL)})]


class AdminJobsQuery(Query, frozen=True, kw_only=True):
    """Which jobs to list."""

    status: Annotated[list[StatusName], about("Only jobs with one of these.")] = msgspec.field(
        default_factory=list
    )
    limit: PageLimit = 50
    offset: Annotated[Number, about("How many to pass over.")] = 0


class AdminStatsQuery(Query, frozen=True, kw_only=True):
    """Of which days to count the jobs, in UTC, by when they were submitted."""

    start_date: Annotated[_DAY | None, about("The first day; `YYYY-MM-DD`.")] = None
    end_date: Annotated[_DAY | None, about("The last day, included.")] = None


class AdminCleanupQuery(LenientQuery, frozen=True, kw_only=True):
    """Which finished jobs to delete."""

    max_age_hours: Annotated[
        int,
        Meta(description="How long ago they finished.", ge=0, le=MAX_AGE_SECONDS // _HOUR),
    ] = 720
    status: Annotated[list[FinalStatusName], about("Only these.")] = msgspec.field(
        default_factory=list
    )
    dry_run: Annotated[bool, about("Count them, and delete none.")] = False


@route(
    "GET /admin/jobs",
    CIDX,
    scope="audit",
    query=AdminJobsQuery,
    replies=[Reply(200, "One page.", AdminJobListDocument(jobs=(), total=0, limit=50, offset=0))],
)
async def list_jobs_of_cidx(call: Call, query: AdminJobsQuery) -> web.Response:
    """List everybody's jobs, newest first."""
    page = await call.manager.query_jobs(
        JobQuery(statuses=read_statuses(query.status), limit=query.limit, offset=query.offset)
    )
    return call.answer(
        AdminJobListDocument(
            jobs=show_rows(call, page, AdminJobDocument),
            total=page.total,
            limit=query.limit,
            offset=query.offset,
        )
    )


@route(
    "GET /admin/jobs/stats",
    CIDX,
    scope="audit",
    query=AdminStatsQuery,
    replies=[
        Reply(
            200,
            "The figures.",
            AdminJobStatsDocument(
                total_jobs=4,
                by_status={"completed": 3, "failed": 1},
                by_type={"repository_sync": 4},
                success_rate=75.0,
                average_duration=12.5,
            ),
        )
    ],
)
async def get_job_stats_of_cidx(call: Call, query: AdminStatsQuery) -> web.Response:
    """Count the jobs of a span of days."""
    first = _midnight("start_date", query.start_date)
    last = _midnight("end_date", query.end_date)
    try:
        end = None if last is None else last + timedelta(days=1)
    except OverflowError:
        end = None  # behind the last day that there is
    figures = await call.api.jobs.persistence.jobs.count_jobs(first, end)
    return call.answer(AdminJobStatsDocument.of(figures))


@route(
    "DELETE /admin/jobs/cleanup",
    CIDX,
    scope="admin",
    query=AdminCleanupQuery,
    leaves_body=True,
    replies=[
        Reply(
            200,
            "How many are gone.",
            AdminCleanupDocument(cleaned_count=120, message="Cleaned up 120 jobs", dry_run=False),
        )
    ],
)
async def clean_up_jobs_of_cidx(call: Call, query: AdminCleanupQuery) -> web.Response:
    """Delete finished jobs that are old enough, with their events."""
    statuses = read_statuses(query.status) or FINAL
    if not statuses <= FINAL:
        message = f"only {', '.join(sorted(FINAL))} jobs can be deleted"
        raise InvalidParameterError("status", message, choices=sorted(FINAL))
    found = await call.manager.clean_up_jobs(
        query.max_age_hours * _HOUR, statuses, dry_run=query.dry_run
    )
    if not query.dry_run:
        await call.note_act("jobs_cleaned_up", f"{found.deleted} jobs")
    count = found.matched if query.dry_run else found.deleted
    did = "Would clean up" if query.dry_run else "Cleaned up"
    return call.answer(
        AdminCleanupDocument(
            cleaned_count=count, message=f"{did} {count} jobs", dry_run=query.dry_run
        )
    )


def _midnight(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        message = "it must be a day such as 2026-01-31"
        raise InvalidParameterError(name, message) from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
