"""The errors as the document of the API shows them: one of each code, as it is answered."""

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aiohttp import web

from cidx_jobs.web.http.problems import PROBLEMS, make_problem
from cidx_jobs.web.http.route import Schema
from cidx_jobs.web.openapi.examples import PREFIX
from cidx_jobs.web.openapi.schemas import refer
from cidx_jobs.wire.problems import CONTENT_TYPE, ProblemDocument

_TYPES: Mapping[type, Schema] = MappingProxyType(
    {
        str: {"type": "string"},
        int: {"type": "integer"},
        float: {"type": "number"},
        list: {"type": "array", "items": {"type": "string"}},
    }
)


def describe_errors(codes: Iterable[str]) -> Schema:
    """Return the response of one status: the problem documents with these codes."""
    known = sorted(codes)
    rows = [f"- `{code}`: {PROBLEMS[code].title}." for code in known]
    return {
        "description": "\n".join(rows),
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _headers_of(known)},
        "content": {
            CONTENT_TYPE: {
                "schema": _schema(known),
                "examples": {code: {"value": example_of(code)} for code in known},
            }
        },
    }


def example_of(code: str) -> dict[str, Any]:
    """Return the problem document of an error with this code."""
    document: dict[str, Any] = json.loads(_answer(code).text or "")
    return document


def _answer(code: str) -> web.Response:
    return make_problem(PROBLEMS[code].sample, f"{PREFIX}/jobs", "a1b2c3d4-1")


def _headers_of(codes: Iterable[str]) -> list[str]:
    """Return what these errors carry in their headers, besides what every answer does."""
    found = {name for code in codes for name in _answer(code).headers}
    return ["X-Request-Id", *sorted(found & {"Allow", "Retry-After", "WWW-Authenticate"})]


def _schema(codes: Sequence[str]) -> Schema:
    """Return the schema of a problem that has one of these codes, with the members of its own."""
    members: dict[str, Schema] = {}
    for code in codes:
        for name, value in PROBLEMS[code].sample.members.items():
            members.setdefault(name, _TYPES[type(value)])
    fixed: dict[str, Schema] = {
        "code": {"enum": list(codes)},
        "status": {"const": PROBLEMS[codes[0]].status},
    }
    return {"allOf": [refer(ProblemDocument), {"properties": members | fixed}]}
