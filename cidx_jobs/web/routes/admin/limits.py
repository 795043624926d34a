"""The limits of a running server: read and changed."""

from aiohttp import web

from cidx_jobs.engine.operator_rules import apply_limits
from cidx_jobs.model.limits import Limits
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.encode import encode
from cidx_jobs.wire.request_bodies import LimitsBody
from cidx_jobs.wire.server import LimitsDocument


@route(
    "GET /admin/limits", ADMIN, scope="audit", replies=[Reply(200, "The limits.", examples.LIMITS)]
)
async def get_limits(call: Call) -> web.Response:
    """Read the limits in force."""
    return call.answer(LimitsDocument.of(call.manager.limits))


@route(
    "PATCH /admin/limits",
    ADMIN,
    scope="admin",
    body=LimitsBody,
    body_example={"max_running_per_user": 10, "resources": {"git": 5}},
    about="What is not named stays. Lowering a limit ends nothing that runs.",
    replies=[Reply(200, "The limits now.", examples.LIMITS)],
)
async def change_limits(call: Call, body: LimitsBody) -> web.Response:
    """Put other limits in force, and keep them over restarts."""
    wanted = {name: getattr(body, name) for name in Limits.__struct_fields__}
    changes = {name: value for name, value in wanted.items() if value is not None}
    settings = call.api.jobs.settings
    await call.manager.set_controls(limits=lambda now: apply_limits(now, changes, settings))
    await call.note_act("limits_changed", encode(changes).decode())
    return call.answer(LimitsDocument.of(call.manager.limits))
