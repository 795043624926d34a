"""The two routes that submit jobs (api.md 1.3)."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from cidx_jobs.calls.arguments import KEY_PATTERN
from cidx_jobs.calls.trace_context import is_traceparent
from cidx_jobs.handlers.repository_sync.options import SyncOptions
from cidx_jobs.model.errors import (
    DrainingError,
    IdempotencyKeyReusedError,
    JobExpiredError,
    ProjectBusyError,
    QueueFullError,
    RequestError,
    UnknownJobTypeError,
    UserQueueFullError,
    UserStorageFullError,
)
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.job.submit import RequestKey
from cidx_jobs.web.access.member_word import path_of
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Header, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.jobs.groups import JOBS
from cidx_jobs.web.routes.jobs.job_watch import (
    MAX_WAIT_SECONDS,
    encode_job,
    load_tries,
    wait_for_end,
)
from cidx_jobs.wire.encode import fingerprint
from cidx_jobs.wire.request_bodies import SubmitBody, SyncBody, make_submit

_KEY = re.compile(KEY_PATTERN)
_PREFERRED_WAIT = re.compile(r"(?i)(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?=$|[,;])")

_ASKED_HEADERS = (
    Header(
        name="Idempotency-Key",
        about="Makes a repeat safe: the same key with the same request gives the one job, for 24 "
        "hours, whatever becomes of it.",
        pattern=KEY_PATTERN,
        example="8c1d3f52-build-1744",
    ),
    Header(
        name="traceparent",
        about="The trace context of the caller (W3C Trace Context); it is kept with the job. What "
        "is none is passed over.",
        example="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    Header(
        name="Prefer",
        about="`wait=N` answers when the job has ended, or after N seconds (RFC 7240).",
        example="wait=10",
    ),
)
_ABOUT = (
    "The answer is written after the job is durable. While an exclusive job of the project is "
    "active, `on_conflict` says whether the request joins it, is refused, or replaces it. A job "
    "that can start at once is answered as it waited, at version 2; its start is stored with it, "
    "as version 3."
)
_HEADERS = ("Location", "ETag", "Retry-After", "Idempotency-Replayed", "Preference-Applied")
_REPLIES = (
    Reply(
        202,
        "Stored: a new job, or the one that this Idempotency-Key made.",
        examples.JOB_QUEUED,
        headers=_HEADERS,
    ),
    Reply(
        200,
        "Joined a waiting job; or, with `Prefer: wait`, the job has ended.",
        examples.JOB_QUEUED,
        headers=_HEADERS,
    ),
)
ADMISSION_ERRORS = (UserQueueFullError, UserStorageFullError, QueueFullError, DrainingError)
"""What every route may refuse that submits a job."""
_ERRORS = (*ADMISSION_ERRORS, ProjectBusyError, IdempotencyKeyReusedError, JobExpiredError)


@route(
    "POST /jobs",
    JOBS,
    scope="write",
    body=SubmitBody,
    body_example={
        "job_type": "repository_sync",
        "project_id": examples.PROJECT_ID,
        "options": {"repository_url": examples.URL, "branch": "main"},
        "priority": 5,
        "labels": {"origin": "ci"},
    },
    about=_ABOUT,
    headers=_ASKED_HEADERS,
    replies=_REPLIES,
    errors=[*_ERRORS, UnknownJobTypeError],
)
async def submit_job(call: Call, body: SubmitBody) -> web.Response:
    """Submit a job of any registered type."""
    return await _submit(call, body)


@route(
    "POST /sync",
    JOBS,
    scope="write",
    body=SyncBody,
    body_example={"project_id": examples.PROJECT_ID, "repository_url": examples.URL},
    about="The same as a `repository_sync` by `POST /jobs`. " + _ABOUT,
    documents=[SyncOptions],
    headers=_ASKED_HEADERS,
    replies=_REPLIES,
    errors=_ERRORS,
)
async def sync_repository(call: Call, body: SyncBody) -> web.Response:
    """Submit the sync of a repository."""
    return await _submit(call, body)


async def _submit(call: Call, body: SubmitBody | SyncBody) -> web.Response:
    request = call.request
    check_submittable(call, body.job_type)
    owner = call.submit_for(body.user_id)
    key = _request_key(request, call.members)
    trace = request.headers.get("traceparent")
    wanted = make_submit(
        body,
        owner,
        key,
        actor=call.user_id,
        # One that is none is left out, as its specification wants it.
        traceparent=trace if is_traceparent(trace) else None,
    )
    submission = await call.manager.create_job(wanted)
    job = submission.job
    await call.note_act_for(owner, "job_submitted", job.job_id)
    seconds = _preferred_wait(request)
    if seconds:
        job = await wait_for_end(call, job, seconds)
    headers = submitted(call, job)
    if submission.is_replayed:
        headers["Idempotency-Replayed"] = "true"
    if seconds is not None:
        headers["Preference-Applied"] = f"wait={seconds}"
    is_here = submission.is_joined or (seconds is not None and job.done)
    # Not kept: hardly anybody asks for a job in this state again, and a tag that nobody asked for
    # would have to be looked after as long as the job waits.
    return call.answer_bytes(
        encode_job(call, job, tries=await load_tries(call, job)),
        status=HTTPStatus.OK if is_here else HTTPStatus.ACCEPTED,
        headers=headers,
    )


def check_submittable(call: Call, name: str) -> None:
    """Check that there is such a job type for callers over HTTP.

    Raises:
        UnknownJobTypeError: there is none, or it is internal: the two read the same.
    """
    if call.api.jobs.job_types[name].internal:
        raise UnknownJobTypeError(name)


def submitted(call: Call, job: Job) -> dict[str, str]:
    """Return the headers of the answer to a request that submitted the job."""
    return {
        "Location": f"{call.prefix}/jobs/{job.job_id}",
        "ETag": f'W/"{job.version}"',
        "Retry-After": "1",
    }


def _request_key(request: web.Request, members: Mapping[str, Any]) -> RequestKey | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        message = "Idempotency-Key: it must be 1 to 255 visible ASCII characters"
        raise RequestError(message, header="Idempotency-Key")
    return RequestKey(
        key=key, fingerprint=fingerprint(request.method, path_of(request).path, members)
    )


def _preferred_wait(request: web.Request) -> int | None:
    """Return the seconds of ``Prefer: wait=N`` (RFC 7240), at most 55; None without it."""
    for text in request.headers.getall("Prefer", ()):
        found = _PREFERRED_WAIT.search(text)
        if found is not None:
            return min(int(found[1]), MAX_WAIT_SECONDS)
    return None
