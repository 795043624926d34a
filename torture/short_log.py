"""The job types of the tortured server, which puts its write-ahead log away after a few commits.

Otherwise only a long run would come to that, and each of its images would be large.
"""

from cidx_jobs.store.sqlite.commit import connection
from torture.jobs import TYPES

__all__ = ["TYPES"]

PAGES = 60
"""After how many pages in the log it is moved into the database."""

vars(connection)["_FOR_WRITING"] = (
    *vars(connection)["_FOR_WRITING"],
    f"PRAGMA wal_autocheckpoint = {PAGES}",
)
