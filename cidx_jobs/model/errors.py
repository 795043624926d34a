"""Every error of cidx_jobs that a caller may want to tell apart, in one tree.

::

    CidxJobsError
    |-- RequestError                       the caller asked for something that cannot be
    |   |-- ValidationError                a member is wrong; names it by a JSON pointer
    |   |   |-- UnknownJobTypeError
    |   |   |-- TooManySchedulesError
    |   |   `-- InvalidParameterError      a fault in a query
    |   |       `-- InvalidCursorError
    |   |-- IdempotencyKeyReusedError
    |   |-- JobNotFoundError
    |   |-- JobExpiredError                what a repeated request made was deleted since
    |   |-- ProjectNotFoundError
    |   |   `-- RepositoryNotFoundError
    |   |-- ScheduleNotFoundError
    |   |-- ScheduleExistsError
    |   |-- ScheduleDeclaredError          it stands in the application's code
    |   |-- TokenNotFoundError
    |   |-- PushHookNotFoundError
    |   |-- UserNotFoundError
    |   |-- UserExistsError
    |   |-- NotIndexedError
    |   |-- IndexDamagedError
    |   |-- InvalidTransitionError         the status has no such edge
    |   |   `-- AlreadyFinishedError       a cancel of what is completed or failed
    |   |-- OptionsRemovedError            a retry without what the job was told
    |   |-- ResultRemovedError             what the job returned is no longer kept
    |   |-- ProjectBusyError
    |   |-- VersionMismatchError           If-Match names another version
    |   |-- HistoryExpiredError
    |   |-- AuthenticationRequiredError
    |   |-- InvalidCredentialsError
    |   |-- SignatureRefusedError          a delivery that the hook's secret did not sign
    |   |-- ForbiddenError
    |   |   `-- AdminRequiredError
    |   `-- ExtraMissingError
    |-- UnavailableError                   not now; `retry_after_seconds` says when to ask again
    |   |-- UserQueueFullError
    |   |-- UserStorageFullError
    |   |-- QueueFullError
    |   |-- DrainingError
    |   |-- StoppingError
    |   |-- TooManyLoginsError
    |   |-- BackupFailedError
    |   |-- StorageFullError
    |   `-- StorageUnavailableError
    |-- StoreError                         the store refuses; nothing is changed
    |   |-- StaleVersionError              somebody else was first
    |   |-- StaleScheduleError             the same, of a schedule
    |   |-- StaleRunError                  the write of a run that is over
    |   |-- OwnerLostError                 another server owns the database now
    |   `-- StartRefusedError              the data directory cannot be served
    |       |-- AlreadyOwnedError
    |       |-- NotOwnedError
    |       |-- SchemaTooNewError
    |       `-- DatabaseDamagedError
    |-- SettingsError
    |-- OtherLoopError                     a call on another event loop; a RuntimeError, too
    `-- JobFailure                         what a run raises to end with a code of its own
        |-- HostDownError                  a code host does not answer; nobody's blame
        |-- JobFailedError                 a job that was waited for failed
        |-- JobCancelledError              the same, and it was cancelled
        |-- Retryable
        `-- Fatal
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from cidx_jobs.model.ids import JobId, ProjectId


class CidxJobsError(Exception):
    """The root: an error with a stable `code`, a text for a user, and the data behind it."""

    code: str = "internal_error"

    def __init__(self, message: str, **members: Any) -> None:
        """Keep the text and the *members*: every value that the text names."""
        super().__init__(message)
        self.message = message
        self.members = members


class RequestError(CidxJobsError):
    """The caller asked for something that cannot be; asking again changes nothing."""

    code = "bad_request"


class Fault(msgspec.Struct, frozen=True):
    """One wrong member of a document: where (a JSON pointer, RFC 6901) and what is wrong."""

    pointer: str
    message: str

    @classmethod
    def told_by_msgspec(cls, error: Exception, below: str = "") -> "Fault":
        """Return the first fault of a value that lies at the pointer *below*.

        msgspec says what and where as in ``Expected `int`, got `str` - at `$.names[0]```.
        """
        message, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`").replace("[...]", "").replace("[", ".").replace("]", "")
        return cls(below + place.replace(".", "/"), message)


MAX_FAULTS = 100
"""How many wrong members an error names; of the others it says how many there are."""
_MAX_TOLD = 200
_MAX_TOLD_IN_ALL = 16_384
"""Characters of a pointer and of a message; and of all of them together."""


def pointer_step(name: str) -> str:
    """Return a member's name as a step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


class ValidationError(RequestError):
    """A document can be read but is wrong; `faults` names each member.

    They are the first `MAX_FAULTS`, and fewer where their texts are long: an error is never much
    larger than the document that it is about. The member `errors_omitted` counts the others.
    """

    code = "validation_failed"

    def __init__(self, faults: Iterable[Fault], message: str | None = None) -> None:
        """Take the faults, at least one; the text defaults to the first of them."""
        told, omitted = _tell(faults)
        first = told[0]
        members = {"errors_omitted": omitted} if omitted else {}
        super().__init__(
            message or f"{first.pointer or 'the document'}: {first.message}", **members
        )
        self.faults: tuple[Fault, ...] = tuple(told)

    @classmethod
    def at(cls, pointer: str, message: str) -> "ValidationError":
        """Build the error of one wrong member."""
        return cls([Fault(pointer, message)])


def _tell(faults: Iterable[Fault]) -> tuple[list[Fault], int]:
    """Return the faults that are told, shortened, and how many are not."""
    told: list[Fault] = []
    room, omitted = _MAX_TOLD_IN_ALL, 0
    for fault in faults:
        room -= len(fault.pointer[:_MAX_TOLD]) + len(fault.message[:_MAX_TOLD])
        if told and (len(told) == MAX_FAULTS or room < 0):
            omitted += 1
        else:
            told.append(Fault(_shorten(fault.pointer), _shorten(fault.message)))
    return told, omitted


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TOLD else f"{text[: _MAX_TOLD - 1]}…"


class UnknownJobTypeError(ValidationError):
    """No such job type is registered."""

    code = "unknown_job_type"

    def __init__(self, job_type: str) -> None:
        """Name the type."""
        super().__init__([Fault("/job_type", f"there is no job type {_shorten(job_type)!r}")])
        self.members: dict[str, str] = {"job_type": _shorten(job_type)}


class TooManySchedulesError(ValidationError):
    """The user has as many schedules as there may be."""

    code = "too_many_schedules"

    def __init__(self, limit: int) -> None:
        """Name the limit."""
        message = f"a user has at most {limit} schedules: remove one first"
        super().__init__([Fault("", message)], message)
        self.members: dict[str, int] = {"limit": limit}


class InvalidParameterError(RequestError):
    """A query parameter is unknown, doubled or out of its range."""

    code = "invalid_parameter"

    def __init__(self, parameter: str, message: str, **members: Any) -> None:
        """Name the parameter and what is wrong with it; *members* are what *message* names."""
        super().__init__(f"{parameter}: {message}", parameter=parameter, **members)


class InvalidCursorError(InvalidParameterError):
    """A cursor was not made by this server, or for another list."""

    code = "invalid_cursor"

    def __init__(self) -> None:
        """Build the one text there is."""
        super().__init__("cursor", "it is not a cursor of this list")


class IdempotencyKeyReusedError(RequestError):
    """An idempotency key came again with another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        """Build the one text there is (the key itself is not repeated)."""
        super().__init__("this Idempotency-Key was used for another request: take a new one")


class JobNotFoundError(RequestError):
    """There is no such job, or it is not the caller's: the two read the same."""

    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        """Name the id that was asked for."""
        super().__init__(f"Job not found: {job_id}", job_id=job_id)


class JobExpiredError(RequestError):
    """The request was served before, and its job has been deleted since: it makes no second."""

    code = "job_expired"

    def __init__(self, job_id: JobId) -> None:
        """Name the job that there was."""
        super().__init__(
            f"this Idempotency-Key made job {job_id}, which has been deleted", job_id=job_id
        )


class ProjectNotFoundError(RequestError):
    """The caller has no such project."""

    code = "project_not_found"
    text = "Project not found: {}"
    """What it says, around the id."""

    def __init__(self, project_id: str) -> None:
        """Name the id that was asked for."""
        super().__init__(self.text.format(project_id), project_id=project_id)


class RepositoryNotFoundError(ProjectNotFoundError):
    """The caller has no such project; told in the words of the CIDX client."""

    text = "Repository '{}' not found"


class ScheduleNotFoundError(RequestError):
    """The user has no such schedule."""

    code = "schedule_not_found"

    def __init__(self, name: str) -> None:
        """Name what was asked for."""
        super().__init__(f"Schedule not found: {name}", schedule=name)


class ScheduleExistsError(RequestError):
    """The user has a schedule of that name already."""

    code = "schedule_exists"

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(
            f"there is a schedule {name} already: change or remove that, or take another name",
            schedule=name,
        )


class ScheduleDeclaredError(RequestError):
    """The schedule stands in the application's code, and is changed and removed only there."""

    code = "schedule_declared"

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(
            f"schedule {name} is declared in the code of the application: change it there",
            schedule=name,
        )


class TokenNotFoundError(RequestError):
    """There is no such access token."""

    code = "token_not_found"

    def __init__(self, token_id: str) -> None:
        """Name the id that was asked for."""
        super().__init__(f"Token not found: {token_id}", token_id=token_id)


class PushHookNotFoundError(RequestError):
    """There is no such push hook, or the project has none."""

    code = "hook_not_found"

    def __init__(self) -> None:
        """Build the one text there is: it tells nothing of hooks that are there."""
        super().__init__("there is no such push hook")


class NotIndexedError(RequestError):
    """The project has no index that it may search."""

    code = "not_indexed"

    def __init__(self, project_id: ProjectId, reason: str | None = None) -> None:
        """Name the project, and why, where it is another reason than that nothing was synced."""
        why = reason or "it has no index yet: sync it first"
        super().__init__(f"project {project_id} cannot be searched: {why}", project_id=project_id)


class IndexDamagedError(RequestError):
    """The index of the project cannot be read; the next sync makes it anew."""

    code = "index_damaged"

    def __init__(self, project_id: ProjectId) -> None:
        """Name the project."""
        super().__init__(
            f"the index of project {project_id} is damaged: the next sync makes it anew",
            project_id=project_id,
        )


class InvalidTransitionError(RequestError):
    """The job's status has no such edge; nothing was changed."""

    code = "invalid_transition"

    def __init__(self, *, job_id: JobId, status: str, event: str) -> None:
        """Name the job, where it stands and what was asked of it."""
        super().__init__(
            f"job {job_id} is {status}: {_what_it_can(status, event)}",
            job_id=job_id,
            current_status=str(status),
            event=event,
        )


_REMEDIES = {
    "retry": "only one that failed or was cancelled can be retried",
    "revise": "only one that waits can be changed",
    "start": "only one that is held, or waits for its time or its next attempt, can be started",
    "report": "only one that runs can report",
}
_WAITS_FOR = "waiting for "


def _what_it_can(status: str, event: str) -> str:
    """Return what a job that stands like that can do, where it cannot do what was asked."""
    if event == "start" and status.startswith(_WAITS_FOR):
        return "it starts by itself after that"
    if event == "start" and status == "queued":
        return "it starts by itself as soon as there is room"
    return _REMEDIES.get(event, f"{event} is not possible")


class AlreadyFinishedError(InvalidTransitionError):
    """A cancel of a job that is completed or failed."""

    code = "already_finished"

    def __init__(self, *, job_id: JobId, status: str) -> None:
        """Name the job and how it ended."""
        super().__init__(job_id=job_id, status=status, event="cancel")
        self.message: str = f"cannot cancel job {job_id}: it is {status}"
        self.args: tuple[Any, ...] = (self.message,)


class ProjectBusyError(RequestError):
    """Another exclusive job of the project is active."""

    code = "project_busy"

    def __init__(self, project_id: ProjectId, active_job_id: JobId) -> None:
        """Name the project and the job that is in the way."""
        super().__init__(
            f"project {project_id} is busy with job {active_job_id}: wait until that is done, or "
            "cancel it",
            project_id=project_id,
            active_job_id=active_job_id,
        )


class OptionsRemovedError(RequestError):
    """A retry of a job whose options are no longer kept."""

    code = "options_removed"

    def __init__(self, job_id: JobId) -> None:
        """Name the job."""
        super().__init__(
            f"job {job_id} cannot run again: its options were removed, as they are kept only for "
            "a time; submit it anew",
            job_id=job_id,
        )


class ResultRemovedError(RequestError):
    """The result of a completed job is asked for, and no longer kept."""

    code = "result_removed"

    def __init__(self, job_id: JobId) -> None:
        """Name the job."""
        super().__init__(
            f"the result of job {job_id} was removed, as results are kept only for a time",
            job_id=job_id,
        )


class VersionMismatchError(RequestError):
    """The job is at another version than the caller's precondition names."""

    code = "precondition_failed"

    def __init__(self, job_id: JobId, version: int) -> None:
        """Name the job and the version it is at."""
        super().__init__(
            f"job {job_id} is at version {version}, not at the one that was named: read it again",
            job_id=job_id,
            version=version,
        )


class HistoryExpiredError(RequestError):
    """The transition log no longer holds what was asked for."""

    code = "history_expired"

    def __init__(self, oldest_sequence: int) -> None:
        """Name the oldest row that is left."""
        super().__init__(
            f"the log begins at {oldest_sequence}: read the jobs anew",
            oldest_seq=oldest_sequence,
        )


class AuthenticationRequiredError(RequestError):
    """No valid credentials came with the request."""

    code = "authentication_required"

    def __init__(self) -> None:
        """Build the one text there is: it never says what was wrong with a token."""
        super().__init__("a valid bearer token is required")


class InvalidCredentialsError(RequestError):
    """User or password is wrong: which of them, nobody is told."""

    code = "invalid_credentials"

    def __init__(self) -> None:
        """Build the one text there is."""
        super().__init__("Invalid username or password")


class SignatureRefusedError(RequestError):
    """A delivery to a push hook has no signature by the hook's secret."""

    code = "signature_refused"

    def __init__(self, headers: Sequence[str]) -> None:
        """Name the headers that are looked for, the first that is there decides."""
        super().__init__(
            "the delivery is not signed with the secret of this hook, in the first that is there "
            f"of: {', '.join(headers)}",
            headers=list(headers),
        )


class UserNotFoundError(RequestError):
    """The user has no account."""

    code = "user_not_found"

    def __init__(self, user_id: str) -> None:
        """Name the user."""
        super().__init__(f"User not found: {_shorten(user_id)}", user_id=_shorten(user_id))


class UserExistsError(RequestError):
    """The user has an account already."""

    code = "user_exists"

    def __init__(self, user_id: str) -> None:
        """Name the user."""
        super().__init__(
            f"{user_id} has an account already: change that, or remove it first", user_id=user_id
        )


class ForbiddenError(RequestError):
    """The caller may not do that."""

    code = "forbidden"


class AdminRequiredError(ForbiddenError):
    """The caller's token has not the scope ``admin``."""

    code = "admin_required"

    def __init__(self) -> None:
        """Build the one text there is."""
        super().__init__("this needs a token with the scope admin", scope="admin")


class ExtraMissingError(RequestError):
    """An optional package is not installed."""

    code = "extra_missing"

    def __init__(self, extra: str) -> None:
        """Name the extra and the command that installs it."""
        super().__init__(
            f"this needs an extra: pip install 'cidx_jobs[{extra}]'",
            extra=extra,
        )


class UnavailableError(CidxJobsError):
    """Not now: the same request may succeed after `retry_after_seconds`."""

    code = "unavailable"

    def __init__(self, message: str, retry_after_seconds: int = 5, **members: Any) -> None:
        """Say why, and when to ask again."""
        super().__init__(message, **members)
        self.retry_after_seconds = retry_after_seconds


class UserQueueFullError(UnavailableError):
    """The user has as many waiting jobs as a user may have."""

    code = "user_queue_full"

    def __init__(self, limit: int) -> None:
        """Name the limit."""
        super().__init__(f"you have {limit} waiting jobs, the most there may be", limit=limit)


class UserStorageFullError(UnavailableError):
    """The jobs that are stored of the user take as many bytes as a user's may."""

    code = "storage_full"

    def __init__(self, limit: int, used: int) -> None:
        """Name the limit, and how much of it is taken."""
        super().__init__(
            f"your jobs and their log take {used:,} of {limit:,} bytes, and this one more than is "
            "left: finished jobs go by themselves when their time is over",
            retry_after_seconds=60,
            limit=limit,
            used=used,
        )


class QueueFullError(UnavailableError):
    """The server has as many waiting jobs as it takes."""

    code = "queue_full"

    def __init__(self, limit: int) -> None:
        """Name the limit."""
        super().__init__(f"{limit} jobs are waiting, the most this server takes", limit=limit)


class DrainingError(UnavailableError):
    """The operator lets the server finish what it has, and nothing new."""

    code = "draining"

    def __init__(self) -> None:
        """Build the one text there is."""
        super().__init__("the server is draining and takes no new jobs", retry_after_seconds=30)


class StoppingError(UnavailableError):
    """The server is on its way down."""

    code = "stopping"

    def __init__(self) -> None:
        """Build the one text there is."""
        super().__init__("the server is stopping", retry_after_seconds=2)


class TooManyLoginsError(UnavailableError):
    """Too many logins of one user from one address were refused in the last minute."""

    code = "too_many_logins"

    def __init__(self, wait_seconds: int) -> None:
        """Name the time after which to try again."""
        super().__init__(
            f"too many refused logins: try again in {wait_seconds} seconds",
            retry_after_seconds=wait_seconds,
            wait_seconds=wait_seconds,
        )


class StorageFullError(UnavailableError):
    """The disk is full: nothing was stored, nothing acknowledged is lost."""

    code = "disk_full"

    def __init__(self) -> None:
        """Build the one text there is."""
        super().__init__("the server's disk is full; nothing was stored")


class StorageUnavailableError(UnavailableError):
    """The store cannot write now: nothing was stored, nothing acknowledged is lost."""

    code = "storage_unavailable"

    def __init__(self) -> None:
        """Build the one text there is."""
        super().__init__("the server cannot write its database now; nothing was stored")


class BackupFailedError(UnavailableError):
    """A backup could not be made, or what was copied is damaged; there is no file of it."""

    code = "backup_failed"


class StoreError(CidxJobsError):
    """The store refuses a write or a start; nothing is changed."""

    code = "store_error"


class StaleVersionError(StoreError):
    """The row is not at the version that the write was made from: reload and decide again."""

    code = "stale_version"

    def __init__(self, job_id: JobId, version: int) -> None:
        """Name the job and the version that the write expected."""
        super().__init__(
            f"job {job_id} is no longer at version {version}", job_id=job_id, version=version
        )


class StaleScheduleError(StoreError):
    """The schedule is not at the version that the write was made from, or is gone."""

    code = "stale_schedule"

    def __init__(self, name: str) -> None:
        """Name the schedule."""
        super().__init__(f"schedule {name} has changed meanwhile", schedule=name)


class OtherLoopError(CidxJobsError, RuntimeError):
    """A job system is used on another event loop than the one that opened it."""

    code = "other_loop"

    def __init__(self) -> None:
        """Say where it may be used."""
        super().__init__(
            "a job system belongs to the event loop that opened it: use it there, or open another"
        )


class StaleRunError(StoreError):
    """The write names a run that is over; it is the only fence a zombie meets."""

    code = "stale_run"

    def __init__(self, job_id: JobId, run: int) -> None:
        """Name the job and the run."""
        super().__init__(f"run {run} of job {job_id} is over", job_id=job_id, run=run)


class OwnerLostError(StoreError):
    """Another server has taken the database: this one must not write any more."""

    code = "owner_lost"


class StartRefusedError(StoreError):
    """The data directory cannot be served as it is; it was left untouched."""

    code = "start_refused"


class AlreadyOwnedError(StartRefusedError):
    """Another server owns the data directory."""

    code = "already_owned"


class NotOwnedError(StartRefusedError):
    """No process owns the data directory: there is nobody to attach to."""

    code = "not_owned"

    def __init__(self, data_dir: object) -> None:
        """Name the directory."""
        super().__init__(f"no running process serves the data directory {data_dir}")


class SchemaTooNewError(StartRefusedError):
    """A newer cidx_jobs wrote the database."""

    code = "schema_too_new"


class DatabaseDamagedError(StartRefusedError):
    """The database is cut, damaged, rolled back or has lost its write-ahead log."""

    code = "database_damaged"


class SettingsError(CidxJobsError):
    """A setting is unknown or wrong; the text names it."""

    code = "settings"


class RunSuspended(BaseException):
    """A run ends to wait for children without a slot; whoever catches it must let it go on.

    No `Exception`, so that a handler does not take it for one.
    """

    def __init__(self, joins: Iterable[JobId]) -> None:
        """Name the children."""
        super().__init__("the run waits for its children")
        self.joins: tuple[JobId, ...] = tuple(joins)


class JobFailure(CidxJobsError):  # noqa: N818 - it is raised by handlers and names what happened
    """A run fails with a code of its own (see `cidx_jobs.model.error_codes`).

    Whether it is worth retrying is said by the code's entry there; for a code that has none, by
    *retryable*.
    """

    code = "HANDLER_ERROR"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        after: float | None = None,
        output: Iterable[str] = (),
    ) -> None:
        """Say what happened, for the user who reads the job.

        Args:
            message: one sentence, without secrets and paths of the server.
            code: a code of `cidx_jobs.model.error_codes` or one of the job type's own.
            retryable: overrides what the code's entry says.
            after: seconds to wait before the next attempt; the back-off's choice if None.
            output: the last lines of a program that failed; at most 50 are kept, and 200
                characters of each.

        Raises:
            TypeError, ValueError: *after* is no number.
        """
        # Often an exception that was caught: what is kept of it is its text.
        super().__init__(str(message))
        self.failure_code: str = str(code or self.code)
        self.retryable = retryable
        self.after: float | None = None if after is None else float(after)
        self.output: tuple[str, ...] = tuple(str(line) for line in output)


class HostDownError(JobFailure):
    """A code host does not answer: the run ends without blame, and the job waits for the host.

    The job must have the key ``host:<host>`` among the limits of its type; else, and where the
    host answered somebody meanwhile, the attempt fails as by any other error.
    """

    def __init__(
        self, host: str, message: str = "", *, code: str = "NET-002", silent_seconds: float = 0.0
    ) -> None:
        """Say which host, and what was met.

        Args:
            host: its name, with ``:port`` unless that is the scheme's own.
            message: one sentence for the user who reads the job.
            code: a code of the network.
            silent_seconds: for how long the host was asked and did not answer.
        """
        super().__init__(message or f"the host {host} is down", code=code, retryable=True)
        self.host: str = str(host)
        self.silent_seconds: float = float(silent_seconds)


class Retryable(JobFailure):
    """The attempt failed, and the next one may succeed."""

    def __init__(
        self, message: str = "", *, after: float | None = None, code: str | None = None
    ) -> None:
        """Say what happened and, if known, after how many seconds to try again."""
        super().__init__(message or "try again", code=code, retryable=True, after=after)


class Fatal(JobFailure):
    """The job failed, and no further attempt can change that."""

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        """Say what happened."""
        super().__init__(message or "it cannot succeed", code=code, retryable=False)
