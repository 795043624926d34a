"""The push hook of a project: made, read, removed by its user."""

from urllib.parse import urlsplit

from aiohttp import web

from cidx_jobs.model.errors import (
    ExtraMissingError,
    PushHookNotFoundError,
)
from cidx_jobs.model.webhooks.push_hook import PushHook
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Group, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.projects.project_path import (
    OfUserQuery,
    ReadOfUserQuery,
    read_project_id,
)
from cidx_jobs.wire.projects import (
    NewPushHookDocument,
    PushDeliveryDocument,
    PushHookDocument,
)

WEBHOOKS = Group(
    "webhooks", "Pushes that a code host tells of, which become syncs; notices of jobs' ends."
)

_URL = "https://jobs.example.com/hooks/Jd8s0qTtq3mZ5cVw1XyB7aKf"
SAMPLE_SECRET = "whsec_" + "c2VjcmV0IG9mIDMyIGJ5dGVzLCBtYWRlIHVwIGhlcmU="
_PUSHED = PushDeliveryDocument(
    at=examples.at(0, 0),
    sender="github",
    kind="push",
    verdict="submitted",
    job_id=examples.JOB_ID,
)


@route(
    "POST /projects/{project_id}/hook",
    WEBHOOKS,
    scope="write",
    query=OfUserQuery,
    about="Give address and secret to the code host. The secret is shown this once; made "
    "again, the address stays, and the old secret is good no longer.",
    replies=[
        Reply(
            201, "Its address and its secret.", NewPushHookDocument(url=_URL, secret=SAMPLE_SECRET)
        )
    ],
    errors=[ExtraMissingError],
)
async def create_push_hook(call: Call, query: OfUserQuery) -> web.Response:
    """Make a push hook for a project, or a new secret for the one that it has."""
    owner, project_id = call.act_for(query.user_id), read_project_id(call)
    made = await call.open_jobs.push_hooks.create(owner, project_id)
    await call.note_act_for(owner, "hook_created", project_id)
    document = NewPushHookDocument(url=_url_of(call, made.hook), secret=made.secret)
    return call.answer(document, status=201)


@route(
    "GET /projects/{project_id}/hook",
    WEBHOOKS,
    scope="read",
    query=ReadOfUserQuery,
    replies=[
        Reply(
            200, "The hook, without its secret.", PushHookDocument(url=_URL, deliveries=(_PUSHED,))
        )
    ],
    errors=[PushHookNotFoundError],
)
async def get_push_hook(call: Call, query: ReadOfUserQuery) -> web.Response:
    """Read the push hook of a project, and what came to it last."""
    hooks = call.open_jobs.push_hooks
    hook = await hooks.get_of(call.act_for(query.user_id), read_project_id(call))
    return call.answer(PushHookDocument.of(_url_of(call, hook), await hooks.list_deliveries(hook)))


@route(
    "DELETE /projects/{project_id}/hook",
    WEBHOOKS,
    scope="write",
    query=OfUserQuery,
    replies=[Reply(204, "It is gone.")],
    errors=[PushHookNotFoundError],
)
async def remove_push_hook(call: Call, query: OfUserQuery) -> web.Response:
    """Remove the push hook of a project: its address is unknown from then on."""
    owner, project_id = call.act_for(query.user_id), read_project_id(call)
    await call.open_jobs.push_hooks.remove(owner, project_id)
    await call.note_act_for(owner, "hook_removed", project_id)
    return call.answer_nothing()


def _url_of(call: Call, hook: PushHook) -> str:
    """Return where the hook is: as the settings say, else as the caller reached us."""
    request, public_url = call.request, call.api.jobs.settings.public_url
    if public_url is None:
        origin = f"{call.api.peers.scheme(request) or request.scheme}://{request.host}"
    else:
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(public_url))
    return f"{origin}{call.outer_prefix}{call.root}/hooks/{hook.hook_id}"
