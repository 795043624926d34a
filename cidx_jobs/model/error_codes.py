"""Every code of a job's error, with its guidance: what it means and what its reader can do.

A code is stable and never reused; ``docs/reference/errors.md`` is made from here. What goes wrong
between the server and a remote repository comes first.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import msgspec
from msgspec import UNSET

from cidx_jobs.model.job.job import Category, JobError, Severity

_RECOVERABLE = Severity.RECOVERABLE
_PERSISTENT = Severity.PERSISTENT
_FATAL = Severity.FATAL
_RETRY = True
_FINAL = False


class Guidance(msgspec.Struct, frozen=True):
    """What a code stands for: one line for the docs, and what to do, most useful first."""

    category: Category
    severity: Severity
    retryable: bool
    meaning: str
    actions: tuple[str, ...]


GUIDANCE: Mapping[str, Guidance] = MappingProxyType(
    {
        "GIT-001": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "The remote has no such repository, or does not show it to us.",
            (
                "Check the repository URL.",
                "For a private repository, ask the operator for credentials.",
            ),
        ),
        "GIT-002": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "The repository has no such branch.",
            (
                "Check the branch name.",
                "Sync with a branch that is there: without one the project's last is followed.",
            ),
        ),
        "GIT-003": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "What stands at the URL is not a git repository.",
            ("Check the repository URL.",),
        ),
        "GIT-004": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "The repository is empty: it has no commit to index.",
            ("Push a commit to the repository, then sync again.",),
        ),
        "GIT-005": Guidance(
            Category.GIT_OPERATION,
            _RECOVERABLE,
            _RETRY,
            "The copy or what was received is damaged; the next attempt clones anew.",
            ("Retry the job.", "If it comes again, run git fsck on the repository."),
        ),
        "GIT-006": Guidance(
            Category.GIT_OPERATION,
            _RECOVERABLE,
            _RETRY,
            "git failed for a reason that is not recognised; its last line is shown.",
            ("Retry the job.", "Look up the message of git."),
        ),
        "GIT-007": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "The remote refused the transport or the operation.",
            ("Use an https URL of a repository that may be read.",),
        ),
        "GIT-008": Guidance(
            Category.GIT_OPERATION,
            _RECOVERABLE,
            _RETRY,
            "The branch moved on while it was fetched: what was asked for is no longer offered.",
            ("Retry the job.",),
        ),
        "AUTH-001": Guidance(
            Category.AUTHENTICATION,
            _PERSISTENT,
            _FINAL,
            "The remote asks for credentials, and the server has none for it.",
            (
                "Check the repository URL: many hosts ask for credentials where nothing is.",
                "Ask the operator to put a credential for it into the file of git_credentials.",
            ),
        ),
        "AUTH-002": Guidance(
            Category.AUTHENTICATION,
            _PERSISTENT,
            _FINAL,
            "The remote does not let the server read the repository: it refused its credential, "
            "or the server has none.",
            (
                "Ask the repository's owner to let the server's account read it.",
                "Ask the operator to look at git_credentials, or at git_ssh_key.",
            ),
        ),
        "NET-001": Guidance(
            Category.NETWORK,
            _RECOVERABLE,
            _RETRY,
            "The host's name cannot be resolved.",
            ("Check the host in the repository URL.", "Retry later."),
        ),
        "NET-002": Guidance(
            Category.NETWORK,
            _RECOVERABLE,
            _RETRY,
            "The host cannot be reached, refused the connection, or did not answer.",
            ("Retry later.", "Check that the host is up."),
        ),
        "NET-003": Guidance(
            Category.NETWORK,
            _PERSISTENT,
            _FINAL,
            "The host's TLS certificate is not one that this server trusts.",
            (
                "Ask the host's owner to mend its certificate.",
                "For a host with a CA of its own, ask the operator to name it in git_ca_file.",
            ),
        ),
        "NET-004": Guidance(
            Category.NETWORK,
            _RECOVERABLE,
            _RETRY,
            "The connection was too slow or broke off, a secure one in its handshake too.",
            ("Retry later.",),
        ),
        "NET-005": Guidance(
            Category.NETWORK,
            _PERSISTENT,
            _FINAL,
            "The host leads to an address inside the server's network.",
            ("Ask the operator to list the host in git_allowed_hosts.",),
        ),
        "NET-006": Guidance(
            Category.NETWORK,
            _PERSISTENT,
            _FINAL,
            "The host leads on to another place; only the host of the URL is spoken to.",
            ("Use the URL that the host redirects to.",),
        ),
        "NET-007": Guidance(
            Category.NETWORK,
            _RECOVERABLE,
            _RETRY,
            "The host answers with an error of its own, or asks to be left alone.",
            ("Retry later.", "Check that the host is well."),
        ),
        "IDX-001": Guidance(
            Category.INDEXING,
            _RECOVERABLE,
            _RETRY,
            "The index could not be written.",
            ("Retry the job.", "Sync with a full reindex."),
        ),
        "IDX-002": Guidance(
            Category.INDEXING,
            _RECOVERABLE,
            _RETRY,
            "The index does not hold what it should; the next attempt makes it anew.",
            ("Retry the job.", "Sync with a full reindex."),
        ),
        "IDX-003": Guidance(
            Category.INDEXING,
            _PERSISTENT,
            _RETRY,
            "The index program failed.",
            ("Ask the operator to look at the index program.",),
        ),
        "RES-001": Guidance(
            Category.RESOURCE,
            _RECOVERABLE,
            _RETRY,
            "The server's disk is full.",
            ("Ask the operator to make room.", "Retry later."),
        ),
        "RES-002": Guidance(
            Category.RESOURCE,
            _PERSISTENT,
            _FINAL,
            "The job used more memory than it may.",
            ("Make the work smaller.", "Ask the operator for a higher limit."),
        ),
        "RES-003": Guidance(
            Category.RESOURCE,
            _PERSISTENT,
            _FINAL,
            "The repository has more files or directories than max_files, or too long paths.",
            ("Ask the operator to raise max_files.",),
        ),
        "RES-004": Guidance(
            Category.RESOURCE,
            _PERSISTENT,
            _FINAL,
            "The repository is larger than max_repository_bytes, or git needs more memory for it "
            "than git_memory_bytes.",
            ("Ask the operator to raise the limit that the message tells of.",),
        ),
        "RES-005": Guidance(
            Category.RESOURCE,
            _RECOVERABLE,
            _RETRY,
            "The server was short of processes, threads, memory or open files.",
            ("Retry later.", "Ask the operator to raise the limits of the system."),
        ),
        "CFG-001": Guidance(
            Category.CONFIGURATION,
            _PERSISTENT,
            _FINAL,
            "A program that the job needs is not installed on the server, or cannot be run there.",
            ("Ask the operator to install it.",),
        ),
        "CFG-002": Guidance(
            Category.CONFIGURATION,
            _PERSISTENT,
            _FINAL,
            "The job's type is not registered in this server any more.",
            ("Ask the operator to register the job type, then retry the job.",),
        ),
        "CFG-003": Guidance(
            Category.CONFIGURATION,
            _PERSISTENT,
            _FINAL,
            "The job's code asks for a named resource that the settings do not name.",
            ("Ask the operator to give the resource a number of units, then retry the job.",),
        ),
        "CFG-004": Guidance(
            Category.CONFIGURATION,
            _PERSISTENT,
            _FINAL,
            "The server's git is too old to be kept to the addresses that were checked.",
            ("Ask the operator to install git 2.38 or later and to start the server again.",),
        ),
        "CFG-005": Guidance(
            Category.CONFIGURATION,
            _PERSISTENT,
            _FINAL,
            "The server may not read or change the project's files in its data directory.",
            (
                "Ask the operator to give the data directory to the user that the server runs as.",
                "Remove the project, then sync it anew.",
            ),
        ),
        "CFG-006": Guidance(
            Category.CONFIGURATION,
            _PERSISTENT,
            _FINAL,
            "A file that the operator names for git is not there, or may be read or changed by "
            "others.",
            ("Ask the operator to mend the file of the setting that the message names.",),
        ),
        "CFG-007": Guidance(
            Category.CONFIGURATION,
            _PERSISTENT,
            _FINAL,
            "The proxy that the server reaches the web through refuses to serve it.",
            (
                "Ask the operator to look at git_proxy and its user and password.",
                "Ask who runs the proxy to let the server reach the host.",
            ),
        ),
        "VAL-001": Guidance(
            Category.VALIDATION,
            _PERSISTENT,
            _FINAL,
            "An option of the job is wrong.",
            ("Submit the job with the option mended.",),
        ),
        "VAL-002": Guidance(
            Category.VALIDATION,
            _PERSISTENT,
            _FINAL,
            "The job's code returned or saved something that is not JSON.",
            ("Mend the job type: results and checkpoints are JSON values.",),
        ),
        "RESULT_TOO_LARGE": Guidance(
            Category.VALIDATION,
            _PERSISTENT,
            _FINAL,
            "The job's result is larger than max_result_bytes.",
            (
                "Mend the job type: keep what is large elsewhere, and return where it is.",
                "Ask the operator to raise max_result_bytes.",
            ),
        ),
        "HANDLER_ERROR": Guidance(
            Category.SYSTEM,
            _RECOVERABLE,
            _RETRY,
            "The job's code raised an error.",
            ("Retry the job.", "Look for the error in the server's log."),
        ),
        "CHILD_FAILED": Guidance(
            Category.SYSTEM,
            _RECOVERABLE,
            _RETRY,
            "A program that the job ran ended with an error.",
            ("Retry the job.",),
        ),
        "CHILD_JOB_FAILED": Guidance(
            Category.SYSTEM,
            _PERSISTENT,
            _FINAL,
            "A job whose result this one needs failed, or was cancelled.",
            ("Retry that job, which the message names; then retry this one.",),
        ),
        "TIMEOUT": Guidance(
            Category.RESOURCE,
            _RECOVERABLE,
            _RETRY,
            "The run took longer than timeout_seconds.",
            ("Submit the job with a longer timeout_seconds.",),
        ),
        "INTERRUPTED": Guidance(
            Category.SYSTEM,
            _RECOVERABLE,
            _FINAL,
            "The server stopped in the middle of a job that must not run twice.",
            ("Check what the job did, then retry it.",),
        ),
        "POISONED": Guidance(
            Category.SYSTEM,
            _FATAL,
            _FINAL,
            "The server died again and again while this job ran, alone at the last.",
            ("Find out what in this job kills the server before you retry it.",),
        ),
        "CANCELLED": Guidance(
            Category.SYSTEM,
            Severity.WARNING,
            _FINAL,
            "Somebody asked for the job to be cancelled.",
            ("Retry the job if it is wanted after all.",),
        ),
    }
)
"""Every code there is."""

UNKNOWN = GUIDANCE["HANDLER_ERROR"]
"""What holds for a code of a job type's own."""


def make_error(
    code: str,
    message: str,
    *,
    at: datetime,
    phase: str | None = None,
    retryable: bool | None = None,
    output: tuple[str, ...] = (),
) -> JobError:
    """Build the error of a job from its *code*; *retryable* overrides what the table says.

    A code that the table does not hold is a job type's own: category ``system``, no guidance.
    """
    known = GUIDANCE.get(code)
    rule = known or UNKNOWN
    return JobError(
        code=code,
        category=rule.category,
        severity=rule.severity,
        retryable=rule.retryable if retryable is None else retryable,
        message=message,
        phase=phase,
        occurred_at=at,
        actions=known.actions if known else (),
        output=output or UNSET,
    )
