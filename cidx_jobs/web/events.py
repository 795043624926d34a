"""The transition log: of one job, or of all that the caller may see."""

from aiohttp import web

from cidx_jobs.model.errors import HistoryExpiredError
from cidx_jobs.model.job import Job
from cidx_jobs.model.queries import EventQuery
from cidx_jobs.web.api import Call
from cidx_jobs.web.cursors import make_cursor, read_cursor
from cidx_jobs.web.problems import NotAcceptableError
from cidx_jobs.web.requests import Query
from cidx_jobs.web.streams import STREAM, stream_all, stream_job
from cidx_jobs.wire.events import EventDocument, EventListDocument

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_JSON = "application/json"


async def list_job_events(call: Call) -> web.StreamResponse:
    """Give the job's rows, oldest first; or, if that is what is accepted, its live stream."""
    kind = _choose_kind(call.request)
    job = await call.load_job()
    if kind == STREAM:
        Query(call.request, ())
        return await stream_job(call, job)
    return await _list_events(call, job)


async def list_events(call: Call) -> web.StreamResponse:
    """Give rows of all jobs that the caller may see, oldest first; or their live stream."""
    if _choose_kind(call.request) == STREAM:
        Query(call.request, ())
        return await stream_all(call)
    return await _list_events(call, None)


async def _list_events(call: Call, job: Job | None) -> web.Response:
    parameters = Query(call.request, ("limit", "cursor"))
    limit = parameters.whole("limit", 1, MAX_LIMIT) or DEFAULT_LIMIT
    user_id = None if job is not None or call.caller.is_admin else call.user_id
    listing = ("events", job.job_id if job else None, user_id)
    cursor = parameters.text("cursor")
    after = 0 if cursor is None else read_cursor(cursor, *listing)
    query = EventQuery(
        job_id=job.job_id if job else None,
        user_id=user_id,
        after_sequence=after,
        limit=limit + 1,
    )
    rows = await call.manager.query_events(query)
    await _check_history(call, after)
    page = rows[:limit]
    more = make_cursor(page[-1].sequence, *listing) if len(rows) > limit else None
    return call.answer(
        EventListDocument(events=tuple(map(EventDocument.of, page)), next_cursor=more)
    )


async def _check_history(call: Call, after: int) -> None:
    if not after:
        return
    oldest = await call.api.jobs.persistence.load_oldest_sequence()
    if oldest > after + 1:
        raise HistoryExpiredError(oldest)


def _choose_kind(request: web.Request) -> str:
    """Give the form that the client accepts, JSON before a stream unless only that is named."""
    accepted = request.headers.get("Accept", "*/*")
    kinds = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    if STREAM in kinds and request.method != "HEAD":
        return STREAM
    if kinds & {STREAM, _JSON, "application/*", "*/*", ""}:
        return _JSON
    raise NotAcceptableError([_JSON, STREAM])
