"""Every route there is, in one table."""

from collections.abc import Sequence
from types import ModuleType

from aiohttp import web
from aiohttp.web_urldispatcher import ResourceRoute

from cidx_jobs.web.http.call import Api
from cidx_jobs.web.http.endpoint import UNMATCHED, Endpoint, Fallback, expect_body
from cidx_jobs.web.http.paths import JobPaths
from cidx_jobs.web.http.relay import Handing
from cidx_jobs.web.http.route import Route, Table
from cidx_jobs.web.routes.access import logins, users
from cidx_jobs.web.routes.admin import backups, cleanup, doctor, limits, log, pauses, stats, tokens
from cidx_jobs.web.routes.cidx import admin_jobs, maintenance, repositories, syncs
from cidx_jobs.web.routes.jobs import changes, events, job_list, job_watch, submit
from cidx_jobs.web.routes.projects import projects, search
from cidx_jobs.web.routes.schedules import schedules
from cidx_jobs.web.routes.server import health, job_types, metrics, queue
from cidx_jobs.web.routes.server.api_description import Reference
from cidx_jobs.web.routes.webhooks import notify_secret, push_hooks, pushes

_OWNERS_PREFIX = "/api"
"""What the owner of a shared directory has its API under."""
# The dot alone stops at a line end, and aiohttp would answer such a path in words of its own.
_REST = "/{rest:(?s:.*)}"

_API_MODULES: Sequence[ModuleType] = (
    submit,
    job_list,
    job_watch,
    changes,
    events,
    queue,
    job_types,
    projects,
    search,
    push_hooks,
    schedules,
    notify_secret,
    doctor,
    stats,
    limits,
    pauses,
    cleanup,
    log,
    backups,
    tokens,
    users,
    syncs,
    repositories,
    admin_jobs,
    maintenance,
)


def _routes_of(*modules: ModuleType) -> Sequence[Route]:
    """Return the routes that the modules declare, in their order."""
    return tuple(
        value for module in modules for value in vars(module).values() if isinstance(value, Route)
    )


API_ROUTES: Sequence[Route] = _routes_of(*_API_MODULES)
"""Below the prefix ``/api``."""

PUSH_ROUTES: Sequence[Route] = _routes_of(pushes)
"""At the root of an application of our own; below the prefix in others."""

SERVER_ROUTES: Sequence[Route] = (*_routes_of(health, metrics, logins), *PUSH_ROUTES)
"""At the root of an application of our own."""


def list_routes(prefix: str, *, is_own: bool) -> Table:
    """Return all routes with their whole paths, those that describe them included.

    Args:
        prefix: what the API's paths begin with.
        is_own: the application is ours alone: it has the server's routes too.
    """
    table = [(prefix + route.path, route) for route in API_ROUTES]
    if is_own:
        table += [(route.path, route) for route in SERVER_ROUTES]
    else:
        table += [(prefix + route.path, route) for route in PUSH_ROUTES]
    return Reference(table, prefix, root="" if is_own else prefix).table


def add_routes(app: web.Application, api: Api, prefix: str, *, is_own: bool) -> web.Resource:
    """Add the routes to the application; return the resource by which the prefix is known later.

    Args:
        app: not started yet.
        api: what the routes work with.
        prefix: what the API's paths begin with.
        is_own: the application is ours alone: it gets the server's routes too, and whatever no
            route takes, in all of it, is ours to answer.
    """
    jobs = JobPaths(f"{prefix}/jobs")
    app.router.register_resource(jobs)
    resources: dict[str, web.Resource] = {jobs.canonical: jobs}
    for path, route in list_routes(prefix, is_own=is_own):
        if path not in resources:
            resources[path] = app.router.add_resource(path)
        _, is_of_one_job, after_id = path.partition(f"{jobs.canonical}/{{job_id}}")
        handing = _handing_of(route, is_own=is_own)
        endpoint = Endpoint(api, route.answer, _scope_of(route, api), path, handing)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            added = _add(resources[path], method, endpoint)
            if is_of_one_job:
                jobs.add_way(after_id, added)
    fallback = Fallback(tuple(resources.values()))
    rest = app.router.add_resource(_REST if is_own else prefix + _REST)
    _add(rest, "*", Endpoint(api, fallback.answer, None, UNMATCHED))
    return jobs


def _handing_of(route: Route, *, is_own: bool) -> Handing | None:
    """Return how a process that does not own the directory hands the route's requests on."""
    if route is health.is_alive:
        return None  # it tells of this process
    if route in PUSH_ROUTES:
        return Handing(base="", max_body_bytes=pushes.MAX_PUSH_BYTES)
    if is_own:
        return Handing(base="")
    # The document describes these routes, and not those of the owner's own application.
    return Handing(base=_OWNERS_PREFIX) if route in API_ROUTES else None


def _scope_of(route: Route, api: Api) -> str | None:
    is_open = route is metrics.get_metrics and api.jobs.settings.metrics_open
    return None if is_open else route.scope


def _add(resource: web.Resource, method: str, endpoint: Endpoint) -> ResourceRoute:
    return resource.add_route(method, endpoint.serve, expect_handler=expect_body)
