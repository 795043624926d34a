"""The transition log: of one job, or of all that the caller may see."""

import re
from collections.abc import Mapping

from aiohttp import web

from cidx_jobs.model.errors import HistoryExpiredError
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.cursors import make_cursor, read_cursor
from cidx_jobs.web.http.problems import NotAcceptableError
from cidx_jobs.web.http.request import Query
from cidx_jobs.web.routes.event_stream import STREAM, stream_all, stream_job
from cidx_jobs.wire.events import EventDocument, EventListDocument

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_JSON = "application/json"
_QUALITY = re.compile(r"(?i)(?:^|;)\s*q=([01](?:\.[0-9]{0,3})?)\s*(?:$|;)")


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
    if job is None:
        # A job's own rows go only with the job: what is deleted of others leaves no gap in them.
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
    """Give the form that the client likes best; of two that it likes the same JSON.

    A stream that it names, and not only lets be, comes before that.
    """
    ranges = _read_ranges(",".join(request.headers.getall("Accept", ())))
    stream, listed = _quality(ranges, STREAM), _quality(ranges, _JSON)
    if stream == listed == 0:
        raise NotAcceptableError([_JSON, STREAM])
    is_wanted = stream > listed or (stream == listed and STREAM in ranges)
    return STREAM if is_wanted and request.method != "HEAD" else _JSON


def _read_ranges(accepted: str) -> Mapping[str, float]:
    """Give the media ranges of ``Accept`` with their qualities (RFC 9110, 12.5.1)."""
    ranges: dict[str, float] = {}
    for part in accepted.split(","):
        name, _, parameters = part.partition(";")
        found = _QUALITY.search(parameters)
        if name.strip():
            ranges[name.strip().lower()] = float(found[1]) if found else 1.0
    return ranges or {"*/*": 1.0}


def _quality(ranges: Mapping[str, float], kind: str) -> float:
    group = f"{kind.partition('/')[0]}/*"
    return next((ranges[name] for name in (kind, group, "*/*") if name in ranges), 0.0)
