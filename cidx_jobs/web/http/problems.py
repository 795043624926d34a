"""Errors as answers: problem documents (RFC 9457), and the one table from code to status."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from aiohttp import web

from cidx_jobs.model import errors
from cidx_jobs.model.errors import CidxJobsError, UnavailableError, ValidationError
from cidx_jobs.model.ids import JobId, ProjectId
from cidx_jobs.web import errors as of_http
from cidx_jobs.web.http.answer import answer_headers
from cidx_jobs.wire.problems import CONTENT_TYPE, ProblemDocument, encode_problem
from cidx_jobs.wire.strict_json import MalformedBodyError

SAMPLE_JOB_ID = JobId("019a5c1e-7c00-7000-8000-0123456789ab")
SAMPLE_PROJECT_ID = ProjectId("code-indexer")


class Problem(msgspec.Struct, frozen=True):
    """How the errors of one code are answered."""

    status: int
    title: str
    sample: CidxJobsError
    """Made up, as the document of the API shows it."""


_ROWS = (
    Problem(
        400,
        "The request cannot be understood",
        errors.RequestError("this is no HTTP request that can be understood"),
    ),
    Problem(
        400,
        "The body cannot be read",
        MalformedBodyError("the body is not JSON: Expecting value (character 0)", character=0),
    ),
    Problem(
        400,
        "A query parameter is wrong",
        errors.InvalidParameterError(
            "limit", "it must be a whole number from 1 to 200", minimum=1, maximum=200
        ),
    ),
    Problem(400, "The cursor is wrong", errors.InvalidCursorError()),
    Problem(401, "Credentials are required", errors.AuthenticationRequiredError()),
    Problem(401, "The login is refused", errors.InvalidCredentialsError()),
    Problem(
        401,
        "The delivery is not signed",
        errors.SignatureRefusedError(["webhook-signature", "X-Hub-Signature-256"]),
    ),
    Problem(
        403,
        "This is not allowed",
        errors.ForbiddenError("this needs a token with the scope write", scope="write"),
    ),
    Problem(403, "An administrator is required", errors.AdminRequiredError()),
    Problem(404, "There is nothing here", of_http.RouteNotFoundError()),
    Problem(404, "There is no such job", errors.JobNotFoundError(SAMPLE_JOB_ID)),
    Problem(404, "There is no such project", errors.ProjectNotFoundError(SAMPLE_PROJECT_ID)),
    Problem(404, "There is no such push hook", errors.PushHookNotFoundError()),
    Problem(404, "There is no such token", errors.TokenNotFoundError("9f2c4e6a8b0d1f3e")),
    Problem(404, "There is no such schedule", errors.ScheduleNotFoundError("nightly")),
    Problem(404, "There is no such user", errors.UserNotFoundError("alice")),
    Problem(
        405,
        "The method is not allowed here",
        of_http.MethodNotAllowedError("PUT", ["GET", "HEAD"]),
    ),
    Problem(
        406,
        "No acceptable form is available",
        of_http.NotAcceptableError(["application/json", "text/event-stream"]),
    ),
    Problem(408, "The request took too long", of_http.RequestTimeoutError(10.0)),
    Problem(409, "The project has no index yet", errors.NotIndexedError(SAMPLE_PROJECT_ID)),
    Problem(409, "The index is damaged", errors.IndexDamagedError(SAMPLE_PROJECT_ID)),
    Problem(
        409,
        "The job's status does not allow this",
        errors.InvalidTransitionError(job_id=SAMPLE_JOB_ID, status="running", event="retry"),
    ),
    Problem(
        409,
        "The job has finished already",
        errors.AlreadyFinishedError(job_id=SAMPLE_JOB_ID, status="completed"),
    ),
    Problem(
        409,
        "The job's options are no longer kept",
        errors.OptionsRemovedError(SAMPLE_JOB_ID),
    ),
    Problem(409, "The project is busy", errors.ProjectBusyError(SAMPLE_PROJECT_ID, SAMPLE_JOB_ID)),
    Problem(409, "The schedule exists already", errors.ScheduleExistsError("nightly")),
    Problem(
        409,
        "The schedule stands in the application's code",
        errors.ScheduleDeclaredError("nightly"),
    ),
    Problem(409, "The user has an account already", errors.UserExistsError("alice")),
    Problem(410, "The log no longer reaches back so far", errors.HistoryExpiredError(1021)),
    Problem(410, "The job of this request was deleted", errors.JobExpiredError(SAMPLE_JOB_ID)),
    Problem(412, "The job is at another version", errors.VersionMismatchError(SAMPLE_JOB_ID, 3)),
    Problem(413, "The body is too large", of_http.BodyTooLargeError(65_536)),
    Problem(
        415,
        "The body is of a type that is not taken",
        of_http.UnsupportedMediaTypeError("text/plain"),
    ),
    Problem(
        422,
        "The request is wrong",
        ValidationError.at("/options/branch", "Expected str, got int"),
    ),
    Problem(422, "You have too many schedules", errors.TooManySchedulesError(1_000)),
    Problem(422, "There is no such job type", errors.UnknownJobTypeError("reindx")),
    Problem(
        422,
        "The idempotency key was used for another request",
        errors.IdempotencyKeyReusedError(),
    ),
    Problem(429, "You have too many waiting jobs", errors.UserQueueFullError(1_000)),
    Problem(
        429, "Your jobs take too much room", errors.UserStorageFullError(2**30, 1_073_741_000)
    ),
    Problem(429, "Too many logins were refused", errors.TooManyLoginsError(42)),
    Problem(429, "You ask too often", of_http.RateLimitedError(2)),
    Problem(429, "You have too many open streams", of_http.TooManyStreamsError()),
    Problem(500, "The server failed", CidxJobsError("")),
    Problem(501, "This needs an optional package", errors.ExtraMissingError("metrics")),
    Problem(
        503,
        "The server cannot do this now",
        UnavailableError("the server cannot do this now"),
    ),
    Problem(503, "Too many jobs are waiting", errors.QueueFullError(100_000)),
    Problem(503, "The server takes no new jobs", errors.DrainingError()),
    Problem(503, "The server is stopping", errors.StoppingError()),
    Problem(503, "The server is not ready", of_http.NotReadyError(["draining"])),
    Problem(
        503,
        "The server has too many connections",
        of_http.TooManyConnectionsError(12_000),
    ),
    Problem(
        503,
        "The backup failed",
        errors.BackupFailedError("the backup could not be written: i/o error"),
    ),
    Problem(503, "The server cannot write now", errors.StorageUnavailableError()),
    Problem(
        503,
        "Another server owns the database",
        errors.OwnerLostError("another server owns the database now"),
    ),
    Problem(503, "Too many changes at a time", errors.StaleVersionError(SAMPLE_JOB_ID, 3)),
    Problem(507, "The server's disk is full", errors.StorageFullError()),
)
PROBLEMS: Mapping[str, Problem] = MappingProxyType({row.sample.code: row for row in _ROWS})
"""Every code that an answer can have. An error without a row is one that no caller may see."""

_HIDDEN = 500


def status_of(error: CidxJobsError) -> int:
    """Return the HTTP status of an error; 500 for one that no caller is meant to see."""
    known = PROBLEMS.get(error.code)
    return _HIDDEN if known is None else known.status


def make_problem(error: CidxJobsError, path: str, request_id: str) -> web.Response:
    """Return the answer that tells of an error.

    An error that no caller is meant to see becomes a 500 which says nothing of it.
    """
    if status_of(error) == _HIDDEN:
        error = CidxJobsError(f"the server failed; its log knows more under {request_id}")
    known = PROBLEMS[error.code]
    problem = ProblemDocument(
        type=f"urn:cidx-jobs:problem:{error.code}",
        title=known.title,
        status=known.status,
        detail=error.message,
        code=error.code,
        instance=path,
        request_id=request_id,
    )
    faults = error.faults if isinstance(error, ValidationError) else ()
    headers = answer_headers(CONTENT_TYPE, request_id)
    headers.update(_own_headers(error))
    answer = web.Response(
        body=encode_problem(problem, faults, error.members), status=known.status, headers=headers
    )
    if isinstance(error, of_http.RequestTimeoutError | of_http.BodyTooLargeError):
        # What is left of the body is not waited for.
        answer.force_close()
    return answer


def _own_headers(error: CidxJobsError) -> Mapping[str, Any]:
    match error:
        case UnavailableError():
            return {"Retry-After": str(error.retry_after_seconds)}
        case errors.AuthenticationRequiredError() | errors.InvalidCredentialsError():
            return {"WWW-Authenticate": 'Bearer realm="cidx-jobs"'}
        case of_http.MethodNotAllowedError():
            return {"Allow": ", ".join(error.members["allowed"])}
        case _ if status_of(error) == web.HTTPServiceUnavailable.status_code:
            return {"Retry-After": "5"}
        case _:
            return {}
