"""The ranges of rows that lists are put together from: constant statements with known plans.

Each range is a stretch of one index of ``schema/0001_jobs.sql`` (or of the table itself), from
which row numbers are read in the order of submits or against it. The indexes are named: a
statement that could not use its index would fail instead of searching the table.
"""

from collections.abc import Mapping
from typing import Any

import attrs

_WHOLE = "jobs WHERE 1"
_LIVE = """
jobs INDEXED BY jobs_live
WHERE finished_at IS NULL AND status = :status AND (:job_type IS NULL OR job_type = :job_type)
"""
_LIVE_OF_USER = """
jobs INDEXED BY jobs_live
WHERE finished_at IS NULL AND status = :status AND user_id = :user_id
AND (:job_type IS NULL OR job_type = :job_type)
"""
_FINAL = """
jobs INDEXED BY jobs_final
WHERE finished_at IS NOT NULL AND job_type = :job_type AND status = :status
"""
_FINAL_OF_USER = """
jobs INDEXED BY jobs_final_of_user
WHERE finished_at IS NOT NULL AND user_id = :user_id AND job_type = :job_type
AND status = :status
"""
_FURTHER = """
AND (:project_id IS NULL OR project_id = :project_id)
AND (:created_after IS NULL OR created_at > :created_after)
AND (:created_before IS NULL OR created_at < :created_before)
AND (:labels IS NULL OR NOT EXISTS (
    SELECT 1 FROM json_each(:labels) AS wanted
    WHERE NOT EXISTS (
        SELECT 1 FROM json_each(labels) AS own
        WHERE own.key = wanted.value ->> 0 AND own.value = wanted.value ->> 1
    )
))
"""
_NEWEST = "AND row < :bound ORDER BY row DESC LIMIT :limit OFFSET :offset"
_OLDEST = "AND row > :bound ORDER BY row ASC LIMIT :limit OFFSET :offset"


@attrs.frozen(kw_only=True)
class Statements:
    """The statements over one range; the first two give row numbers, the last how many."""

    newest: str
    oldest: str
    newest_filtered: str
    oldest_filtered: str
    count: str
    """At most ``:counted`` rows, filtered."""


@attrs.frozen
class Range:
    """A stretch of rows: its statements, and what fixes its ends."""

    statements: Statements
    parameters: Mapping[str, Any]


def _make(rows: str) -> Statements:
    # S608: the parts are the constants above.
    return Statements(
        newest=f"SELECT row FROM {rows} {_NEWEST}",  # noqa: S608
        oldest=f"SELECT row FROM {rows} {_OLDEST}",  # noqa: S608
        newest_filtered=f"SELECT row FROM {rows} {_FURTHER} {_NEWEST}",  # noqa: S608
        oldest_filtered=f"SELECT row FROM {rows} {_FURTHER} {_OLDEST}",  # noqa: S608
        count=f"SELECT count(*) FROM (SELECT 1 FROM {rows} {_FURTHER} LIMIT :counted)",  # noqa: S608
    )


WHOLE = _make(_WHOLE)
"""Every job."""
LIVE = _make(_LIVE)
"""The jobs of one status that is not final."""
LIVE_OF_USER = _make(_LIVE_OF_USER)
"""A user's jobs of one status that is not final."""
FINAL = _make(_FINAL)
"""The jobs of one type and final status."""
FINAL_OF_USER = _make(_FINAL_OF_USER)
"""A user's jobs of one type and final status."""
