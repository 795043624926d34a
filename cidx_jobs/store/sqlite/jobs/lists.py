"""Reads of jobs: one, all that are unfinished, or a page of a list.

A list by user, status and type is put together from `ranges`: one for each pair of status and
type that is asked for. Their rows are merged here.
"""

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.listing import JobPage, JobQuery
from cidx_jobs.store.sqlite.jobs import list_sql as ranges
from cidx_jobs.store.sqlite.jobs.columns import JOB_COLUMNS, decode_job
from cidx_jobs.store.sqlite.jobs.list_sql import Range
from cidx_jobs.store.sqlite.values import to_microseconds

COUNTED = 10_000
"""The highest total with filters other than user, status and type (api.md, 1.6)."""

_LAST_ROW = 2**63 - 1
_COLUMNS = ", ".join(JOB_COLUMNS)
# S608: the columns are constants of `columns`.
_LOAD_JOB = f"SELECT {_COLUMNS} FROM jobs WHERE job_id = ?"  # noqa: S608
_LOAD_ROWS = f"""
SELECT row, {_COLUMNS} FROM jobs WHERE row IN (SELECT value FROM json_each(?))
"""  # noqa: S608
_LOAD_UNFINISHED = f"""
SELECT {_COLUMNS} FROM jobs INDEXED BY jobs_live WHERE finished_at IS NULL ORDER BY row
"""  # noqa: S608

# A skip from each type to the next one: there are few types and many jobs.
_NEXT_TYPE = """
SELECT min(job_type) FROM jobs INDEXED BY jobs_final
WHERE finished_at IS NOT NULL AND job_type > ?
"""
_TYPES_OF_USER = "SELECT DISTINCT job_type FROM finals WHERE user_id = ?"
_COUNT_FINAL = """
SELECT coalesce(sum(jobs), 0) FROM finals
WHERE (:job_type IS NULL OR job_type = :job_type)
AND status IN (SELECT value FROM json_each(:statuses))
"""
_COUNT_FINAL_OF_USER = f"{_COUNT_FINAL} AND user_id = :user_id"
_COUNT_LIVE = """
SELECT count(*) FROM jobs INDEXED BY jobs_live
WHERE finished_at IS NULL AND (:job_type IS NULL OR job_type = :job_type)
AND status IN (SELECT value FROM json_each(:statuses))
"""
_COUNT_LIVE_OF_USER = f"{_COUNT_LIVE} AND user_id = :user_id"


def load_job(connection: sqlite3.Connection, job_id: JobId) -> Job | None:
    """Give the job as it is committed."""
    row = connection.execute(_LOAD_JOB, (job_id,)).fetchone()
    return None if row is None else decode_job(row)


def load_unfinished_jobs(connection: sqlite3.Connection) -> tuple[Job, ...]:
    """Give every job that is not final, in the order of submits."""
    return tuple(map(decode_job, connection.execute(_LOAD_UNFINISHED)))


def query_jobs(connection: sqlite3.Connection, query: JobQuery) -> JobPage:
    """Give one page, and the total that was true at the same instant."""
    connection.execute("BEGIN")
    try:
        found = _ranges(connection, query)
        rows = _page(connection, found, query)
        total, is_exact = _count(connection, found, query)
        jobs = _load_rows(connection, rows[: query.limit])
    finally:
        connection.execute("COMMIT")
    return JobPage(
        jobs=jobs,
        total=total,
        total_is_exact=is_exact,
        next_row=rows[query.limit - 1] if len(rows) > query.limit else None,
    )


def _ranges(connection: sqlite3.Connection, query: JobQuery) -> list[Range]:
    fixed = {"user_id": query.user_id, "job_type": query.job_type}
    if query.statuses is None and all(value is None for value in fixed.values()):
        return [Range(ranges.WHOLE, {})]
    wanted = sorted(JobStatus if query.statuses is None else query.statuses)
    live = ranges.LIVE if query.user_id is None else ranges.LIVE_OF_USER
    final = ranges.FINAL if query.user_id is None else ranges.FINAL_OF_USER
    types = list(_types(connection, query))
    return [
        *(Range(live, {**fixed, "status": one}) for one in wanted if not one.is_final),
        *(
            Range(final, {**fixed, "status": one, "job_type": job_type})
            for one, job_type in itertools.product(wanted, types)
            if one.is_final
        ),
    ]


def _types(connection: sqlite3.Connection, query: JobQuery) -> Iterator[str]:
    if query.job_type is not None:
        yield query.job_type
    elif query.user_id is not None:
        for (job_type,) in connection.execute(_TYPES_OF_USER, (query.user_id,)):
            yield job_type
    else:
        job_type = ""
        while job_type := connection.execute(_NEXT_TYPE, (job_type,)).fetchone()[0]:
            yield job_type


def _page(connection: sqlite3.Connection, found: Sequence[Range], query: JobQuery) -> list[int]:
    """Give the page's row numbers, and one more if there is one."""
    offset = 0 if query.after_row is not None else query.offset
    is_one = len(found) == 1
    window = {
        **_filters(query),
        "bound": _bound(query),
        # From several ranges each might hold all that comes before the page.
        "offset": offset if is_one else 0,
        "limit": query.limit + 1 + (0 if is_one else offset),
    }
    rows = sorted(
        itertools.chain.from_iterable(
            _rows(connection, _statement(part, query), {**part.parameters, **window})
            for part in found
        ),
        reverse=query.newest_first,
    )
    start = 0 if is_one else offset
    return rows[start : start + query.limit + 1]


def _statement(part: Range, query: JobQuery) -> str:
    statements = part.statements
    if _has_filters(query):
        return statements.newest_filtered if query.newest_first else statements.oldest_filtered
    return statements.newest if query.newest_first else statements.oldest


def _rows(
    connection: sqlite3.Connection, statement: str, parameters: Mapping[str, Any]
) -> Iterator[int]:
    for (row,) in connection.execute(statement, parameters):
        yield row


def _bound(query: JobQuery) -> int:
    if query.after_row is not None:
        return query.after_row
    return _LAST_ROW if query.newest_first else 0


def _count(
    connection: sqlite3.Connection, found: Iterable[Range], query: JobQuery
) -> tuple[int, bool]:
    if not _has_filters(query):
        return _count_exactly(connection, query), True
    total = 0
    for part in found:
        parameters = {**part.parameters, **_filters(query), "counted": COUNTED + 1 - total}
        total += connection.execute(part.statements.count, parameters).fetchone()[0]
        if total > COUNTED:
            return COUNTED, False
    return total, True


def _count_exactly(connection: sqlite3.Connection, query: JobQuery) -> int:
    statuses = JobStatus if query.statuses is None else query.statuses
    parameters = {
        "user_id": query.user_id,
        "job_type": query.job_type,
        "statuses": json.dumps([status.value for status in statuses]),
    }
    of_user = query.user_id is not None
    counts = (
        _COUNT_FINAL_OF_USER if of_user else _COUNT_FINAL,
        _COUNT_LIVE_OF_USER if of_user else _COUNT_LIVE,
    )
    return sum(connection.execute(count, parameters).fetchone()[0] for count in counts)


def _has_filters(query: JobQuery) -> bool:
    return bool(query.project_id or query.labels or query.created_after or query.created_before)


def _filters(query: JobQuery) -> Mapping[str, Any]:
    after, before = query.created_after, query.created_before
    return {
        "project_id": query.project_id,
        "labels": json.dumps(query.labels) if query.labels else None,
        "created_after": None if after is None else to_microseconds(after),
        "created_before": None if before is None else to_microseconds(before),
    }


def _load_rows(connection: sqlite3.Connection, rows: Sequence[int]) -> tuple[Job, ...]:
    found = {
        row: decode_job(values)
        for row, *values in connection.execute(_LOAD_ROWS, (json.dumps(rows),))
    }
    return tuple(found[row] for row in rows)
