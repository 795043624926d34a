"""Whether the server is alive and ready."""

from aiohttp import web

from cidx_jobs.observe.health import STARTING, find_reasons
from cidx_jobs.web.errors import NotReadyError
from cidx_jobs.web.http.answer import answer_document
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.endpoint import make_request_id
from cidx_jobs.web.http.problems import make_problem
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


def make_starting_app() -> web.Application:
    """Build an application for the time before the jobs are open.

    It is alive, and says to whoever asks for anything else that the server is starting.
    """
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _say_starting)
    return app


async def _say_starting(request: web.Request) -> web.Response:
    request_id = make_request_id(request)
    if request.path == "/livez":
        answer = answer_document(request, AliveDocument(status="alive"), request_id)
    else:
        answer = make_problem(NotReadyError([STARTING]), request.path, request_id)
    # The next request of this client is one for the server itself.
    answer.force_close()
    return answer
