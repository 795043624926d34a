"""Exit codes of the command line."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    """The job failed, a member was wrong, or anything that has no code of its own."""
    AUTHENTICATION = 2
    NETWORK = 3
    TIMEOUT = 4
    GIT_FAILED = 5
    """The job failed with the category ``git_operation``."""
    CANCELLED = 6
    NOT_FOUND = 7
    CONFLICT = 8
    USAGE = 64
    INTERRUPTED = 130
    """Ctrl-C."""
    TERMINATED = 143
    """SIGTERM of a client command; ``serve`` takes it as a request to stop well."""
