"""Error messages: what went wrong, what to do about it, and the exit code for it."""

import itertools
from collections.abc import Iterator
from typing import Any

from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import named_profile
from cidx_jobs.cli.terminal.member_names import name_fault, name_member, name_pointer
from cidx_jobs.cli.terminal.output import print_json, say
from cidx_jobs.client import (
    AuthenticationError,
    ConflictError,
    JobPollingError,
    JobsClientError,
    NetworkConnectionError,
    NotFoundError,
    PreconditionFailedError,
    RequestRefusedError,
    ServerError,
)
from cidx_jobs.client.errors import JobTimeoutError
from cidx_jobs.model.errors import CidxJobsError, TokenNotFoundError, ValidationError
from cidx_jobs.model.job.job import Category, JobStatus
from cidx_jobs.wire.jobs import JobDocument

_CODES: tuple[tuple[type[CidxJobsError], Exit], ...] = (
    (AuthenticationError, Exit.AUTHENTICATION),
    (NetworkConnectionError, Exit.NETWORK),
    (NotFoundError, Exit.NOT_FOUND),
    (TokenNotFoundError, Exit.NOT_FOUND),
    (PreconditionFailedError, Exit.FAILED),
    (ConflictError, Exit.CONFLICT),
    (JobTimeoutError, Exit.TIMEOUT),
)
_ADVICE = {
    "authentication_required": "Log in with cidx-jobs login, or set CIDX_JOBS_TOKEN to a token: "
    "cidx-jobs token create USER",
    "admin_required": "Use a token of an admin: cidx-jobs token create USER --scope admin",
    "network": "Is the server running (cidx-jobs serve)? Name another with --server.",
    "unexpected_answer": "Is it a cidx-jobs server? Name another with --server.",
    "not_indexed": "Sync it first: cidx-jobs sync PROJECT --url URL",
    "index_damaged": "Sync it again: cidx-jobs sync PROJECT",
    "project_not_found": "Sync it first: cidx-jobs sync PROJECT --url URL",
    "hook_not_found": "Make one first: cidx-jobs hook create PROJECT",
    "schedule_not_found": "List your schedules: cidx-jobs schedule list",
    "job_not_found": "List your jobs: cidx-jobs list",
}


def exit_code_of_job(job: JobDocument) -> Exit:
    """Return the exit code for how the job ended."""
    match job.status:
        case JobStatus.COMPLETED:
            return Exit.DONE
        case JobStatus.CANCELLED:
            return Exit.CANCELLED
        case JobStatus.FAILED:
            is_git = job.error is not None and job.error.category == Category.GIT_OPERATION
            return Exit.GIT_FAILED if is_git else Exit.FAILED
        case _:
            return Exit.TIMEOUT


def exit_code_of_error(error: CidxJobsError) -> Exit:
    """Return the exit code for what went wrong."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return Exit.FAILED


def report_error(error: CidxJobsError, *, as_json: bool = False, about: str | None = None) -> Exit:
    """Print what went wrong and what to do about it; return the exit code.

    Args:
        error: what went wrong.
        as_json: whether stdout gets it as a document, too.
        about: which of several things that a command works on it is about.
    """
    text = text_of_error(error)
    say(f"cidx-jobs: {text}" if about is None else f"cidx-jobs: {about}: {text}")
    for fault in itertools.starmap(name_fault, _faults(error)):
        # The first of them is mostly what the message says already.
        if fault != text:
            say(f"  {fault}")
    advice = advise(error)
    if advice:
        say(f"  {advice}")
    if as_json:
        print_json({"error": error_document(error)})
    return exit_code_of_error(error)


def text_of_error(error: CidxJobsError) -> str:
    """Return what went wrong, in words of the command line: flags in place of JSON pointers."""
    parameter = error.members.get("parameter") if isinstance(error, RequestRefusedError) else None
    beginning = f"{parameter}: "
    if isinstance(parameter, str) and error.message.startswith(beginning):
        return f"{name_member([parameter])}: {error.message.removeprefix(beginning)}"
    for pointer, message in _faults(error):
        if error.message == f"{pointer or 'the document'}: {message}":
            return name_fault(pointer, message)
    return name_pointer(error.message)


def _faults(error: CidxJobsError) -> Iterator[tuple[str, str]]:
    """Yield each wrong member of what was sent: a JSON pointer, and what is wrong with it."""
    if isinstance(error, ValidationError):
        yield from ((one.pointer, one.message) for one in error.faults)
    if isinstance(error, RequestRefusedError):
        for one in error.errors:
            yield str(one.get("pointer", "")), str(one.get("message", ""))


def advise(error: CidxJobsError) -> str | None:
    """Return what the user can do about the error, if that is known."""
    if isinstance(error, JobsClientError) and error.retry_after_seconds:
        return f"Try again in {error.retry_after_seconds:g} seconds."
    if isinstance(error, ServerError) and error.request_id:
        return f"The server's log has more: look for request {error.request_id}."
    profile = named_profile()
    if error.code == AuthenticationError.code and profile is not None:
        return f"Log in again: cidx-jobs login --profile {profile}"
    return _ADVICE.get(error.code)


def report_bug(error: Exception) -> Exit:
    """Print that a command failed by a bug; return the exit code."""
    say(f"cidx-jobs: this should not have happened: {type(error).__name__}: {error}")
    say("  Run it with python -X dev -m cidx_jobs to see where.")
    return Exit.FAILED


def error_document(error: CidxJobsError) -> dict[str, Any]:
    """Return the error as the JSON object that ``--json`` shows."""
    known = {"code": error.code, "message": error.message}
    if isinstance(error, JobPollingError) or not isinstance(error, JobsClientError):
        return known
    return {**error.members, **known, "status": error.status}
