"""The push hook of a project: made, read, removed by its user."""

from typing import Annotated
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Meta

from cidx_jobs.engine.webhooks.push_hooks import PushHooks
from cidx_jobs.model.errors import (
    ExtraMissingError,
    PushHookNotFoundError,
    StoppingError,
)
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.webhooks.push_hook import PushHook
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Group, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.projects.project_path import read_project_id
from cidx_jobs.wire.projects import (
    NewPushHookDocument,
    PushDeliveryDocument,
    PushHookDocument,
)
from cidx_jobs.wire.request_bodies import EmptyBody

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


class OwnerQuery(Query, frozen=True, kw_only=True):
    """Whose project it is."""

    user_id: Annotated[
        str | None,
        Meta(
            description="Another user's project: for administrators, and to read for auditors.",
            examples=["alice"],
        ),
    ] = None


@route(
    "POST /projects/{project_id}/hook",
    WEBHOOKS,
    scope="write",
    query=OwnerQuery,
    body=EmptyBody,
    about="Give address and secret to the code host. The secret is shown this once; made "
    "again, the address stays, and the old secret is good no longer.",
    replies=[
        Reply(
            201, "Its address and its secret.", NewPushHookDocument(url=_URL, secret=SAMPLE_SECRET)
        )
    ],
    errors=[ExtraMissingError],
)
async def create_push_hook(call: Call, query: OwnerQuery, _: EmptyBody) -> web.Response:
    """Make a push hook for a project, or a new secret for the one that it has."""
    owner, project_id = _owner(call, query), read_project_id(call)
    made = await _hooks(call).create(owner, project_id)
    await _note_act(call, "hook_created", owner, project_id)
    document = NewPushHookDocument(url=_url_of(call, made.hook), secret=made.secret)
    return call.answer(document, status=201)


@route(
    "GET /projects/{project_id}/hook",
    WEBHOOKS,
    scope="read",
    query=OwnerQuery,
    replies=[
        Reply(
            200, "The hook, without its secret.", PushHookDocument(url=_URL, deliveries=(_PUSHED,))
        )
    ],
    errors=[PushHookNotFoundError],
)
async def get_push_hook(call: Call, query: OwnerQuery) -> web.Response:
    """Read the push hook of a project, and what came to it last."""
    hooks = _hooks(call)
    hook = await hooks.get_of(_owner(call, query), read_project_id(call))
    return call.answer(PushHookDocument.of(_url_of(call, hook), await hooks.list_deliveries(hook)))


@route(
    "DELETE /projects/{project_id}/hook",
    WEBHOOKS,
    scope="write",
    query=OwnerQuery,
    body=EmptyBody,
    replies=[Reply(204, "It is gone.")],
    errors=[PushHookNotFoundError],
)
async def remove_push_hook(call: Call, query: OwnerQuery, _: EmptyBody) -> web.Response:
    """Remove the push hook of a project: its address is unknown from then on."""
    owner, project_id = _owner(call, query), read_project_id(call)
    await _hooks(call).remove(owner, project_id)
    await _note_act(call, "hook_removed", owner, project_id)
    return call.answer_nothing()


def _hooks(call: Call) -> PushHooks:
    if not call.api.jobs.is_open:
        raise StoppingError
    return call.api.jobs.push_hooks


def _owner(call: Call, query: OwnerQuery) -> UserId:
    reads = call.request.method in {"GET", "HEAD"}
    return call.act_for(query.user_id, "audit" if reads else "admin")


async def _note_act(call: Call, action: str, owner: UserId, project_id: ProjectId) -> None:
    if owner != call.user_id:
        await call.note_act(action, f"{project_id} of {owner}")


def _url_of(call: Call, hook: PushHook) -> str:
    """Return where the hook is: as the settings say, else as the caller reached us."""
    request, public_url = call.request, call.api.jobs.settings.public_url
    if public_url is None:
        origin = f"{call.api.peers.scheme(request) or request.scheme}://{request.host}"
    else:
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(public_url))
    return f"{origin}{call.outer_prefix}{call.root}/hooks/{hook.hook_id}"
