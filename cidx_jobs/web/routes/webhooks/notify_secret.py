"""The secret that signs the notices of a user's jobs."""

from aiohttp import web

from cidx_jobs.model.errors import ExtraMissingError
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.routes.webhooks.push_hooks import SAMPLE_SECRET, WEBHOOKS
from cidx_jobs.wire.projects import NotifySecretDocument


@route(
    "POST /notify-secret",
    WEBHOOKS,
    scope="write",
    about="A submit with `notify` needs it. It is shown this once; made again, the old one "
    "signs nothing any more. Each notice is a POST of `type` (`job.completed`, `job.failed` "
    "or `job.cancelled`), `timestamp` and `data`, the job, signed by Standard Webhooks. What "
    "is answered with 2xx within 10 seconds is told; else it is tried again after 5 seconds, "
    "30 seconds, 5 and 30 minutes, 2, 6, 12 and 24 hours, with the same `webhook-id`.",
    replies=[Reply(201, "The secret.", NotifySecretDocument(secret=SAMPLE_SECRET))],
    errors=[ExtraMissingError],
)
async def create_notify_secret(call: Call) -> web.Response:
    """Make the secret that signs the notices of the caller's jobs."""
    secret = await call.open_jobs.end_notices.make_secret(call.user_id)
    return call.answer(NotifySecretDocument(secret=secret), status=201)
