"""The document of the API: valid, complete, and made of what the code says."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from cidx_jobs.web.http.problems import PROBLEMS
from cidx_jobs.web.openapi.document import make_document
from cidx_jobs.web.openapi.errors import example_of
from cidx_jobs.web.openapi.headers import HEADERS
from cidx_jobs.web.routes.table import API_ROUTES, SERVER_ROUTES, list_routes
from cidx_jobs.wire.encode import encode

DOCUMENT = make_document(list_routes("/api", is_own=True))
METHODS = ("get", "post", "patch", "delete")

# What no route of the document answers: there is no route, or it is raised for what comes later.
BESIDE_THE_ROUTES = {"not_found", "method_not_allowed"}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each operation with its method and path."""
    for path, methods in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in methods:
                yield f"{method.upper()} {path}", methods[method]


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference leads to."""
    found: dict[str, Any] = value
    if "$ref" in value:
        found = DOCUMENT
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return found


def misfits(example: Any, schema: dict[str, Any]) -> list[str]:
    """Return what is wrong with an example."""
    validator = OAS31Validator({**schema, "components": DOCUMENT["components"]})
    return [error.message for error in validator.iter_errors(example)]


OPERATION_PARAMETERS = pytest.mark.parametrize(
    "operation", [one for _, one in operations()], ids=[name for name, _ in operations()]
)


@pytest.mark.slow
def test_the_document_is_valid() -> None:
    """By the schema of OpenAPI 3.1, with all references."""
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_every_route_is_described_and_nothing_else() -> None:
    """Each once, by a name of its own."""
    described = {name for name, _ in operations()}

    routes = {route.key.replace(" ", " /api") for route in API_ROUTES}
    routes |= {route.key for route in SERVER_ROUTES} | {"GET /openapi.json", "GET /docs"}
    assert described == routes
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)


def test_every_code_is_described_where_it_can_come() -> None:
    """Each with one example, which is what the server answers."""
    described = {
        code
        for response in DOCUMENT["components"]["responses"].values()
        for code in response["content"]["application/problem+json"]["examples"]
    }

    assert described == PROBLEMS.keys() - BESIDE_THE_ROUTES


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_an_example_of_a_code_is_of_that_code(code: str) -> None:
    """Its status is the table's, and `detail` says something."""
    example = example_of(code)

    assert (example["code"], example["status"]) == (code, PROBLEMS[code].status)
    assert example["detail"]


@OPERATION_PARAMETERS
def test_an_operation_is_described_whole(operation: dict[str, Any]) -> None:
    """Words for it and for all that it takes; an example of each body; its errors."""
    assert operation["summary"].endswith(".")
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert all(resolved(one)["description"] for one in operation["parameters"])
    for status, response in operation["responses"].items():
        whole = resolved(response)
        assert whole["description"]
        assert "X-Request-Id" in whole["headers"]
        for media, content in whole.get("content", {}).items():
            named = operation["operationId"] in {"getDocument", "getPage"}
            assert named or "example" in content or "examples" in content, (status, media)
    assert {"403", "500"} <= operation["responses"].keys()
    proves = operation["operationId"] in {"logIn", "receivePush"}
    assert ("401" in operation["responses"]) is (bool(operation["security"]) or proves)


@OPERATION_PARAMETERS
def test_examples_fit_their_schemas(operation: dict[str, Any]) -> None:
    """Those of parameters, bodies, answers and errors."""
    cases = [
        (one["example"], one["schema"])
        for one in map(resolved, operation["parameters"])
        if "example" in one
    ]
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for holder in (*bodies, *map(resolved, operation["responses"].values())):
        for content in holder.get("content", {}).values():
            examples = [content["example"]] if "example" in content else []
            examples += [one["value"] for one in content.get("examples", {}).values()]
            cases += [(example, content["schema"]) for example in examples]

    assert [misfits(example, schema) for example, schema in cases] == [[] for _ in cases]


def test_every_member_says_what_it_is() -> None:
    """In the `Meta` of its type."""
    silent = [
        f"{name}.{member}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for member, rule in schema.get("properties", {}).items()
        if not rule.get("description")
    ]

    assert silent == []
    assert all(one["description"] for one in DOCUMENT["components"]["schemas"].values())


def test_a_member_brings_its_text_its_range_and_its_form() -> None:
    """All by its type: an answer's is told, a time is one."""
    members = DOCUMENT["components"]["schemas"]["SubmitBody"]["properties"]
    job = DOCUMENT["components"]["schemas"]["ListedJob"]["properties"]

    assert members["priority"]["description"] == ("0 to 9, 9 first; the server's default if null.")
    assert (members["priority"]["minimum"], members["priority"]["maximum"]) == (0, 9)
    assert members["start_at"]["type"] == ["string", "null"]
    assert members["start_at"]["format"] == "date-time"
    assert "default" in members["hold"]
    assert job["done"]["description"].startswith("True once")
    assert job["username"]["description"] == "The same as `user_id`."


def test_a_member_that_may_be_left_out_is_not_required() -> None:
    """An error has its program's output only where a program failed; it has all else."""
    error = DOCUMENT["components"]["schemas"]["Error"]

    assert set(error["properties"]) - set(error["required"]) == {"output"}


def test_every_header_that_is_named_is_described() -> None:
    """Once, with an example."""
    named = {
        name
        for _, operation in operations()
        for response in operation["responses"].values()
        for name in resolved(response)["headers"]
    }

    assert named <= HEADERS.keys()
    assert {"ETag", "Location", "Link", "Retry-After", "Idempotency-Replayed"} <= named


def test_a_document_of_a_part_knows_where_it_stands() -> None:
    """Its paths are the routes' own, below a server that is the place of the whole."""
    document = make_document(list_routes("/v1", is_own=False), mount="/jobs")

    assert document["servers"] == [{"url": "/jobs"}]
    assert "/v1/jobs/{job_id}" in document["paths"]
    assert {"/v1/openapi.json", "/v1/docs"} <= document["paths"].keys()
    assert "/livez" not in document["paths"]


def test_the_document_is_plain_json() -> None:
    """What is encoded is what was made."""
    assert json.loads(encode(DOCUMENT)) == DOCUMENT
