"""The routes that make, list and change jobs."""

import re
from collections.abc import Awaitable
from http import HTTPStatus

from aiohttp import web

from cidx_jobs.model.errors import Fault, RequestError, ValidationError, VersionMismatchError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.submit import RequestKey, Submission
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.request import Query, read_members
from cidx_jobs.web.routes.job_watch import (
    MAX_WAIT_SECONDS,
    Form,
    answer_job,
    encode_job,
    job_headers,
    read_tags,
    show_job,
    wait_for_end,
)
from cidx_jobs.wire.encode import fingerprint
from cidx_jobs.wire.jobs import CancelledJobDocument
from cidx_jobs.wire.request_bodies import (
    CancelBody,
    EmptyBody,
    RetryBody,
    ReviseBody,
    SubmitBody,
    SyncBody,
    make_submit,
)
from cidx_jobs.wire.strict_json import fit

MAX_REASON_CHARACTERS = 500
_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")
_PREFERRED_WAIT = re.compile(r"(?i)(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?=$|[,;])")


def submit(call: Call) -> Awaitable[web.Response]:
    """Store a job of any registered type."""
    return _submit(call, SubmitBody)


def sync(call: Call) -> Awaitable[web.Response]:
    """Store a ``repository_sync``."""
    return _submit(call, SyncBody)


def get_job(call: Call) -> Awaitable[web.Response]:
    """Give the whole job."""
    return answer_job(call, Form.WHOLE)


def get_status(call: Call) -> Awaitable[web.Response]:
    """Give the short form of the job."""
    return answer_job(call, Form.STATUS)


async def cancel(call: Call) -> web.Response:
    """Cancel the job, or tell it to stop."""
    job = await _cancel(call)
    is_over = job.status is JobStatus.CANCELLED
    return _answer_job(call, job, HTTPStatus.OK if is_over else HTTPStatus.ACCEPTED)


async def delete(call: Call) -> web.Response:
    """Do the same, for clients that expect the verb."""
    job = await _cancel(call)
    document = CancelledJobDocument.of(job, call.manager.queue_status(job), call.api.prefix)
    return call.answer(document, headers=job_headers(job, call.manager.tag(job)))


async def retry(call: Call) -> web.Response:
    """Queue a failed or cancelled job again."""
    Query(call.request, ())
    body = fit(RetryBody, await read_members(call.request))
    job = await call.load_job()
    job = await call.manager.retry_job(job.job_id, from_start=body.from_start)
    return _answer_job(call, job, HTTPStatus.ACCEPTED)


async def start(call: Call) -> web.Response:
    """Release a held or later job now."""
    Query(call.request, ())
    fit(EmptyBody, await read_members(call.request))
    job = await call.load_job()
    return _answer_job(call, await call.manager.start_job(job.job_id), HTTPStatus.ACCEPTED)


async def revise(call: Call) -> web.Response:
    """Change the priority or the labels of a job that waits."""
    Query(call.request, ())
    body = fit(ReviseBody, await read_members(call.request))
    job = await call.load_job()
    job = await call.manager.revise_job(
        job.job_id,
        priority=body.priority,
        labels=body.labels,
        if_version=_required_version(call.request, job),
    )
    return _answer_job(call, job, HTTPStatus.OK)


async def _submit(call: Call, kind: type[SubmitBody] | type[SyncBody]) -> web.Response:
    request = call.request
    Query(request, ())
    members = await read_members(request)
    body: SubmitBody | SyncBody = fit(kind, members)
    wanted = make_submit(body, call.user_id, _request_key(request, members))
    submission = await call.manager.create_job(wanted)
    job = submission.job
    seconds = _preferred_wait(request)
    if seconds:
        job = await wait_for_end(call, job, seconds)
    headers = _submit_headers(call, job, submission)
    if seconds is not None:
        headers["Preference-Applied"] = f"wait={seconds}"
    is_here = submission.is_joined or (seconds is not None and job.done)
    # Not kept: hardly anybody asks for a job in this state again, and a tag that nobody asked for
    # would have to be looked after as long as the job waits.
    return call.answer_bytes(
        encode_job(call, job),
        status=HTTPStatus.OK if is_here else HTTPStatus.ACCEPTED,
        headers=headers,
    )


def _submit_headers(call: Call, job: Job, submission: Submission) -> dict[str, str]:
    headers = {
        "Location": f"{call.api.prefix}/jobs/{job.job_id}",
        "ETag": f'W/"{job.version}"',
        "Retry-After": "1",
    }
    if submission.is_replayed:
        headers["Idempotency-Replayed"] = "true"
    return headers


def _request_key(request: web.Request, members: dict[str, object]) -> RequestKey | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        message = "Idempotency-Key: it must be 1 to 255 visible ASCII characters"
        raise RequestError(message, header="Idempotency-Key")
    return RequestKey(key=key, fingerprint=fingerprint(request.method, request.path, members))


def _preferred_wait(request: web.Request) -> int | None:
    """Give the seconds of ``Prefer: wait=N`` (RFC 7240), at most 55; None without it."""
    for text in request.headers.getall("Prefer", ()):
        found = _PREFERRED_WAIT.search(text)
        if found is not None:
            return min(int(found[1]), MAX_WAIT_SECONDS)
    return None


async def _cancel(call: Call) -> Job:
    Query(call.request, ())
    body = fit(CancelBody, await read_members(call.request))
    if body.reason is not None and len(body.reason) > MAX_REASON_CHARACTERS:
        message = f"at most {MAX_REASON_CHARACTERS} characters"
        raise ValidationError([Fault("/reason", message)])
    job = await call.load_job()
    return await call.manager.cancel_job(job.job_id, body.reason)


def _required_version(request: web.Request, job: Job) -> int | None:
    """Give the version that ``If-Match`` asks for; None when any will do."""
    text = request.headers.get("If-Match")
    if text is None:
        return None
    known = read_tags(text)
    if known.is_anything:
        return None
    versions = known.named_versions
    if job.version not in versions:
        raise VersionMismatchError(JobId(job.job_id), job.version)
    return job.version


def _answer_job(call: Call, job: Job, status: int) -> web.Response:
    return call.answer_page(show_job(call, job, call.manager.tag(job)), status=status)
