"""Whether the server is alive and ready."""

from aiohttp import web

from cidx_jobs.observe.health import find_reasons
from cidx_jobs.web.errors import NotReadyError
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Group, Reply, route
from cidx_jobs.wire.server import AliveDocument, ReadyDocument

HEALTH = Group("health", "For load balancers and supervisors.")


@route(
    "GET /livez",
    HEALTH,
    scope=None,
    replies=[Reply(200, "It does.", AliveDocument(status="alive"))],
)
async def is_alive(call: Call) -> web.Response:
    """Tell whether the server answers at all."""
    return call.answer(AliveDocument(status="alive"))


@route(
    "GET /readyz",
    HEALTH,
    scope=None,
    replies=[Reply(200, "It does.", ReadyDocument(status="ready", reasons=(), warnings=()))],
    errors=[NotReadyError],
)
async def is_ready(call: Call) -> web.Response:
    """Tell whether the server takes work."""
    jobs = call.api.jobs
    reasons = find_reasons(
        is_open=jobs.is_open,
        is_stopping=jobs.is_stopping,
        is_draining=jobs.is_open and jobs.manager.pauses.draining,
        can_write=jobs.persistence.can_write,
    )
    if reasons:
        raise NotReadyError(reasons)
    warnings = tuple(warning.code for warning in await jobs.find_warnings())
    return call.answer(ReadyDocument(status="ready", reasons=(), warnings=warnings))
