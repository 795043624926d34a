"""A job type for a server process of the tests: it tells what its processes inherit."""

import os

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType

_NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID")


def find_variables() -> list[str]:
    """Return which variables of a service manager this process has."""
    return [name for name in _NAMES if name in os.environ]


async def variables(context: JobContext) -> dict[str, object]:
    """Ask a process of the run's own."""
    return {"names": [*find_variables(), *await context.in_process(find_variables)]}


TYPES = [JobType("variables", variables)]
