"""Deliveries to push hooks: the one route that takes any body, from whoever can sign it."""

from aiohttp import web

from cidx_jobs.model.errors import (
    DrainingError,
    ExtraMissingError,
    IdempotencyKeyReusedError,
    JobExpiredError,
    QueueFullError,
    SignatureRefusedError,
    StoppingError,
    UnavailableError,
    UserQueueFullError,
    ValidationError,
)
from cidx_jobs.web.errors import (
    BodyTooLargeError,
    RequestTimeoutError,
    UnsupportedMediaTypeError,
)
from cidx_jobs.web.http.body import read_bytes
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.webhooks.push_hooks import WEBHOOKS
from cidx_jobs.wire.projects import PushAnswerDocument
from cidx_jobs.wire.strict_json import MalformedBodyError

MAX_PUSH_BYTES = 25 * 1024 * 1024
"""The largest that a code host sends (GitHub's own bound)."""


@route(
    "POST /hooks/{hook_id}",
    WEBHOOKS,
    scope=None,
    leaves_body=True,
    about="The body is that of GitHub (also as a form), Gitea, Forgejo, GitLab or Bitbucket, "
    'of the cloud or the data center, or `{"ref": "refs/heads/main"}` of any other client, '
    "up to 25 MiB. It needs no token but the signature by the hook's secret, in the first "
    "that is there of `webhook-signature` (Standard Webhooks; `webhook-timestamp` may be 5 "
    "minutes off), `X-Gitea-Signature`, `X-Hub-Signature-256`, `X-Gitlab-Token` and "
    "`X-Hub-Signature` (`sha256=` only). The id that the sender gives a delivery makes a "
    "repeat of it safe for 24 hours.",
    replies=[
        Reply(
            202,
            "A push of the branch of the last good sync: a sync was submitted, or one "
            "that waits serves it.",
            PushAnswerDocument(
                verdict="submitted", reason="a sync was submitted", job_id=examples.JOB_ID
            ),
            headers=("Idempotency-Replayed",),
        ),
        Reply(
            200,
            "Nothing was done, for the reason that is told.",
            PushAnswerDocument(verdict="tag", reason="a tag is no branch", job_id=None),
        ),
    ],
    errors=[
        SignatureRefusedError,
        MalformedBodyError,
        BodyTooLargeError,
        RequestTimeoutError,
        UnsupportedMediaTypeError,
        IdempotencyKeyReusedError,
        JobExpiredError,
        ValidationError,
        UserQueueFullError,
        QueueFullError,
        DrainingError,
        StoppingError,
        UnavailableError,
        ExtraMissingError,
    ],
)
async def receive_push(call: Call) -> web.Response:
    """Take what a code host tells of a repository."""
    request, hooks = call.request, call.open_jobs.push_hooks
    hook = await hooks.find(request.match_info["hook_id"])
    await hooks.refuse_unsigned(hook, request.headers)
    with call.api.large_bodies.place(request):
        body = await read_bytes(request, MAX_PUSH_BYTES)
        verdict = await hooks.receive(hook, request.headers, body)
    document = PushAnswerDocument(
        verdict=verdict.code, reason=verdict.reason, job_id=verdict.job_id
    )
    headers = {"Idempotency-Replayed": "true"} if verdict.is_replayed else None
    return call.answer(document, status=200 if verdict.job_id is None else 202, headers=headers)
