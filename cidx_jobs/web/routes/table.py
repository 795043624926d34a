"""Every route there is, in one table."""

from collections.abc import Sequence

from aiohttp import web
from aiohttp.web_urldispatcher import ResourceRoute

from cidx_jobs.web.http.call import Api
from cidx_jobs.web.http.endpoint import Endpoint, Fallback, expect_body
from cidx_jobs.web.http.job_paths import JobPaths
from cidx_jobs.web.http.route import Route, Table
from cidx_jobs.web.routes import admin, doctor, events, jobs, projects
from cidx_jobs.web.routes import job_list as lists
from cidx_jobs.web.routes import queue_and_health as service
from cidx_jobs.web.routes.api_description import Reference

_REST = "/{rest:.*}"

API_ROUTES: Sequence[Route] = (
    Route("GET", "/jobs/{job_id}/status", "read", jobs.get_status),
    Route("GET", "/jobs/{job_id}", "read", jobs.get_job),
    Route("POST", "/jobs", "write", jobs.submit),
    Route("POST", "/sync", "write", jobs.sync),
    Route("GET", "/jobs", "read", lists.list_jobs),
    Route("POST", "/jobs/{job_id}/cancel", "write", jobs.cancel),
    Route("DELETE", "/jobs/{job_id}", "write", jobs.delete),
    Route("POST", "/jobs/{job_id}/retry", "write", jobs.retry),
    Route("POST", "/jobs/{job_id}/start", "write", jobs.start),
    Route("PATCH", "/jobs/{job_id}", "write", jobs.revise),
    Route("GET", "/jobs/{job_id}/events", "read", events.list_job_events),
    Route("GET", "/events", "read", events.list_events),
    Route("GET", "/queue", "read", service.get_queue),
    Route("GET", "/job-types", "read", service.list_job_types),
    Route("GET", "/projects", "read", projects.list_projects),
    Route("GET", "/projects/{project_id}", "read", projects.get_project),
    Route("DELETE", "/projects/{project_id}", "write", projects.remove),
    Route("GET", "/projects/{project_id}/search", "read", projects.search),
    Route("GET", "/admin/doctor", "admin", doctor.examine),
    Route("GET", "/admin/stats", "admin", admin.get_stats),
    Route("GET", "/admin/limits", "admin", admin.get_limits),
    Route("PATCH", "/admin/limits", "admin", admin.change_limits),
    Route("POST", "/admin/pause", "admin", admin.pause),
    Route("POST", "/admin/resume", "admin", admin.resume),
    Route("POST", "/admin/drain", "admin", admin.drain),
    Route("DELETE", "/admin/drain", "admin", admin.end_drain),
    Route("POST", "/admin/cleanup", "admin", admin.clean_up),
    Route("GET", "/admin/tokens", "admin", admin.list_tokens),
    Route("POST", "/admin/tokens", "admin", admin.create_token),
    Route("DELETE", "/admin/tokens/{token_id}", "admin", admin.revoke_token),
)
"""Below the prefix ``/api``."""

SERVER_ROUTES: Sequence[Route] = (
    Route("GET", "/livez", None, service.get_livez),
    Route("GET", "/readyz", None, service.get_readyz),
)
"""At the root of an application of our own."""


def list_routes(prefix: str, *, is_own: bool) -> Table:
    """Give all routes with their whole paths, those that describe them included.

    Args:
        prefix: what the API's paths begin with.
        is_own: the application is ours alone: it has the server's routes too.
    """
    table = [(prefix + route.path, route) for route in API_ROUTES]
    if is_own:
        table += [(route.path, route) for route in SERVER_ROUTES]
    return Reference(table, prefix, root="" if is_own else prefix).table


def add_routes(app: web.Application, api: Api, prefix: str, *, is_own: bool) -> web.Resource:
    """Add the routes to the application; give the resource by which the prefix is known later.

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
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            added = _add(resources[path], method, Endpoint(api, route.answer, route.scope))
            if is_of_one_job:
                jobs.add_way(after_id, added)
    fallback = Fallback(tuple(resources.values()))
    rest = app.router.add_resource(_REST if is_own else prefix + _REST)
    _add(rest, "*", Endpoint(api, fallback.answer, None))
    return jobs


def _add(resource: web.Resource, method: str, endpoint: Endpoint) -> ResourceRoute:
    return resource.add_route(method, endpoint.serve, expect_handler=expect_body)
