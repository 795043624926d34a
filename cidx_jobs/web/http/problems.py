"""Errors as answers: problem documents (RFC 9457), and the one table from code to status."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from cidx_jobs.model.errors import (
    AuthenticationRequiredError,
    CidxJobsError,
    RequestError,
    UnavailableError,
    ValidationError,
)
from cidx_jobs.web.http.answer import answer_headers
from cidx_jobs.wire.problems import CONTENT_TYPE, ProblemDocument, encode_problem

STATUSES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "bad_request": (400, "The request cannot be understood"),
        "malformed_body": (400, "The body cannot be read"),
        "invalid_parameter": (400, "A query parameter is wrong"),
        "invalid_cursor": (400, "The cursor is wrong"),
        "authentication_required": (401, "Credentials are required"),
        "forbidden": (403, "This is not allowed"),
        "admin_required": (403, "An administrator is required"),
        "not_found": (404, "There is nothing here"),
        "job_not_found": (404, "There is no such job"),
        "project_not_found": (404, "There is no such project"),
        "token_not_found": (404, "There is no such token"),
        "method_not_allowed": (405, "The method is not allowed here"),
        "not_acceptable": (406, "No acceptable form is available"),
        "request_timeout": (408, "The request took too long"),
        "not_indexed": (409, "The project has no index yet"),
        "invalid_transition": (409, "The job's status does not allow this"),
        "already_finished": (409, "The job has finished already"),
        "project_busy": (409, "The project is busy"),
        "history_expired": (410, "The log no longer reaches back so far"),
        "precondition_failed": (412, "The job is at another version"),
        "body_too_large": (413, "The body is too large"),
        "unsupported_media_type": (415, "The body is of a type that is not taken"),
        "validation_failed": (422, "The request is wrong"),
        "unknown_job_type": (422, "There is no such job type"),
        "idempotency_key_reused": (422, "The idempotency key was used for another request"),
        "user_queue_full": (429, "You have too many waiting jobs"),
        "rate_limited": (429, "You ask too often"),
        "too_many_streams": (429, "You have too many open streams"),
        "internal_error": (500, "The server failed"),
        "extra_missing": (501, "This needs an optional package"),
        "unavailable": (503, "The server cannot do this now"),
        "queue_full": (503, "Too many jobs are waiting"),
        "draining": (503, "The server takes no new jobs"),
        "stopping": (503, "The server is stopping"),
        "not_ready": (503, "The server is not ready"),
        "too_many_connections": (503, "The server has too many connections"),
        "storage_unavailable": (503, "The server cannot write now"),
        "owner_lost": (503, "Another server owns the database"),
        "stale_version": (503, "Too many changes at a time"),
        "storage_full": (507, "The server's disk is full"),
    }
)
"""The status and the title of every code that an answer can have."""


_HIDDEN = 500


class RouteNotFoundError(RequestError):
    """No route has this path."""

    code = "not_found"

    def __init__(self) -> None:
        """Build the one text there is (the path is the problem's `instance`)."""
        super().__init__("there is no route with this path")


class MethodNotAllowedError(RequestError):
    """A route has this path, but not with this method."""

    code = "method_not_allowed"

    def __init__(self, method: str, allowed: Collection[str]) -> None:
        """Name the method that came and those that are there."""
        known = sorted(allowed)
        super().__init__(
            f"{method} is not allowed here: use {', '.join(known)}", method=method, allowed=known
        )


class NotAcceptableError(RequestError):
    """The client takes none of the forms that the answer has."""

    code = "not_acceptable"

    def __init__(self, available: Collection[str]) -> None:
        """Name the forms there are."""
        super().__init__(f"available: {', '.join(available)}", available=list(available))


class RequestTimeoutError(RequestError):
    """The body did not come in time."""

    code = "request_timeout"

    def __init__(self, seconds: float) -> None:
        """Name the time that there was."""
        super().__init__(f"the body did not come within {seconds:g} seconds", seconds=seconds)


class BodyTooLargeError(RequestError):
    """The body is larger than any that makes sense here."""

    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        """Name the limit."""
        super().__init__(f"a body has at most {limit} bytes", limit=limit)


class UnsupportedMediaTypeError(RequestError):
    """The body is not plain JSON in UTF-8."""

    code = "unsupported_media_type"

    def __init__(self, what: str) -> None:
        """Say what it is instead."""
        super().__init__(f"the body must be application/json in UTF-8, not {what}", received=what)


class TooManyStreamsError(UnavailableError):
    """The user, or the server, has as many open streams as there may be."""

    code = "too_many_streams"

    def __init__(self) -> None:
        """Build the one text there is."""
        super().__init__("too many streams are open; poll, or close one", retry_after_seconds=5)


class TooManyConnectionsError(UnavailableError):
    """The server has as many open connections as there may be."""

    code = "too_many_connections"

    def __init__(self, limit: int) -> None:
        """Name the limit."""
        super().__init__(
            f"{limit} connections are open, and no more may be: try again later",
            retry_after_seconds=5,
            limit=limit,
        )


class RateLimitedError(UnavailableError):
    """The user, or the address of somebody unknown, asks more often than they may."""

    code = "rate_limited"

    def __init__(self, wait_seconds: int) -> None:
        """Name the time after which to ask again."""
        super().__init__(
            f"too many requests: ask again in {wait_seconds} seconds",
            retry_after_seconds=wait_seconds,
            wait_seconds=wait_seconds,
        )


class NotReadyError(UnavailableError):
    """The server does not take work now."""

    code = "not_ready"

    def __init__(self, reasons: Collection[str]) -> None:
        """Name the reasons, as codes."""
        super().__init__(
            f"not ready: {', '.join(reasons)}",
            retry_after_seconds=2,
            status="not_ready",
            reasons=list(reasons),
        )


def status_of(error: CidxJobsError) -> int:
    """Give the HTTP status of an error; 500 for one that no caller is meant to see."""
    return STATUSES.get(error.code, (_HIDDEN, ""))[0]


def make_problem(error: CidxJobsError, path: str, request_id: str) -> web.Response:
    """Give the answer that tells of an error.

    An error that no caller is meant to see becomes a 500 which says nothing of it.
    """
    if status_of(error) == _HIDDEN:
        error = CidxJobsError(f"the server failed; its log knows more under {request_id}")
    status, title = STATUSES[error.code]
    problem = ProblemDocument(
        type=f"urn:cidx-jobs:problem:{error.code}",
        title=title,
        status=status,
        detail=error.message,
        code=error.code,
        instance=path,
        request_id=request_id,
    )
    faults = error.faults if isinstance(error, ValidationError) else ()
    headers = answer_headers(CONTENT_TYPE, request_id)
    headers.update(_own_headers(error))
    answer = web.Response(
        body=encode_problem(problem, faults, error.members), status=status, headers=headers
    )
    if isinstance(error, RequestTimeoutError | BodyTooLargeError):
        # What is left of the body is not waited for.
        answer.force_close()
    return answer


def _own_headers(error: CidxJobsError) -> Mapping[str, Any]:
    match error:
        case UnavailableError():
            return {"Retry-After": str(error.retry_after_seconds)}
        case AuthenticationRequiredError():
            return {"WWW-Authenticate": 'Bearer realm="cidx-jobs"'}
        case MethodNotAllowedError():
            return {"Allow": ", ".join(error.members["allowed"])}
        case _ if status_of(error) == web.HTTPServiceUnavailable.status_code:
            return {"Retry-After": "5"}
        case _:
            return {}
