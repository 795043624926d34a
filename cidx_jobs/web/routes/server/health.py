"""Whether the server is alive and ready."""

from aiohttp import web

from cidx_jobs.observe.health import find_reasons
from cidx_jobs.web.errors import NotReadyError
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Contract, Group, Reply, route
from cidx_jobs.wire.server import AliveDocument, ReadyDocument

HEALTH = Group("health", "For load balancers and supervisors.")


@route(
    "GET /livez",
    scope=None,
    contract=Contract(
        name="isAlive",
        group=HEALTH,
        replies=(
            Reply(
                status=200,
                about="It does.",
                document=AliveDocument,
                example=AliveDocument(status="alive"),
            ),
        ),
    ),
)
async def get_livez(call: Call) -> web.Response:
    """Tell whether the server answers at all."""
    return call.answer(AliveDocument(status="alive"))


@route(
    "GET /readyz",
    scope=None,
    contract=Contract(
        name="isReady",
        group=HEALTH,
        replies=(
            Reply(
                status=200,
                about="It does.",
                document=ReadyDocument,
                example=ReadyDocument(status="ready", reasons=(), warnings=()),
            ),
        ),
        errors=(NotReadyError,),
    ),
)
async def get_readyz(call: Call) -> web.Response:
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
