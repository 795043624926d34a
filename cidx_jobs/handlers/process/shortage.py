"""Why a program could not be started: the system is short of something now, or it never can be."""

import errno
from pathlib import Path

from cidx_jobs.model.errors import JobFailure

AGAIN_SECONDS = 3.0
"""After a shortage the next attempt comes no sooner: it needs a moment to pass."""

_SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})
_REASONS = {
    errno.ENOENT: "it is not installed",
    errno.EACCES: "the server may not run it",
    errno.EPERM: "the server may not run it",
    errno.ENOEXEC: "it is no program that this machine can run",
}


def is_shortage(error: Exception) -> bool:
    """Return whether a program could not be started for want of what may be there in a moment.

    These are processes, threads, memory and open files, and a program's file that somebody still
    writes to.
    """
    if isinstance(error, OSError):
        return error.errno in _SHORTAGES
    # "can't start new thread"
    return isinstance(error, RuntimeError)


def tell_not_started(error: Exception, program: str, cwd: Path | None) -> JobFailure:
    """Return the failure of a run whose program could not be started, naming the program."""
    name = Path(program).name
    if is_shortage(error):
        message = f"the program {name} could not be started: the server is short of resources"
        return JobFailure(message, code="RES-005", after=AGAIN_SECONDS)
    reason = None if not isinstance(error, OSError) else _REASONS.get(error.errno or 0)
    if cwd is not None and getattr(error, "filename", None) == str(cwd):
        reason = "the directory that it shall work in is not there"
    message = f"the program {name} could not be started" + (f": {reason}" if reason else "")
    return JobFailure(message, code="CFG-001")
