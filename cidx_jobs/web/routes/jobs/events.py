"""The transition log: of one job, or of all that the caller may see."""

import re
from collections.abc import Mapping

from aiohttp import web

from cidx_jobs.model.errors import (
    HistoryExpiredError,
    InvalidParameterError,
)
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.web.errors import NotAcceptableError, TooManyStreamsError
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.cursors import PageQuery, cut_page, make_cursor, read_cursor
from cidx_jobs.web.http.route import Header, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.jobs.event_stream import STREAM, stream_all, stream_job
from cidx_jobs.web.routes.jobs.groups import EVENTS
from cidx_jobs.wire.events import EventDocument, EventListDocument

_JSON = "application/json"
_QUALITY = re.compile(r"(?i)(?:^|;)\s*q=([01](?:\.[0-9]{0,3})?)\s*(?:$|;)")


_STREAM_ABOUT = (
    "With `Accept: text/event-stream` it is the live stream: `transition` (its id is the row's "
    "number), `progress`, and a comment as a ping every 15 seconds. A client that comes back "
    "with `Last-Event-ID` gets what it missed, or `reset` if the log no longer holds that."
)
_LAST_EVENT_ID = Header(
    name="Last-Event-ID",
    about="The id of the last event that the reader of a stream has.",
    example="1021",
)
_STREAM_EXAMPLE = (
    'id: 1022\nevent: transition\ndata: {"seq":1022,"job_id":"' + examples.JOB_ID + '",'
    '"version":3,"event":"start","from":"queued","to":"running","at":"2026-01-31T12:00:04Z",'
    '"attempt":1,"reason":null,"actor":null}\n\n'
)
_PAGE_OR_STREAM = Reply(
    200,
    "One page, or the stream.",
    EventListDocument(events=(EventDocument.of(examples.ENQUEUED),), next_cursor=None),
    media={STREAM: ({"type": "string"}, _STREAM_EXAMPLE)},
)


@route(
    "GET /jobs/{job_id}/events",
    EVENTS,
    scope="read",
    query=PageQuery,
    about=_STREAM_ABOUT + " The stream begins with `snapshot` and closes with `end`.",
    headers=[_LAST_EVENT_ID],
    replies=[
        _PAGE_OR_STREAM,
        Reply(204, "The job is done, and its stream has nothing after the id."),
    ],
    errors=[NotAcceptableError, TooManyStreamsError],
)
async def list_job_events(call: Call, query: PageQuery) -> web.StreamResponse:
    """Read the job's transitions, oldest first, or follow them live."""
    kind = _choose_kind(call.request)
    job = await call.load_job()
    if kind == STREAM:
        return await stream_job(call, job)
    return await _list_events(call, query, job)


@route(
    "GET /events",
    EVENTS,
    scope="read",
    query=PageQuery,
    about=_STREAM_ABOUT,
    headers=[_LAST_EVENT_ID],
    replies=[_PAGE_OR_STREAM],
    errors=[HistoryExpiredError, NotAcceptableError, TooManyStreamsError],
)
async def list_events(call: Call, query: PageQuery) -> web.StreamResponse:
    """Read the transitions of all jobs that the caller may see, or follow them live."""
    if _choose_kind(call.request) == STREAM:
        return await stream_all(call)
    return await _list_events(call, query, None)


async def _list_events(call: Call, asked: PageQuery, job: Job | None) -> web.Response:
    user_id = None if job is not None or call.caller.sees_everybody else call.user_id
    listing = ("events", job.job_id if job else None, user_id)
    after = 0 if asked.cursor is None else read_cursor(asked.cursor, *listing)
    query = EventQuery(
        job_id=job.job_id if job else None,
        user_id=user_id,
        after_sequence=after,
        limit=asked.limit + 1,
    )
    async with call.api.reads.turn(call.user_id):
        rows = await call.manager.query_events(query)
    if job is None:
        # A job's own rows go only with the job: what is deleted of others leaves no gap in them.
        await _check_history(call, after)
    page, more = cut_page(rows, asked.limit, lambda last: make_cursor(last.sequence, *listing))
    return call.answer(
        EventListDocument(events=tuple(map(EventDocument.of, page)), next_cursor=more)
    )


async def _check_history(call: Call, after: int) -> None:
    if not after:
        return
    oldest = await call.api.jobs.persistence.jobs.load_oldest_sequence()
    if oldest > after + 1:
        raise HistoryExpiredError(oldest)


def _choose_kind(request: web.Request) -> str:
    """Return the form that the client likes best; of two that it likes the same JSON.

    A stream that it names, and not only lets be, comes before that.
    """
    ranges = _read_ranges(",".join(request.headers.getall("Accept", ())))
    stream, listed = _quality(ranges, STREAM), _quality(ranges, _JSON)
    if stream == listed == 0:
        raise NotAcceptableError([_JSON, STREAM])
    is_wanted = stream > listed or (stream == listed and STREAM in ranges)
    if not is_wanted or request.method == "HEAD":
        return _JSON
    for name in request.query:
        raise InvalidParameterError(name, "a stream takes no parameters")
    return STREAM


def _read_ranges(accepted: str) -> Mapping[str, float]:
    """Return the media ranges of ``Accept`` with their qualities (RFC 9110, 12.5.1)."""
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
