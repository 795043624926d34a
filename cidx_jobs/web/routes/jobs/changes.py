"""The routes that change a job: cancel, retry, start, and other values while it waits."""

from http import HTTPStatus

from aiohttp import web

from cidx_jobs.model.errors import (
    AlreadyFinishedError,
    InvalidTransitionError,
    OptionsRemovedError,
    ProjectBusyError,
    VersionMismatchError,
)
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Header, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.jobs.entity_tags import read_tags
from cidx_jobs.web.routes.jobs.groups import JOBS, tagged_reply
from cidx_jobs.web.routes.jobs.job_watch import job_headers, load_tries, show_job
from cidx_jobs.wire.jobs import CancelledJobDocument
from cidx_jobs.wire.request_bodies import CancelBody, RetryBody, ReviseBody

_IF_MATCH = Header(
    name="If-Match",
    about="The tag of what the caller has: if the job is at another version, nothing is changed "
    "(412).",
    example='W/"2"',
)


@route(
    "POST /jobs/{job_id}/cancel",
    JOBS,
    scope="write",
    body=CancelBody,
    body_example={"reason": "not needed any more"},
    about="A job that waits is cancelled at once; one that runs is told to stop.",
    replies=[
        tagged_reply(202, "It was told to stop, and runs until it has.", examples.JOB_STOPPING),
        tagged_reply(200, "It is cancelled.", examples.JOB_STOPPING),
    ],
    errors=[AlreadyFinishedError],
)
async def cancel_job(call: Call, body: CancelBody) -> web.Response:
    """Cancel the job; idempotent."""
    job = await _cancel(call, body)
    is_over = job.status is JobStatus.CANCELLED
    return await _answer_job(call, job, HTTPStatus.OK if is_over else HTTPStatus.ACCEPTED)


@route(
    "DELETE /jobs/{job_id}",
    JOBS,
    scope="write",
    body=CancelBody,
    body_example={"reason": "not needed any more"},
    about="It does not wait: `status` is `cancelled`, or `running` while the job stops.",
    replies=[tagged_reply(200, "The job.", examples.JOB_DELETED)],
    errors=[AlreadyFinishedError],
)
async def delete_job(call: Call, body: CancelBody) -> web.Response:
    """Cancel the job, for clients that expect the verb."""
    job = await _cancel(call, body)
    place, children = call.manager.queue_status(job), call.manager.count_children(job)
    document = CancelledJobDocument.of(job, place, call.prefix, children)
    return call.answer(document, headers=job_headers(job, call.manager.tag(job)))


@route(
    "POST /jobs/{job_id}/retry",
    JOBS,
    scope="write",
    body=RetryBody,
    body_example={"from_start": True},
    about="It goes on from its checkpoint unless `from_start` is true. A job whose options "
    "were `removed` is refused: submit it anew.",
    replies=[tagged_reply(202, "It is queued again.", examples.JOB_QUEUED)],
    errors=[InvalidTransitionError, OptionsRemovedError, ProjectBusyError],
)
async def retry_job(call: Call, body: RetryBody) -> web.Response:
    """Queue a failed or cancelled job again."""
    job = await call.load_job()
    job = await call.manager.retry_job(job.job_id, from_start=body.from_start, actor=call.user_id)
    await call.note_act_for(job.user_id, "job_retried", job.job_id)
    return await _answer_job(call, job, HTTPStatus.ACCEPTED)


@route(
    "POST /jobs/{job_id}/start",
    JOBS,
    scope="write",
    replies=[tagged_reply(202, "It is queued.", examples.JOB_QUEUED)],
    errors=[InvalidTransitionError],
)
async def start_job(call: Call) -> web.Response:
    """Release a job that is held, has its time to come, or is in its back-off."""
    job = await call.load_job()
    job = await call.manager.start_job(job.job_id, actor=call.user_id)
    await call.note_act_for(job.user_id, "job_started", job.job_id)
    return await _answer_job(call, job, HTTPStatus.ACCEPTED)


@route(
    "PATCH /jobs/{job_id}",
    JOBS,
    scope="write",
    body=ReviseBody,
    body_example={"priority": 7, "labels": {"origin": "ci"}},
    headers=[_IF_MATCH],
    replies=[tagged_reply(200, "The job with its new values.", examples.JOB_QUEUED)],
    errors=[InvalidTransitionError, VersionMismatchError],
)
async def revise_job(call: Call, body: ReviseBody) -> web.Response:
    """Change the priority or the labels of a job that waits."""
    job = await call.load_job()
    job = await call.manager.revise_job(
        job.job_id,
        priority=body.priority,
        labels=body.labels,
        if_version=_required_version(call.request, job),
        actor=call.user_id,
    )
    await call.note_act_for(job.user_id, "job_revised", job.job_id)
    return await _answer_job(call, job, HTTPStatus.OK)


async def _cancel(call: Call, body: CancelBody) -> Job:
    job = await call.load_job()
    job = await call.manager.cancel_job(job.job_id, body.reason, actor=call.user_id)
    await call.note_act_for(job.user_id, "job_cancelled", job.job_id)
    return job


def _required_version(request: web.Request, job: Job) -> int | None:
    """Return the version that ``If-Match`` asks for; None when any will do."""
    text = request.headers.get("If-Match")
    if text is None:
        return None
    known = read_tags(text)
    if known.is_anything:
        return None
    if job.version not in known.named_versions:
        raise VersionMismatchError(JobId(job.job_id), job.version)
    return job.version


async def _answer_job(call: Call, job: Job, status: int) -> web.Response:
    tries = await load_tries(call, job)
    return call.answer_page(show_job(call, job, call.manager.tag(job), tries=tries), status=status)
