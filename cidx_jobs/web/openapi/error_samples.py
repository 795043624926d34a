"""The errors as the document of the API shows them: one of each code, as it is answered."""

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aiohttp import web

from cidx_jobs.model import errors
from cidx_jobs.model.errors import CidxJobsError, ValidationError
from cidx_jobs.web.http import problems
from cidx_jobs.web.http.problems import STATUSES, make_problem
from cidx_jobs.web.openapi.examples_jobs import JOB_ID, PREFIX, PROJECT_ID
from cidx_jobs.web.openapi.routes.contract import Schema
from cidx_jobs.web.openapi.schemas import refer
from cidx_jobs.wire.problems import CONTENT_TYPE, ProblemDocument
from cidx_jobs.wire.strict_json import MalformedBodyError

_SAMPLES: tuple[CidxJobsError, ...] = (
    errors.RequestError("this is no HTTP request that can be understood"),
    MalformedBodyError("the body is not JSON: Expecting value (character 0)", character=0),
    errors.InvalidParameterError(
        "limit", "it must be a whole number from 1 to 200", minimum=1, maximum=200
    ),
    errors.InvalidCursorError(),
    errors.AuthenticationRequiredError(),
    errors.ForbiddenError("this needs a token with the scope write", scope="write"),
    errors.AdminRequiredError(),
    problems.RouteNotFoundError(),
    errors.JobNotFoundError(JOB_ID),
    errors.ProjectNotFoundError(PROJECT_ID),
    errors.TokenNotFoundError("9f2c4e6a8b0d1f3e"),
    problems.MethodNotAllowedError("PUT", ["GET", "HEAD"]),
    problems.NotAcceptableError(["application/json", "text/event-stream"]),
    problems.RequestTimeoutError(10.0),
    errors.NotIndexedError(PROJECT_ID),
    errors.InvalidTransitionError(job_id=JOB_ID, status="running", event="retry"),
    errors.AlreadyFinishedError(job_id=JOB_ID, status="completed"),
    errors.ProjectBusyError(PROJECT_ID, JOB_ID),
    errors.HistoryExpiredError(1021),
    errors.VersionMismatchError(JOB_ID, 3),
    problems.BodyTooLargeError(65_536),
    problems.UnsupportedMediaTypeError("text/plain"),
    ValidationError.at("/options/branch", "Expected str, got int"),
    errors.UnknownJobTypeError("reindx"),
    errors.IdempotencyKeyReusedError(),
    errors.UserQueueFullError(1_000),
    problems.RateLimitedError(2),
    problems.TooManyStreamsError(),
    CidxJobsError(""),
    errors.ExtraMissingError("metrics"),
    errors.UnavailableError("the server cannot do this now"),
    errors.QueueFullError(100_000),
    errors.DrainingError(),
    errors.StoppingError(),
    problems.NotReadyError(["draining"]),
    problems.TooManyConnectionsError(12_000),
    errors.StorageUnavailableError(),
    errors.OwnerLostError("another server owns the database now"),
    errors.StaleVersionError(JOB_ID, 3),
    errors.StorageFullError(),
)
SAMPLES: Mapping[str, CidxJobsError] = MappingProxyType({one.code: one for one in _SAMPLES})
"""One error of each code that an answer can have."""

_TYPES: Mapping[type, Schema] = MappingProxyType(
    {
        str: {"type": "string"},
        int: {"type": "integer"},
        float: {"type": "number"},
        list: {"type": "array", "items": {"type": "string"}},
    }
)


def describe_errors(codes: Iterable[str]) -> Schema:
    """Give the response of one status: the problem documents with these codes."""
    known = sorted(codes)
    rows = [f"- `{code}`: {STATUSES[code][1]}." for code in known]
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
    """Give the problem document of an error with this code."""
    document: dict[str, Any] = json.loads(_answer(code).text or "")
    return document


def _answer(code: str) -> web.Response:
    return make_problem(SAMPLES[code], f"{PREFIX}/jobs", "a1b2c3d4-1")


def _headers_of(codes: Iterable[str]) -> list[str]:
    """Give what these errors carry in their headers, besides what every answer does."""
    found = {name for code in codes for name in _answer(code).headers}
    return ["X-Request-Id", *sorted(found & {"Allow", "Retry-After", "WWW-Authenticate"})]


def _schema(codes: Sequence[str]) -> Schema:
    """Give the schema of a problem that has one of these codes, with the members of its own."""
    members: dict[str, Schema] = {}
    for code in codes:
        for name, value in SAMPLES[code].members.items():
            members.setdefault(name, _TYPES[type(value)])
    fixed: dict[str, Schema] = {
        "code": {"enum": list(codes)},
        "status": {"const": STATUSES[codes[0]][0]},
    }
    return {"allOf": [refer(ProblemDocument), {"properties": members | fixed}]}
