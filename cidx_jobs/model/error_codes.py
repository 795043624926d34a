"""What each code of a job's error means, and what its reader can do about it.

One table. A code is stable and never reused; ``docs/reference/errors.md`` is made from here.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from cidx_jobs.model.error_code import Guidance
from cidx_jobs.model.error_codes_git import REMOTE_GUIDANCE
from cidx_jobs.model.job.job import Category, JobError, Severity

_RECOVERABLE = Severity.RECOVERABLE
_PERSISTENT = Severity.PERSISTENT
_FATAL = Severity.FATAL
_RETRY = True
_FINAL = False

GUIDANCE: Mapping[str, Guidance] = MappingProxyType(
    {
        **REMOTE_GUIDANCE,
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
            "The repository has more files than max_files.",
            ("Ask the operator to raise max_files.",),
        ),
        "RES-004": Guidance(
            Category.RESOURCE,
            _PERSISTENT,
            _FINAL,
            "The repository is larger than max_repository_bytes.",
            ("Ask the operator to raise max_repository_bytes.",),
        ),
        "CFG-001": Guidance(
            Category.CONFIGURATION,
            _PERSISTENT,
            _FINAL,
            "A program that the job needs is not installed on the server.",
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
    )
