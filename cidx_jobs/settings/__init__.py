"""What a server is told before it starts, and where things lie in its data directory."""

from cidx_jobs.settings.data_directory import (
    BACKUP_DRAFT_SUFFIX,
    REMOVED_PREFIX,
    WORK_PREFIX,
    DataDirectory,
    make_private_directory,
)
from cidx_jobs.settings.settings import Settings, count_processors
from cidx_jobs.settings.sources import (
    CLIENT_VARIABLES,
    PREFIX,
    read_proxy_variables,
    read_variables,
)

__all__ = [
    "BACKUP_DRAFT_SUFFIX",
    "CLIENT_VARIABLES",
    "PREFIX",
    "REMOVED_PREFIX",
    "WORK_PREFIX",
    "DataDirectory",
    "Settings",
    "count_processors",
    "make_private_directory",
    "read_proxy_variables",
    "read_variables",
]
