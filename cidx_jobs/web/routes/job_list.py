"""Lists of jobs: filters, pages, and where the next page is (api.md 1.6)."""

from typing import Any

from aiohttp import web
from msgspec.structs import replace

from cidx_jobs.model.errors import ForbiddenError, InvalidParameterError
from cidx_jobs.model.ids import ProjectId, UserId, is_job_type, is_project_id
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import JobPage, JobQuery
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.cursors import make_cursor, read_cursor
from cidx_jobs.web.http.request import Query
from cidx_jobs.wire.jobs import JobListDocument, ListedJobDocument

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_MAX_OFFSET = 2**62
ONESELF = "@me"
"""As `user_id`: whoever asks, by whatever name. It is for everybody."""

_ONCE = (
    "job_type",
    "project_id",
    "user_id",
    "created_after",
    "created_before",
    "order",
    "limit",
    "cursor",
    "offset",
)
_REPEATABLE = ("status", "label")
_ORDERS = {"-created_at": True, "created_at": False}
_STATUSES = {status.value: frozenset({status}) for status in JobStatus} | {
    # The CIDX client's word for all that wait.
    "pending": frozenset({JobStatus.CREATED, JobStatus.QUEUED}),
}


async def list_jobs(call: Call) -> web.Response:
    """Give one page of the jobs that fit, newest first unless asked otherwise."""
    query = _read_query(call)
    page = await call.manager.query_jobs(query)
    cursor = None
    if page.next_row is not None:
        cursor = make_cursor(page.next_row, *_listing(query))
    headers = {"Link": _next_link(call.request, cursor)} if cursor else None
    return call.answer(_document(call, query, page, cursor), headers=headers)


def _read_query(call: Call) -> JobQuery:
    parameters = Query(call.request, _ONCE, _REPEATABLE)
    if "cursor" in parameters and "offset" in parameters:
        raise InvalidParameterError("offset", "it cannot be used with cursor")
    newest_first = parameters.choice("order", _ORDERS)
    query = JobQuery(
        user_id=_read_user(call, parameters),
        statuses=_read_statuses(parameters.texts("status")),
        job_type=parameters.checked("job_type", is_job_type, "it is no name of a job type"),
        project_id=_read_project(parameters),
        labels=tuple(map(_read_label, parameters.texts("label"))),
        created_after=parameters.time("created_after"),
        created_before=parameters.time("created_before"),
        newest_first=True if newest_first is None else newest_first,
        limit=parameters.whole("limit", 1, MAX_LIMIT) or DEFAULT_LIMIT,
        offset=parameters.whole("offset", 0, _MAX_OFFSET) or 0,
    )
    cursor = parameters.text("cursor")
    if cursor is None:
        return query
    return replace(query, after_row=read_cursor(cursor, *_listing(query)))


def _read_user(call: Call, parameters: Query) -> UserId | None:
    """Give whose jobs to list: the caller's own, or for an admin anybody's."""
    user_id = parameters.text("user_id")
    if user_id == ONESELF:
        return call.user_id
    if call.caller.is_admin:
        return None if user_id is None else UserId(user_id)
    if user_id is not None:
        message = "user_id: this needs a token with the scope admin"
        raise ForbiddenError(message, parameter="user_id")
    return call.user_id


def _read_project(parameters: Query) -> ProjectId | None:
    text = parameters.checked("project_id", is_project_id, "it is no project_id")
    return None if text is None else ProjectId(text)


def _read_label(text: str) -> tuple[str, str]:
    key, mark, value = text.partition(":")
    if not mark or not key:
        raise InvalidParameterError("label", "it must be key:value")
    return key, value


def _read_statuses(texts: list[str]) -> frozenset[JobStatus] | None:
    names = [name.strip() for text in texts for name in text.split(",")]
    wrong = [name for name in names if name not in _STATUSES]
    if wrong:
        message = f"it must be of {', '.join(_STATUSES)}"
        raise InvalidParameterError("status", message, choices=list(_STATUSES))
    return frozenset().union(*(_STATUSES[name] for name in names)) if names else None


def _listing(query: JobQuery) -> tuple[Any, ...]:
    """Give what tells this listing from others; sets are put in order."""
    return (
        "jobs",
        query.user_id,
        None if query.statuses is None else sorted(query.statuses),
        query.job_type,
        query.project_id,
        query.labels,
        query.created_after,
        query.created_before,
        query.newest_first,
    )


def _document(call: Call, query: JobQuery, page: JobPage, cursor: str | None) -> JobListDocument:
    place, prefix = call.manager.queue_status, call.api.prefix
    return JobListDocument(
        jobs=tuple(ListedJobDocument.of(job, place(job), prefix) for job in page.jobs),
        total=page.total,
        total_is_exact=page.total_is_exact,
        limit=query.limit,
        offset=query.offset,
        next_cursor=cursor,
    )


def _next_link(request: web.Request, cursor: str) -> str:
    """Give the value of ``Link`` (RFC 8288): the same question, one page on."""
    url = request.rel_url.without_query_params("offset", "cursor").extend_query(cursor=cursor)
    return f'<{url.raw_path_qs}>; rel="next"'
