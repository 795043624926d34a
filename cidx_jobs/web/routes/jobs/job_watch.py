"""Long poll: one job, read at once or when there is something new of it (api.md 1.4)."""

import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from cidx_jobs.engine.event_log import find_status_at
from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.webhooks.end_notice import NoticeTry
from cidx_jobs.web.http.answer import make_lines
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.page_cache import Page
from cidx_jobs.web.http.query import Number, Query
from cidx_jobs.web.http.route import Header, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.jobs.entity_tags import Known, read_tags
from cidx_jobs.web.routes.jobs.groups import JOBS, TAGGED, tagged_reply
from cidx_jobs.wire.encode import encode
from cidx_jobs.wire.jobs import JobDocument, StatusDocument

Tries = tuple[NoticeTry, ...]
"""The tries to tell a job's end, oldest first."""

MAX_WAIT_SECONDS = 55


class Until(StrEnum):
    """What a reader waits for."""

    CHANGE = "change"
    STATUS = "status"
    DONE = "done"


class WatchQuery(Query, frozen=True, kw_only=True):
    """What to wait for, and how long."""

    wait: Annotated[
        Number,
        Meta(
            description="How many seconds to wait at most; more than "
            f"{MAX_WAIT_SECONDS} is cut to that.",
            examples=[30],
        ),
    ] = 0
    since: Annotated[
        Number | None,
        Meta(description="The version of the job that the caller has.", examples=[3]),
    ] = None
    until: Annotated[
        Until | None,
        Meta(
            description="What to wait for: any change, another status, or the end. Without it: a "
            "change if the caller named what it has, else the end.",
            examples=["change"],
        ),
    ] = None


class Form(StrEnum):
    """How much of the job is shown."""

    WHOLE = "whole"
    STATUS = "status"


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """How a reader wants to read."""

    wait_seconds: int
    until: Until
    baseline: Known | None
    """What `until` is counted from; the job as it is now if None."""
    condition: Known | None
    """From ``If-None-Match``: when it still covers the job, the answer is a 304."""


IF_NONE_MATCH = Header(
    name="If-None-Match",
    about="The tag of what the caller has: if that is still so, the answer is 304 without a body.",
    example='W/"7"',
)
_WATCH_ABOUT = (
    "With `wait` the answer comes when what `until` names holds, when the job is done, or when "
    "the time is up. What it is counted from is `since`, else If-None-Match."
)
_UNCHANGED = Reply(304, "The job is as If-None-Match says.", headers=TAGGED)


@route(
    "GET /jobs/{job_id}",
    JOBS,
    scope="read",
    query=WatchQuery,
    about=_WATCH_ABOUT,
    headers=[IF_NONE_MATCH],
    replies=[tagged_reply(200, "The job.", examples.JOB_RUNNING), _UNCHANGED],
)
def get_job(call: Call, query: WatchQuery) -> Awaitable[web.Response]:
    """Read the whole job, or wait for news of it."""
    return _answer_job(call, query, Form.WHOLE)


@route(
    "GET /jobs/{job_id}/status",
    JOBS,
    scope="read",
    query=WatchQuery,
    about="`status` is never `created`, and `message` is always text. " + _WATCH_ABOUT,
    headers=[IF_NONE_MATCH],
    replies=[tagged_reply(200, "The short form.", examples.STATUS), _UNCHANGED],
)
def get_job_status(call: Call, query: WatchQuery) -> Awaitable[web.Response]:
    """Read the short form of the job, or wait for news of it."""
    return _answer_job(call, query, Form.STATUS)


async def _answer_job(call: Call, query: WatchQuery, form: Form) -> web.Response:
    """Return the job in the form, once there is what the reader waits for."""
    watch = _read_watch(call.request, query)
    job = await call.load_job()
    if watch is None:
        tries = await load_tries(call, job)
        return call.answer_page(show_job(call, job, call.manager.tag(job), form, tries))
    first_tag = call.manager.tag(job)
    is_crowded = False
    if watch.wait_seconds and not job.done:
        holds = await _condition(call, job, first_tag, watch)
        if not holds(job):
            if call.api.waiters.has_place(call.user_id):
                # No coroutine around it: each frame is memory that every parked request holds.
                with call.api.waiters.park(call.request, call.user_id) as place:
                    job = await call.manager.wait(job.job_id, holds, watch.wait_seconds)
                if place.was_woken:
                    job = await call.manager.get_job(job.job_id)
                call.is_quiet = not job.done and not holds(job)
            else:
                is_crowded = not call.api.jobs.is_stopping
    tries = await load_tries(call, job)
    tag = call.manager.tag(job)
    is_stopping = watch.wait_seconds > 0 and not job.done and call.api.jobs.is_stopping
    headers = job_headers(job, tag)
    if is_crowded:
        headers["Retry-After"] = "1"
    if is_stopping:
        headers["Retry-After"] = "2"
    known = watch.condition
    if known is not None and known.covers(job, tag) and (tag == first_tag or tag in known.tags):
        answer = call.answer_nothing(status=304, headers=headers)
    elif is_crowded or is_stopping:
        body = show_job(call, job, tag, form, tries).body
        answer = call.answer_bytes(body, headers=headers)
    else:
        answer = call.answer_page(show_job(call, job, tag, form, tries))
    if is_stopping:
        answer.force_close()
    return answer


async def wait_for_end(call: Call, job: Job, seconds: int) -> Job:
    """Return the job once it is done, or as it is when the time is up or nobody may wait."""
    if job.done or not call.api.waiters.has_place(call.user_id):
        return job
    with call.api.waiters.park(call.request, call.user_id):
        return await call.manager.wait(job.job_id, lambda now: now.done, seconds)
    return await call.manager.get_job(job.job_id)


async def load_tries(call: Call, job: Job) -> Tries:
    """Return the tries to tell the job's end, where somebody asked for that."""
    if not job.notify or not call.api.jobs.is_open:
        return ()
    return tuple(await call.api.jobs.end_notices.list_tries(job))


def show_job(call: Call, job: Job, tag: str, form: Form = Form.WHOLE, tries: Tries = ()) -> Page:
    """Return the job's document with its headers, made once for each state however many ask."""
    # Tries change nothing of the job, and so nothing of its tag; there are ever more of them.
    key: tuple[Any, ...] = (job.job_id, tag, form, call.prefix, len(tries))
    place = call.manager.place(job)
    if job.has_children:
        key = (*key, call.manager.count_children(job))
    if place is not None:
        # A waiting job's place may be newer than its tag, and is shown as it is when it is
        # read; how long it may yet wait is at most a second old.
        key = (*key, place, int(time.monotonic()))
    return call.api.pages.get(key, lambda: _make_page(call, job, tag, form, tries))


def encode_job(call: Call, job: Job, form: Form = Form.WHOLE, tries: Tries = ()) -> bytes:
    """Return the job's document as bytes, made for this one reader."""
    queue = call.manager.queue_status(job)
    children = call.manager.count_children(job)
    match form:
        case Form.WHOLE:
            document = JobDocument.of(job, queue, call.prefix, children)
            return encode(document.with_deliveries(tries) if tries else document)
        case Form.STATUS:
            return encode(StatusDocument.of(job, queue, children))


def _make_page(call: Call, job: Job, tag: str, form: Form, tries: Tries) -> Page:
    headers = job_headers(job, tag)
    return Page(encode_job(call, job, form, tries), headers, make_lines(headers))


def job_headers(job: Job, tag: str) -> dict[str, str]:
    """Return the headers of an answer about a job: its tag, and when to poll again."""
    headers = {"ETag": f'W/"{tag}"'}
    if not job.done:
        headers["Retry-After"] = "1" if job.status is JobStatus.RUNNING else "2"
    return headers


def _read_watch(request: web.Request, query: WatchQuery) -> Watch | None:
    """Return how to read the job; None where it is only to be read as it is."""
    given = request.headers.get("If-None-Match")
    if given is None and not request.query_string:
        return None
    condition = None if given is None else read_tags(given)
    baseline = condition if query.since is None else Known(frozenset({query.since}), frozenset())
    return Watch(
        wait_seconds=0 if request.method == "HEAD" else min(query.wait, MAX_WAIT_SECONDS),
        until=query.until or (Until.DONE if baseline is None else Until.CHANGE),
        baseline=baseline,
        condition=condition,
    )


class _Changed(msgspec.Struct, frozen=True, eq=False):
    """Tells whether a job has another tag; smaller than a closure, and thousands may be held."""

    manager: SyncJobManager
    tag: str | None
    """None: it has changed already."""

    def __call__(self, job: Job) -> bool:
        """Look at the job as it is now."""
        return self.tag is None or self.manager.tag(job) != self.tag


async def _condition(call: Call, job: Job, first_tag: str, watch: Watch) -> Callable[[Job], bool]:
    manager = call.manager
    known = watch.baseline
    match watch.until:
        case Until.DONE:
            return lambda now: now.done
        case Until.CHANGE:
            is_old = known is not None and not known.covers(job, first_tag)
            return _Changed(manager, None if is_old else first_tag)
        case Until.STATUS:
            status: JobStatus | None = job.status
            if known is not None and not known.covers(job, first_tag):
                status = await find_status_at(manager, job, max(known.named_versions, default=0))
            return lambda now: now.status is not status
