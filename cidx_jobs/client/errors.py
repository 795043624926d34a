"""Errors of the client, in one tree.

::

    JobsClientError
    |-- NetworkConnectionError             no answer: refused, cut, or too late
    |-- UnexpectedAnswerError              what answered does not speak this API
    |-- RequestRefusedError                any other 4xx; `errors` names the wrong members
    |   |-- AuthenticationError            401
    |   |   `-- PermissionDeniedError      403
    |   |-- NotFoundError                  404, 410
    |   `-- ConflictError                  409
    |       `-- PreconditionFailedError    412
    |-- ServerError                        5xx
    |   `-- ServerBusyError                429, 502, 503, 504, 507: later, not never
    `-- JobPollingError                    how the watching of a job ended, other than well
        |-- JobFailedError
        |-- JobCancelledError
        |-- JobTimeoutError
        `-- InterruptedPollingError
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.wire.jobs import JobDocument


class JobsClientError(CidxJobsError):
    """The root: a text for a user, the server's stable `code`, and the data behind it."""

    code: str = "client_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        members: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        """Keep what the answer said; *status* is its HTTP status, None when there was none."""
        super().__init__(message)
        self.code = code or type(self).code
        self.status = status
        self.members: dict[str, Any] = dict(members or {})
        self.retry_after_seconds = retry_after_seconds

    @property
    def request_id(self) -> str | None:
        """The id that finds the request in the server's log, if the answer held one."""
        found = self.members.get("request_id")
        return None if found is None else str(found)


class NetworkConnectionError(JobsClientError):
    """No answer came: the connection was refused, cut, or took too long."""

    code = "network"


class UnexpectedAnswerError(JobsClientError):
    """What answered does not speak this API."""

    code = "unexpected_answer"


class RequestRefusedError(JobsClientError):
    """The server does not do that; the same request again changes nothing."""

    code = "request_refused"

    @property
    def errors(self) -> Sequence[Mapping[str, str]]:
        """The wrong members of the request, each with `pointer` (RFC 6901) and `message`."""
        return tuple(self.members.get("errors") or ())


class AuthenticationError(RequestRefusedError):
    """No valid token came with the request."""

    code = "authentication_required"


class PermissionDeniedError(AuthenticationError):
    """The token is valid and does not allow this."""

    code = "forbidden"


class NotFoundError(RequestRefusedError):
    """There is no such thing, or it is another user's."""

    code = "not_found"


class ConflictError(RequestRefusedError):
    """The thing is not in a state that allows this."""

    code = "conflict"


class PreconditionFailedError(ConflictError):
    """The job is at another version than the one that was named."""

    code = "precondition_failed"


class ServerError(JobsClientError):
    """The server failed; `request_id` finds the reason in its log."""

    code = "internal_error"


class ServerBusyError(ServerError):
    """Not now: the same request may succeed after `retry_after_seconds`."""

    code = "unavailable"


class JobPollingError(JobsClientError):
    """The watching of a job ended otherwise than with its completion; `job` is its last state."""

    code = "polling"

    def __init__(self, message: str, job: JobDocument | None = None) -> None:
        """Keep the last document that was read; None when none was."""
        super().__init__(message)
        self.job = job


class JobFailedError(JobPollingError):
    """The job failed; the text is its error's."""

    code = "job_failed"
    job: JobDocument

    def __init__(self, job: JobDocument) -> None:
        """Take the text from the job."""
        reason = job.error.message if job.error else "no reason was given"
        super().__init__(f"job {job.job_id} failed: {reason}", job)


class JobCancelledError(JobPollingError):
    """The job was cancelled."""

    code = "job_cancelled"
    job: JobDocument

    def __init__(self, job: JobDocument) -> None:
        """Take the reason from the job."""
        reason = f": {job.cancel_reason}" if job.cancel_reason else ""
        super().__init__(f"job {job.job_id} was cancelled{reason}", job)


class JobTimeoutError(JobPollingError):
    """The job was not done in the time that the caller gave; it goes on unless cancelled."""

    code = "job_timeout"


class InterruptedPollingError(JobPollingError):
    """The watching was stopped; the job goes on unless it was cancelled with it."""

    code = "polling_interrupted"


_BY_STATUS: Mapping[int, type[JobsClientError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    412: PreconditionFailedError,
    429: ServerBusyError,
    502: ServerBusyError,
    503: ServerBusyError,
    504: ServerBusyError,
    507: ServerBusyError,
}
_FIRST_SERVER_FAULT = 500


def error_of_answer(
    status: int, problem: Mapping[str, Any], retry_after_seconds: float | None
) -> JobsClientError:
    """Build the error that an answer with *status* and a problem document (RFC 9457) stands for.

    A *problem* without members, as a proxy may give, makes an error that names the status.
    """
    fallback = ServerError if status >= _FIRST_SERVER_FAULT else RequestRefusedError
    text = problem.get("detail") or problem.get("title") or f"the server answered {status}"
    code = problem.get("code")
    return _BY_STATUS.get(status, fallback)(
        str(text),
        code=str(code) if code else None,
        status=status,
        members=problem,
        retry_after_seconds=retry_after_seconds,
    )
