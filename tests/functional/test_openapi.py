"""The document of the API and its page, as a server gives them."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from cidx_jobs.web.app import create_app, setup
from cidx_jobs.web.openapi.document import make_document
from cidx_jobs.web.routes.table import list_routes
from tests.functional.web import NO_JOB, SECURITY_HEADERS, AioClient, House

# A value of each parameter's type that is a good one, where the example is not enough.
GOOD = {"job_type": "quick", "project_id": "p", "user_id": "alice", "cursor": None}


def good_value(parameter: dict[str, Any]) -> Any:
    """Return a value that the server takes for a parameter of the document."""
    name, schema = parameter["name"], parameter["schema"]
    if name in GOOD:
        return GOOD[name]
    if "example" in parameter:
        value = parameter["example"]
        return ("true" if value else "false") if isinstance(value, bool) else value
    if schema.get("format") == "date-time":
        return "2026-01-31T12:00:00Z"
    return schema.get("default")


async def test_the_document_is_open_to_everybody(house: House) -> None:
    """It is the one that the documentation stores, safely answered."""
    answer = await house.ask("GET", "/openapi.json", user=None)

    assert (answer.status, answer.content_type) == (200, "application/json")
    types = [house.jobs.job_types[name] for name in sorted(house.jobs.job_types)]
    routes = list_routes("/api", is_own=True)
    assert await answer.json() == make_document(routes, job_types=types)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value


async def test_the_page_needs_nothing_and_runs_nothing(house: House) -> None:
    """No script, nothing from elsewhere; its policy allows its own style alone."""
    answer = await house.ask("GET", "/docs", user=None)
    page = await answer.text()

    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert not re.search(r"<(script|link|img|iframe|form|object)\b", page)
    assert not re.search(r"\s(on\w+|style)=", page)
    links = set(re.findall(r'(?:href|src)="([^"]*)"', page))
    assert {link for link in links if not link.startswith("#")} == {"openapi.json"}


async def test_the_page_shows_every_operation_and_document(house: House) -> None:
    """And every link on it leads somewhere on it."""
    page = await (await house.ask("GET", "/docs", user=None)).text()

    places = set(re.findall(r'\sid="([^"]*)"', page))
    links = {link[1:] for link in re.findall(r'href="(#[^"]*)"', page)}
    assert {route.name for _, route in list_routes("/api", is_own=True)} <= places
    assert links <= places
    assert {"schema-Job", "schema-SubmitBody", "schema-Problem"} <= places


async def test_a_head_of_the_document_has_no_body(house: House) -> None:
    """As with every GET."""
    answer = await house.ask("HEAD", "/openapi.json", user=None)

    assert (answer.status, await answer.read()) == (200, b"")


async def test_every_documented_parameter_is_known(house: House) -> None:
    """Each is taken by its route; that others are not is tested with the errors."""
    document = make_document(list_routes("/api", is_own=True))
    job = await house.submit_ended()
    ids = {"job_id": job.job_id, "project_id": "none", "token_id": "none"}
    ids |= {"user_id": "none", "alias": "none", "name": "none"}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation["parameters"]:
                if parameter.get("in") != "query" or good_value(parameter) is None:
                    continue
                values = good_value(parameter)
                query = [
                    (
                        parameter["name"],
                        str(value).lower() if isinstance(value, bool) else str(value),
                    )
                    for value in (values if isinstance(values, list) else [values])
                ]
                if parameter["name"] != "q" and path.endswith("/search"):
                    query.append(("q", "some text"))

                answer = await house.ask(
                    method.upper(), path.format(**ids), user="root", params=query
                )

                assert answer.status in {200, 204, 404}, (path, query, await answer.text())


def system(data_dir: Path) -> JobSystem:
    """Return a system that nobody has opened yet."""
    settings = Settings(data_dir=data_dir, auth="none", shutdown_grace_seconds=0)
    return JobSystem(settings, persistence=MemoryPersistence())


async def ask(client: Any, path: str) -> Any:
    """Return the document at a path."""
    answer: aiohttp.ClientResponse = await client.get(path)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_in_a_host_application_it_stands_below_the_prefix(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """The host's own paths stay the host's; the document has the prefix in its paths."""
    app = web.Application()
    setup(app, system(tmp_path), prefix="/v1")
    client = await aiohttp_client(app)

    document = await ask(client, "/v1/openapi.json")

    assert "/v1/jobs" in document["paths"]
    assert "servers" not in document
    assert (await client.get("/v1/docs")).status == 200
    assert (await client.get("/openapi.json")).status == 404


async def test_mounted_it_says_where_its_server_is(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """What the document says together is where the routes are."""
    app = web.Application()
    app.add_subapp("/jobs", create_app(system(tmp_path)))
    client = await aiohttp_client(app)

    document = await ask(client, "/jobs/openapi.json")

    (server,) = document["servers"]
    path = server["url"] + f"/api/jobs/{NO_JOB}"
    assert (server["url"], "/api/jobs/{job_id}" in document["paths"]) == ("/jobs", True)
    answer = await client.get(path)
    assert (answer.status, (await answer.json())["code"]) == (404, "job_not_found")


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_it_takes_no_parameters(house: House, path: str) -> None:
    """Like every route that has none."""
    answer = await house.ask("GET", f"{path}?format=yaml", user=None)

    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_parameter")
