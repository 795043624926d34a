"""The document of the API in OpenAPI 3.1, made from the routes and the types of the documents."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cidx_jobs import __version__
from cidx_jobs.job_types import JobType
from cidx_jobs.web.http.answer import answer_headers
from cidx_jobs.web.http.paths import PathPart, list_parts
from cidx_jobs.web.http.problems import PROBLEMS
from cidx_jobs.web.http.route import JSON, Group, Header, Reply, Route, Schema, Table
from cidx_jobs.web.openapi.errors import describe_errors
from cidx_jobs.web.openapi.headers import HEADERS
from cidx_jobs.web.openapi.schemas import (
    PLACE,
    Kind,
    describe_query,
    make_schemas,
    refer,
    settle_schema,
)
from cidx_jobs.wire.encode import decode, encode
from cidx_jobs.wire.events import EventDocument, ProgressEventDocument, ResetDocument
from cidx_jobs.wire.problems import ProblemDocument

ABOUT = """Background jobs with durable state, fair limits and live progress.

Bodies and answers are JSON in UTF-8. Times are RFC 3339 in UTC, durations are seconds, and
clients ignore members that they do not know. No body is the same as `{}`.

Errors are problem documents (RFC 9457). Their `code` is stable; every value that `detail` names
is a member, too. Every answer carries `X-Request-Id`, which finds the request in the server's
log, and the headers that protect its reader. Another user's job reads like one that is not
there.

Every GET can be a HEAD: it never waits. What no route takes is 404 `not_found`, and a method
that a path has not is 405 `method_not_allowed` with `Allow`."""

_STREAMED = (EventDocument, ProgressEventDocument, ResetDocument)
_METHODS = ("get", "post", "patch", "delete")
_REQUEST_ID = Header(
    name="X-Request-Id",
    about="Names the request in the answer and in the server's log; a name that is not harmless "
    "is replaced.",
    example="build-1744",
)


def make_document(
    table: Table, mount: str = "", job_types: Sequence[JobType] = ()
) -> dict[str, Any]:
    """Return the whole document.

    Args:
        table: what there is.
        mount: what the paths begin with for clients, where the application is part of another.
        job_types: those whose options and results are shown: `x-job-types` names their schemas.
    """
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    answers: dict[str, Schema] = {}
    for path, route in table:
        paths[path][route.method.lower()] = _operation(route, answers)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": _info(),
        "tags": [{"name": one.name, "description": one.about} for one in _groups(table)],
        "paths": {path: _in_order(methods) for path, methods in sorted(paths.items())},
        "components": {
            "schemas": make_schemas(_documents(route for _, route in table))
            | {name: schema for each in job_types for name, schema in _values_of(each)},
            "responses": dict(sorted(answers.items())),
            "parameters": {_REQUEST_ID.name: _parameter(_REQUEST_ID, {"in": "header"})},
            "headers": _headers(),
            "securitySchemes": {"bearer": _security()},
        },
    }
    if job_types:
        document["x-job-types"] = {
            each.name: {
                part: {"$ref": f"{PLACE}{each.name}.{part}"} for part in ("options", "result")
            }
            for each in job_types
        }
    if mount:
        document["servers"] = [{"url": mount}]
    # Plain JSON values: what reads it need not know of ours.
    return decode(encode(document), dict)


def _values_of(job_type: JobType) -> Iterable[tuple[str, Schema]]:
    """Return the schemas of what the type takes and gives, each with its name."""
    for part, schema in (
        ("options", job_type.describe_options()),
        ("result", job_type.describe_result()),
    ):
        name = f"{job_type.name}.{part}"
        about = {"title": name, "description": f"The {part} of `{job_type.name}`."}
        yield name, settle_schema({**about, **_unfolded(schema)}, name)


def _unfolded(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema that is no more than a reference to one of its own parts as that part."""
    place = str(schema.get("$ref", ""))
    known = schema.get("$defs", {})
    part = known.get(place.removeprefix("#/$defs/"), {})
    return {**part, "$defs": known} if part else schema


def _groups(table: Table) -> Iterable[Group]:
    """Return the chapters, in the order in which the table comes to them."""
    return dict.fromkeys(route.group for _, route in table)


def _info() -> dict[str, Any]:
    return {
        "title": "cidx_jobs",
        "version": __version__,
        "description": ABOUT,
        "license": {"name": "MIT", "identifier": "MIT"},
    }


def _security() -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": "bearer",
        "description": (
            "An access token. Its scope is `read`, `write` or `admin`, each with those before "
            "it, or `audit`, which is `read` of everybody's, but no code; an operation names "
            "the one that it needs. A server with `auth = none`, which "
            "only this machine can call, asks for no token."
        ),
    }


def _in_order(methods: Mapping[str, Any]) -> dict[str, Any]:
    return {method: methods[method] for method in _METHODS if method in methods}


def _operation(route: Route, answers: dict[str, Schema]) -> dict[str, Any]:
    contract = route.contract
    made: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.group.name],
        "summary": route.summary,
    }
    if "about" in contract:
        made["description"] = contract["about"]
    made["security"] = [] if route.scope is None else [{"bearer": [route.scope]}]
    made["parameters"] = [*_parameters(route)]
    if route.body is not None:
        made["requestBody"] = {
            "required": route.body_is_required,
            "content": {
                JSON: {"schema": refer(route.body), "example": contract.get("body_example", {})}
            },
        }
    made["responses"] = {
        **{str(reply.status): _reply(reply) for reply in contract["replies"]},
        **_refusals((error.code for error in route.errors), answers),
    }
    return made


def _parameters(route: Route) -> Iterable[dict[str, Any]]:
    for part in list_parts(route.path):
        yield _parameter(part, {"in": "path", "required": True})
    yield from describe_query(route.query)
    for header in route.contract.get("headers", ()):
        yield _parameter(header, {"in": "header"})
    yield {"$ref": f"#/components/parameters/{_REQUEST_ID.name}"}


def _parameter(one: PathPart | Header, place: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "string"}
    if one.pattern is not None:
        schema["pattern"] = f"^{one.pattern}$"
    return {
        "name": one.name,
        **place,
        "description": one.about,
        "schema": schema,
        "example": one.example,
    }


def _reply(reply: Reply) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": reply.about,
        "headers": {
            name: {"$ref": f"#/components/headers/{name}"}
            for name in sorted({*_shared_headers(), *reply.headers})
        },
    }
    content: dict[str, Any] = {}
    if reply.example is not None:
        content[JSON] = {
            "schema": refer(type(reply.example)),
            "example": decode(encode(reply.example), dict),
        }
    for media, (schema, example) in reply.media.items():
        content[media] = {"schema": schema}
        if example is not None:
            content[media]["example"] = example
    if content:
        made["content"] = content
    return made


def _refusals(codes: Iterable[str], answers: dict[str, Schema]) -> dict[str, Schema]:
    """Return the responses of these errors by status; each set of them is described once."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in sorted(codes):
        by_status[PROBLEMS[code].status].append(code)
    made: dict[str, Schema] = {}
    for status, known in sorted(by_status.items()):
        name = f"{status}.{'.'.join(known)}"
        if name not in answers:
            answers[name] = describe_errors(known)
        made[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return made


def _headers() -> dict[str, Any]:
    return {
        name: {"description": about, "schema": {"type": "string"}, "example": example}
        for name, (about, example) in HEADERS.items()
    }


def _shared_headers() -> set[str]:
    always = set(answer_headers("", ""))
    return (always | {"RateLimit", "RateLimit-Policy"}) & set(HEADERS)


def _documents(routes: Iterable[Route]) -> list[Kind]:
    kinds: set[Kind] = {ProblemDocument, *_STREAMED}
    for route in routes:
        examples = (reply.example for reply in route.contract["replies"])
        kinds |= {type(example) for example in examples if example is not None}
        kinds |= set(route.contract.get("documents", ()))
        if route.body is not None:
            kinds.add(route.body)
    return sorted(kinds, key=lambda kind: kind.__name__)
