"""The paths of jobs are found at once, and are the same ones that aiohttp would find."""

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from cidx_jobs.web.http.paths import JobPaths

JOB_ID = "01932c07-a6d4-7b3e-9c59-6f1a2b3c4d5e"


async def answer(_: web.Request) -> web.Response:
    """Stand for a route."""
    return web.Response()


def make_paths() -> tuple[JobPaths, web.Application]:
    """Give the paths of an application that has a route for one job and for its end."""
    app = web.Application()
    jobs = JobPaths("/api/jobs")
    app.router.register_resource(jobs)
    jobs.add_route("POST", answer)
    for rest in ("", "/cancel"):
        resource = app.router.add_resource("/api/jobs/{job_id}" + rest)
        jobs.add_way(rest, resource.add_route("POST" if rest else "GET", answer))
    return jobs, app


async def test_a_jobs_route_is_the_one_that_was_added_for_it() -> None:
    """Method, and what follows the id, choose the route; the id is its one name."""
    jobs, app = make_paths()
    ordinary = {resource.canonical: resource for resource in app.router.resources()}

    for method, rest in (("GET", ""), ("POST", "/cancel")):
        request = make_mocked_request(method, f"/api/jobs/{JOB_ID}{rest}")
        found, _ = await jobs.resolve(request)
        expected, _ = await ordinary["/api/jobs/{job_id}" + rest].resolve(request)

        assert found is not None
        assert expected is not None
        assert found.route is expected.route
        assert dict(found) == dict(expected) == {"job_id": JOB_ID}


async def test_what_is_no_route_of_a_job_is_left_to_others() -> None:
    """Another method, another end and another id are not found here."""
    jobs, _ = make_paths()

    for method, path in (
        ("PUT", f"/api/jobs/{JOB_ID}"),
        ("GET", f"/api/jobs/{JOB_ID}/"),
        ("GET", f"/api/jobs/{JOB_ID}x"),
        ("POST", f"/api/jobs/{JOB_ID}/cancel/all"),
        ("GET", "/api/jobs/{job_id}"),
        ("GET", "/api/jobs/latest"),
    ):
        assert await jobs.resolve(make_mocked_request(method, path)) == (None, set())


async def test_the_path_of_all_jobs_keeps_its_own_routes() -> None:
    """It is found as before, and says which methods it has."""
    jobs, _ = make_paths()

    found, _ = await jobs.resolve(make_mocked_request("POST", "/api/jobs"))
    missing, allowed = await jobs.resolve(make_mocked_request("PUT", "/api/jobs"))

    assert found is not None
    assert missing is None
    assert allowed == {"POST"}


async def test_mounted_deeper_it_still_finds_them() -> None:
    """A prefix that a host application puts before it changes nothing."""
    jobs, _ = make_paths()

    jobs.add_prefix("/host")
    found, _ = await jobs.resolve(make_mocked_request("GET", f"/host/api/jobs/{JOB_ID}"))

    assert found is not None
    assert found["job_id"] == JOB_ID
