"""Live streams of what happens to jobs, as server-sent events (api.md 1.5).

``snapshot`` (the job), ``transition`` (its id is the row's number), ``progress`` (no id), pings,
and ``end`` (the final job). Who comes back with ``Last-Event-ID`` gets what they missed.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
from aiohttp import web

from cidx_jobs.engine.event_log import read_log
from cidx_jobs.engine.state.notifier import Notice, Subscription
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.web.errors import TooManyStreamsError
from cidx_jobs.web.http.answer import answer_headers
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.routes.jobs.job_watch import load_tries, show_job
from cidx_jobs.wire.encode import encode
from cidx_jobs.wire.events import EventDocument, ProgressEventDocument, ResetDocument

STREAM = "text/event-stream"
PING_SECONDS = 15.0
STALL_SECONDS = 15.0
"""A reader that takes nothing for so long is dropped; they can go on by id."""

_DIGITS = 18


class _Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose events a stream tells: those of one job, or of all jobs of a user (None: of all)."""

    job_id: JobId | None
    user_id: UserId | None

    def covers(self, job: Job) -> bool:
        """Tell whether the job's events belong to the stream."""
        if self.job_id is not None:
            return job.job_id == self.job_id
        return self.user_id is None or job.user_id == self.user_id


class _Seen(msgspec.Struct, kw_only=True):
    """What the reader has already: a snapshot at a version, or the log up to a row."""

    version: int = 0
    sequence: int | None = None

    def lacks(self, notice: Notice) -> bool:
        """Tell whether the notice is news to the reader."""
        row = notice.transition
        if row is None:
            return notice.job.version > self.version
        if self.sequence is not None:
            return row.sequence > self.sequence
        return row.version > self.version


async def stream_job(call: Call, job: Job) -> web.StreamResponse:
    """Return the live stream of one job, to its end."""
    scope = _Scope(job_id=job.job_id, user_id=None)
    last_id = _last_event_id(call.request)
    if job.done and last_id is not None and await _has_all(call, scope, last_id):
        # Browsers come back for ever unless they are told that this was all.
        return call.answer_nothing()
    async with _subscribed(call, scope) as subscription:
        return await _send(call, _tell_job(call, job.job_id, scope, subscription, last_id))


async def stream_all(call: Call) -> web.StreamResponse:
    """Return the live stream of all jobs that the caller may see; it has no end."""
    scope = _Scope(job_id=None, user_id=None if call.caller.sees_everybody else call.user_id)
    async with _subscribed(call, scope) as subscription:
        return await _send(call, _tell_all(call, scope, subscription))


@contextlib.asynccontextmanager
async def _subscribed(call: Call, scope: _Scope) -> AsyncIterator[Subscription]:
    waiters = call.api.waiters
    if not waiters.has_place(call.user_id):
        raise TooManyStreamsError
    with (
        waiters.place(call.user_id),
        contextlib.closing(call.manager.subscribe(scope.covers)) as subscription,
    ):
        yield subscription


async def _tell_job(
    call: Call, job_id: JobId, scope: _Scope, subscription: Subscription, last_id: int | None
) -> AsyncGenerator[bytes, None]:
    # Subscribed before it is read here: what happens in between comes twice, never not at all.
    job = await call.manager.get_job(job_id)
    if last_id is not None and not await _holds(call, last_id):
        yield await _reset(call)
        last_id = None
    yield _event("snapshot", await _document(call, job))
    seen = _Seen(version=job.version)
    if last_id is not None:
        seen.sequence = last_id
        async for row in _rows_after(call, scope, last_id):
            yield _transition(row)
            seen.sequence = row.sequence
    if not job.done:
        async for notice in _notices(subscription):
            if notice is None or seen.lacks(notice):
                yield _tell(notice)
            if notice is not None and _is_end(notice):
                job = notice.job
                break
    if job.done:
        yield _event("end", await _document(call, job))


async def _tell_all(
    call: Call, scope: _Scope, subscription: Subscription
) -> AsyncGenerator[bytes, None]:
    last_id = _last_event_id(call.request)
    seen = _Seen(sequence=0)
    if last_id is None:
        yield b": open\n\n"
    elif await _holds(call, last_id):
        async for row in _rows_after(call, scope, last_id):
            yield _transition(row)
            seen.sequence = row.sequence
    else:
        yield await _reset(call)
    async for notice in _notices(subscription):
        if notice is None or seen.lacks(notice):
            yield _tell(notice)


async def _notices(subscription: Subscription) -> AsyncIterator[Notice | None]:
    """Return what happens; None each time that nothing did for a while."""
    while True:
        try:
            async with asyncio.timeout(PING_SECONDS):
                notice = await anext(subscription, None)
        except TimeoutError:
            yield None
            continue
        if notice is None:
            return
        yield notice


async def _send(call: Call, chunks: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    headers = answer_headers(STREAM, call.request_id)
    headers["X-Accel-Buffering"] = "no"
    response = web.StreamResponse(headers=headers)
    await response.prepare(call.request)
    try:
        async with contextlib.aclosing(chunks):
            with call.api.waiters.watched(call.request):
                await _write(call, response, chunks)
    except TimeoutError:
        transport = call.request.transport
        if transport is not None:
            transport.abort()
    except ConnectionError:
        pass  # the reader has gone: nobody is left to tell
    return response


async def _write(
    call: Call, response: web.StreamResponse, chunks: AsyncGenerator[bytes, None]
) -> None:
    async for chunk in chunks:
        if not await call.is_still_known():
            return  # with another token they can go on by id
        async with asyncio.timeout(STALL_SECONDS):
            await response.write(chunk)


def _rows_after(call: Call, scope: _Scope, sequence: int) -> AsyncIterator[Transition]:
    query = EventQuery(job_id=scope.job_id, user_id=scope.user_id, after_sequence=sequence)
    return read_log(call.manager, query)


async def _has_all(call: Call, scope: _Scope, last_id: int) -> bool:
    query = EventQuery(job_id=scope.job_id, after_sequence=last_id, limit=1)
    return not await call.manager.query_events(query)


async def _holds(call: Call, last_id: int) -> bool:
    """Tell whether the log has given out this id, and still holds all that came after it."""
    oldest = await call.api.jobs.persistence.jobs.load_oldest_sequence()
    if last_id < oldest:
        return last_id + 1 == oldest
    # From the oldest on every number is there, up to the newest. One beyond that is of another
    # log (that of before a backup was restored, say): its reader would miss what is to come.
    there = EventQuery(after_sequence=last_id - 1, limit=1)
    return last_id == 0 or bool(await call.manager.query_events(there))


async def _reset(call: Call) -> bytes:
    oldest = await call.api.jobs.persistence.jobs.load_oldest_sequence()
    return _event("reset", encode(ResetDocument(oldest_seq=oldest)))


def _last_event_id(request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID", "")
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return None
    return int(text)


async def _document(call: Call, job: Job) -> bytes:
    tries = await load_tries(call, job)
    return show_job(call, job, call.manager.tag(job), tries=tries).body


def _is_end(notice: Notice) -> bool:
    # A commit may hold several rows: the stream goes on to the one that ends the job.
    row = notice.transition
    return notice.job.done and (row is None or row.to_status.is_final)


def _tell(notice: Notice | None) -> bytes:
    if notice is None:
        return b": ping\n\n"
    if notice.transition is not None:
        return _transition(notice.transition)
    return _event("progress", encode(ProgressEventDocument.of(notice.job)))


def _transition(row: Transition) -> bytes:
    return _event("transition", encode(EventDocument.of(row)), row.sequence)


def _event(name: str, data: bytes, sequence: int | None = None) -> bytes:
    head = f"event: {name}\n" if sequence is None else f"event: {name}\nid: {sequence}\n"
    return head.encode() + b"data: " + data + b"\n\n"
