"""Lists of jobs: filters, pages, and where the next page is (api.md 1.6)."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta
from msgspec.structs import replace

from cidx_jobs.model.errors import (
    InvalidParameterError,
    UnavailableError,
)
from cidx_jobs.model.ids import (
    JOB_ID_PATTERN,
    JOB_TYPE_PATTERN,
    PROJECT_ID_PATTERN,
    JobId,
    ProjectId,
    UserId,
)
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import ONESELF, JobPage, JobQuery
from cidx_jobs.model.schedules.schedule import NAME_PATTERN
from cidx_jobs.web.access.member_word import path_of
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.cursors import Cursor, PageLimit, make_cursor, read_cursor
from cidx_jobs.web.http.query import Number, Query
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.jobs.groups import JOBS
from cidx_jobs.wire.jobs import JobListDocument, ListedJobDocument
from cidx_jobs.wire.member_rules import about

L = TypeVar("L", bound=ListedJobDocument)

_STATUSES = {status.value: frozenset({status}) for status in JobStatus} | {
    # The CIDX client's word for all that wait.
    "pending": frozenset({JobStatus.CREATED, JobStatus.QUEUED}),
}


_FILTERS = [
    name
    for name in JobQuery.__struct_fields__
    if name not in {"limit", "offset", "is_brief", "after_row"}
]
"""The members of a query that say which jobs it lists, and in which order."""

StatusName = Annotated[str, Meta(extra_json_schema={"enum": list(_STATUSES)})]
JobTypeName = Annotated[
    str, Meta(pattern=f"^{JOB_TYPE_PATTERN}$", extra={"rule": "it is no name of a job type"})
]
ProjectName = Annotated[
    ProjectId, Meta(pattern=f"^{PROJECT_ID_PATTERN}$", extra={"rule": "it is no project_id"})
]
ScheduleName = Annotated[
    str, Meta(pattern=f"^{NAME_PATTERN}$", extra={"rule": "it is no name of a schedule"})
]
JobName = Annotated[JobId, Meta(pattern=f"^{JOB_ID_PATTERN}$", extra={"rule": "it is no job_id"})]
Label = Annotated[str, Meta(pattern="^[^:]+:.*$", extra={"rule": "it must be key:value"})]


class JobListQuery(Query, frozen=True, kw_only=True):
    """Which jobs to list, and how many at a time."""

    status: Annotated[
        list[StatusName],
        Meta(
            description="Only jobs with one of these, separated by commas or repeated; `pending` "
            "is created and queued.",
            examples=[["queued", "running"]],
        ),
    ] = msgspec.field(default_factory=list)
    job_type: Annotated[JobTypeName | None, about("Only jobs of this type.")] = None
    project_id: Annotated[ProjectName | None, about("Only jobs of this project.")] = None
    schedule: Annotated[ScheduleName | None, about("Only jobs that this schedule submitted.")] = (
        None
    )
    parent_id: Annotated[JobName | None, about("Only jobs that this one made.")] = None
    user_id: Annotated[
        str | None,
        about(
            "Only jobs of this user; for administrators and auditors. `@me` is "
            "whoever asks, and for everybody."
        ),
    ] = None
    label: Annotated[
        list[Label],
        Meta(
            description="Only jobs with this label, as `key:value`; repeated, all of them.",
            examples=[["origin:ci"]],
        ),
    ] = msgspec.field(default_factory=list)
    created_after: Annotated[
        datetime | None, about("Only jobs that were submitted after this time.")
    ] = None
    created_before: Annotated[
        datetime | None, about("Only jobs that were submitted before this time.")
    ] = None
    order: Annotated[
        Literal["-created_at", "created_at"], about("Newest first, or oldest first.")
    ] = "-created_at"
    limit: PageLimit = 50
    cursor: Cursor | None = None
    offset: Annotated[Number, about("How many to pass over; not with a cursor.")] = 0


@route(
    "GET /jobs",
    JOBS,
    scope="read",
    query=JobListQuery,
    about="The caller's own; an administrator's or auditor's list holds everybody's. A row has "
    "no `attempts`, and no `options`, `result` or `error` of more than 16 KiB: it names "
    "them in `omitted`.",
    replies=[
        Reply(
            200,
            "One page.",
            JobListDocument(
                jobs=(examples.JOB_LISTED,),
                total=1,
                total_is_exact=True,
                limit=50,
                offset=0,
                next_cursor=None,
            ),
            headers=("Link",),
        )
    ],
    errors=[UnavailableError],
)
async def list_jobs(call: Call, query: JobListQuery) -> web.Response:
    """List jobs, newest first."""
    wanted = _wanted(call, query)
    async with call.api.reads.turn(call.user_id):
        page = await call.manager.query_jobs(wanted)
    cursor = None
    if page.next_row is not None:
        cursor = make_cursor(page.next_row, *_listing(wanted))
    headers = {"Link": _next_link(call, cursor)} if cursor else None
    return call.answer(_document(call, wanted, page, cursor), headers=headers)


def _wanted(call: Call, query: JobListQuery) -> JobQuery:
    if query.cursor is not None and "offset" in call.request.query:
        raise InvalidParameterError("offset", "it cannot be used with cursor")
    wanted = JobQuery(
        user_id=_wanted_user(call, query.user_id),
        statuses=read_statuses(query.status),
        job_type=query.job_type,
        project_id=query.project_id,
        schedule=query.schedule,
        parent_id=query.parent_id,
        labels=tuple(map(_wanted_label, query.label)),
        created_after=query.created_after,
        created_before=query.created_before,
        newest_first=query.order == "-created_at",
        limit=query.limit,
        offset=query.offset,
        is_brief=True,
    )
    if query.cursor is None:
        return wanted
    return replace(wanted, after_row=read_cursor(query.cursor, *_listing(wanted)))


def _wanted_user(call: Call, user_id: str | None) -> UserId | None:
    """Return whose jobs to list: the caller's own, or for who sees them anybody's."""
    if user_id == ONESELF:
        return call.user_id
    if user_id is None and call.caller.sees_everybody:
        return None
    return call.act_for(user_id)


def _wanted_label(text: str) -> tuple[str, str]:
    key, _, value = text.partition(":")
    return key, value


def read_statuses(texts: list[str]) -> frozenset[JobStatus] | None:
    """Return the statuses that are named, separated by commas; None when none is.

    Raises:
        InvalidParameterError: one is none.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    wrong = [name for name in names if name not in _STATUSES]
    if wrong:
        message = f"it must be of {', '.join(_STATUSES)}"
        raise InvalidParameterError("status", message, choices=list(_STATUSES))
    return frozenset().union(*(_STATUSES[name] for name in names)) if names else None


def _listing(query: JobQuery) -> tuple[Any, ...]:
    """Return what tells this listing from others; sets are put in order."""
    # Every member but those that say which page is read: a filter that was left out here would
    # let the cursor of one listing go on in another.
    values = (getattr(query, name) for name in _FILTERS)
    return "jobs", *(sorted(one) if isinstance(one, frozenset) else one for one in values)


def _document(call: Call, query: JobQuery, page: JobPage, cursor: str | None) -> JobListDocument:
    return JobListDocument(
        jobs=show_rows(call, page, ListedJobDocument),
        total=page.total,
        total_is_exact=page.total_is_exact,
        limit=query.limit,
        offset=query.offset,
        next_cursor=cursor,
    )


def show_rows(call: Call, page: JobPage, kind: type[L]) -> tuple[L, ...]:
    """Return the jobs of a page as documents of this kind."""
    manager, prefix = call.manager, call.prefix
    return tuple(
        kind.of(
            job,
            manager.queue_status(job),
            prefix,
            page.omitted.get(job.job_id, ()),
            manager.count_children(job),
        )
        for job in page.jobs
    )


def _next_link(call: Call, cursor: str) -> str:
    """Return the value of ``Link`` (RFC 8288): the same question, one page on."""
    # Of the path alone what is asked below it: how the client came to it only the call knows.
    asked = path_of(call.request).without_query_params("offset", "cursor")
    query = asked.extend_query(cursor=cursor).raw_query_string
    return f'<{call.prefix}/jobs?{query}>; rel="next"'
