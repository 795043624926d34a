"""The limits of a running server: read and changed."""

from aiohttp import web

from cidx_jobs.engine.operator_rules import apply_limits
from cidx_jobs.model.limits import Limits
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Contract, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.encode import encode
from cidx_jobs.wire.request_bodies import LimitsBody
from cidx_jobs.wire.server import LimitsDocument


def _reply(about: str) -> Reply:
    return Reply(status=200, about=about, document=LimitsDocument, example=examples.LIMITS)


@route(
    "GET /admin/limits",
    scope="audit",
    contract=Contract(
        name="getLimits",
        group=ADMIN,
        replies=(_reply("The limits."),),
    ),
)
async def get_limits(call: Call) -> web.Response:
    """Read the limits in force."""
    return call.answer(LimitsDocument.of(call.manager.limits))


@route(
    "PATCH /admin/limits",
    scope="admin",
    body=LimitsBody,
    contract=Contract(
        name="changeLimits",
        group=ADMIN,
        about="What is not named stays. Lowering a limit ends nothing that runs.",
        body_example={"max_running_per_user": 10, "resources": {"git": 5}},
        replies=(_reply("The limits now."),),
    ),
)
async def change_limits(call: Call, body: LimitsBody) -> web.Response:
    """Put other limits in force, and keep them over restarts."""
    wanted = {name: getattr(body, name) for name in Limits.__struct_fields__}
    changes = {name: value for name, value in wanted.items() if value is not None}
    settings = call.api.jobs.settings
    await call.manager.set_controls(limits=lambda now: apply_limits(now, changes, settings))
    await call.note_act("limits_changed", encode(changes).decode())
    return call.answer(LimitsDocument.of(call.manager.limits))
