"""The document of the API in OpenAPI 3.1, made from the routes and the types of the documents."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from cidx_jobs import __version__
from cidx_jobs.model.ids import JOB_ID_PATTERN, PROJECT_ID_PATTERN
from cidx_jobs.web.http.answer import answer_headers
from cidx_jobs.web.http.problems import STATUSES
from cidx_jobs.web.http.route import Route, Table
from cidx_jobs.web.openapi.error_samples import describe_errors
from cidx_jobs.web.openapi.examples_jobs import JOB_ID, PROJECT_ID
from cidx_jobs.web.openapi.headers import HEADERS
from cidx_jobs.web.openapi.routes.contract import JSON, Operation, Parameter, Reply, Schema
from cidx_jobs.web.openapi.routes.operations import OPERATIONS
from cidx_jobs.web.openapi.routes.parameters import REQUEST_ID
from cidx_jobs.web.openapi.schemas import make_schemas, refer
from cidx_jobs.wire.encode import Document, decode, encode
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

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "jobs": "Submit, watch and steer jobs.",
        "events": "The transition log, and live streams of it.",
        "queue": "Limits, places in the queue, and job types.",
        "projects": "What is known of projects, and the search of their index.",
        "admin": "For administrators.",
        "health": "For load balancers and supervisors.",
        "reference": "This document.",
    }
)

_IDS: Mapping[str, tuple[str, Schema, str]] = MappingProxyType(
    {
        "job_id": (
            "The job; what is no id names none.",
            {"type": "string", "pattern": f"^{JOB_ID_PATTERN}$"},
            JOB_ID,
        ),
        "project_id": (
            "The project, one of the caller's.",
            {"type": "string", "pattern": f"^{PROJECT_ID_PATTERN}$"},
            PROJECT_ID,
        ),
        "token_id": ("The token's public name.", {"type": "string"}, "9f2c4e6a8b0d1f3e"),
    }
)
_OPEN = frozenset({"bad_request", "forbidden", "internal_error"})
_KNOWN_CALLER = frozenset(
    {
        "authentication_required",
        "rate_limited",
        "stopping",
        "storage_unavailable",
        "too_many_connections",
    }
)
_OF_BODIES = frozenset(
    {
        "malformed_body",
        "request_timeout",
        "body_too_large",
        "unsupported_media_type",
        "validation_failed",
    }
)
_OF_WRITES = frozenset({"owner_lost", "stale_version", "storage_full"})
_PATH_NAME = re.compile(r"\{(\w+)\}")
_STREAMED = (EventDocument, ProgressEventDocument, ResetDocument)


def make_document(table: Table, mount: str = "") -> dict[str, Any]:
    """Give the whole document.

    Args:
        table: what there is.
        mount: what the paths begin with for clients, where the application is part of another.
    """
    described = [(path, route, OPERATIONS[route.key]) for path, route in table]
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    answers: dict[str, Schema] = {}
    for path, route, operation in described:
        paths[path][route.method.lower()] = _operation(path, route, operation, answers)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": _info(),
        "tags": [{"name": name, "description": about} for name, about in GROUPS.items()],
        "paths": {path: _in_order(methods) for path, methods in sorted(paths.items())},
        "components": {
            "schemas": make_schemas(_documents(operation for _, _, operation in described)),
            "responses": dict(sorted(answers.items())),
            "parameters": {REQUEST_ID.name: _parameter(REQUEST_ID)},
            "headers": _headers(),
            "securitySchemes": {"bearer": _security()},
        },
    }
    if mount:
        document["servers"] = [{"url": mount}]
    # Plain JSON values: what reads it need not know of ours.
    return decode(encode(document), dict)


def codes_of(route: Route, operation: Operation) -> frozenset[str]:
    """Give the codes of all errors that the route can answer with."""
    codes = _OPEN | set(operation.errors)
    if route.scope is not None:
        codes |= _KNOWN_CALLER
    if route.scope == "admin":
        codes |= {"admin_required"}
    if operation.is_strict:
        codes |= {"invalid_parameter"}
    if operation.body is not None:
        codes |= _OF_BODIES
    if route.method != "GET":
        codes |= _OF_WRITES
    return codes


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
            "it; an operation names the one that it needs. A server with `auth = none`, which "
            "only this machine can call, asks for no token."
        ),
    }


def _in_order(methods: Mapping[str, Any]) -> dict[str, Any]:
    order = ("get", "post", "patch", "delete")
    return {method: methods[method] for method in order if method in methods}


def _operation(
    path: str, route: Route, operation: Operation, answers: dict[str, Schema]
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.group],
        "summary": operation.summary,
    }
    if operation.about:
        made["description"] = operation.about
    made["security"] = [] if route.scope is None else [{"bearer": [route.scope]}]
    made["parameters"] = [
        *map(_path_parameter, _PATH_NAME.findall(path)),
        *map(_parameter, operation.parameters),
        {"$ref": f"#/components/parameters/{REQUEST_ID.name}"},
    ]
    if operation.body is not None:
        made["requestBody"] = {
            "required": operation.body_is_required,
            "content": {
                JSON: {"schema": refer(operation.body), "example": operation.body_example}
            },
        }
    made["responses"] = {
        **{str(reply.status): _reply(reply) for reply in operation.replies},
        **_refusals(codes_of(route, operation), answers),
    }
    return made


def _path_parameter(name: str) -> dict[str, Any]:
    about, schema, example = _IDS[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": about,
        "schema": schema,
        "example": example,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.about,
        "schema": parameter.schema,
    }
    if parameter.is_required:
        made["required"] = True
    if parameter.example is not None:
        made["example"] = parameter.example
    return made


def _reply(reply: Reply) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": reply.about,
        "headers": {
            name: {"$ref": f"#/components/headers/{name}"}
            for name in sorted({*_shared_headers(), *reply.headers})
        },
    }
    content: dict[str, Any] = {}
    if reply.document is not None:
        content[JSON] = {
            "schema": refer(reply.document),
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
    """Give the responses of these errors by status; each set of them is described once."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in sorted(codes):
        by_status[STATUSES[code][0]].append(code)
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


def _documents(operations: Iterable[Operation]) -> list[type[Document]]:
    kinds: set[type[Document]] = {ProblemDocument, *_STREAMED}
    for operation in operations:
        kinds |= {reply.document for reply in operation.replies if reply.document is not None}
        if operation.body is not None:
            kinds.add(operation.body)
    return sorted(kinds, key=lambda kind: kind.__name__)
