"""Reads of jobs: one, all that are unfinished, or a page of a list.

A list by user, status and type is put together from ranges, one for each pair of status and type
that is asked for; their rows are merged here. A range is a stretch of one index of
``schema/0001_jobs.sql`` (or of the table itself), read in the order of submits or against it. The
indexes are named: a statement that could not use its index would fail instead of searching the
table.
"""

import itertools
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from cidx_jobs.model.errors import UnavailableError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.listing import (
    LONG_MEMBERS,
    MAX_LISTED_BYTES,
    ChildRecord,
    JobPage,
    JobQuery,
    UnreadJob,
)
from cidx_jobs.store.sqlite.jobs.columns import JOB_COLUMNS, decode_job, read_later
from cidx_jobs.store.sqlite.values import to_microseconds

COUNTED = 10_000
"""The highest total with filters other than user, status and type (api.md, 1.6)."""

LIST_SECONDS = 5.0
"""How long a list may be looked for: others wait for it."""
STEPS_BETWEEN_LOOKS = 20_000
"""Of SQLite's machine, some milliseconds of work."""

_LAST_ROW = 2**63 - 1
_COLUMNS = ", ".join(JOB_COLUMNS)
# S608: the columns are constants of `columns`.
_LOAD_JOB = f"SELECT {_COLUMNS} FROM jobs WHERE job_id = ?"  # noqa: S608
_LOAD_ROWS = f"""
SELECT row, {_COLUMNS} FROM jobs WHERE row IN (SELECT value FROM json_each(?))
"""  # noqa: S608
_BRIEF_COLUMNS = ", ".join(
    f"iif(length(CAST({name} AS BLOB)) > {MAX_LISTED_BYTES}, NULL, {name})"
    if name in LONG_MEMBERS
    else f"nullif({name}, {name})"
    if name == "attempts"
    else name
    for name in JOB_COLUMNS
)
_ARE_LONG = ", ".join(
    f"length(CAST({name} AS BLOB)) > {MAX_LISTED_BYTES}" for name in LONG_MEMBERS
)
_LOAD_BRIEF_ROWS = f"""
SELECT row, {_ARE_LONG}, {_BRIEF_COLUMNS} FROM jobs
WHERE row IN (SELECT value FROM json_each(?))
"""  # noqa: S608
_LOAD_UNFINISHED = f"""
SELECT {_COLUMNS} FROM jobs
WHERE row IN (SELECT row FROM jobs INDEXED BY jobs_live WHERE finished_at IS NULL) ORDER BY row
"""  # noqa: S608
# Of who merely waits only the place in the order is of interest at a start. What may be wrong with
# a row must come out then, and not when somebody first asks for the job.
_IS_PLAIN = """
status = 'queued' AND key_level IS NOT NULL AND losses = 0 AND NOT has_children
AND coalesce(place, limits, parent_id, joins, retry_at) IS NULL
AND coalesce(phases, progress_detail, warnings, attempts, checkpoint, notify) IS NULL
AND (options IS NULL OR json_valid(options)) AND (labels IS NULL OR json_valid(labels))
"""
_LOAD_FOR_RECOVERY = f"""
SELECT {_IS_PLAIN}, {_COLUMNS} FROM jobs
WHERE row IN (SELECT row FROM jobs INDEXED BY jobs_live WHERE finished_at IS NULL) ORDER BY row
"""  # noqa: S608

_LOAD_CHILDREN = """
SELECT parent_id, child_key, job_id, status FROM jobs INDEXED BY jobs_child
WHERE parent_id IN (SELECT value FROM json_each(?)) AND parent_id IS NOT NULL ORDER BY row
"""

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
_CHILDREN = """
jobs INDEXED BY jobs_child
WHERE parent_id = :parent_id
AND (:user_id IS NULL OR user_id = :user_id) AND (:job_type IS NULL OR job_type = :job_type)
AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
"""
_FURTHER = """
AND (:project_id IS NULL OR project_id = :project_id)
AND (:schedule IS NULL OR schedule = :schedule)
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


class Statements(msgspec.Struct, frozen=True, kw_only=True):
    """The statements over one range; the first four select row numbers, the last counts."""

    newest: str
    oldest: str
    newest_filtered: str
    oldest_filtered: str
    count: str
    """At most ``:counted`` rows, filtered."""


class Range(msgspec.Struct, frozen=True):
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


CHILDREN = _make(_CHILDREN)
"""The children of one job."""


def load_job(connection: sqlite3.Connection, job_id: JobId) -> Job | None:
    """Return the job as it is committed."""
    row = connection.execute(_LOAD_JOB, (job_id,)).fetchone()
    return None if row is None else decode_job(row)


def load_unfinished_jobs(connection: sqlite3.Connection) -> tuple[Job, ...]:
    """Return every job that is not final, in the order of submits."""
    return tuple(map(decode_job, connection.execute(_LOAD_UNFINISHED)))


def load_for_recovery(connection: sqlite3.Connection) -> tuple[Job | UnreadJob, ...]:
    """Return every job that is not final, in the order of submits; who merely waits is unread."""
    return tuple(
        read_later(row) if is_plain else decode_job(row)
        for is_plain, *row in connection.execute(_LOAD_FOR_RECOVERY)
    )


def load_children(
    connection: sqlite3.Connection, parent_ids: Sequence[JobId]
) -> tuple[ChildRecord, ...]:
    """Return what is stored of the jobs' children, in the order of their submits."""
    rows = connection.execute(_LOAD_CHILDREN, (json.dumps(parent_ids),))
    return tuple(
        ChildRecord(parent_id=parent, key=key, job_id=job_id, status=JobStatus(status))
        for parent, key, job_id, status in rows
    )


def query_jobs(connection: sqlite3.Connection, query: JobQuery) -> JobPage:
    """Return one page, and the total that was true at the same instant."""
    connection.execute("BEGIN")
    deadline = time.monotonic() + LIST_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_BETWEEN_LOOKS)
    try:
        found = _ranges(connection, query)
        rows = _page(connection, found, query)
        total, is_exact = _count(connection, found, query)
        load = _load_brief_rows if query.is_brief else _load_rows
        jobs, omitted = load(connection, rows[: query.limit])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        message = "this list takes too long: ask with fewer filters, or for a shorter time"
        raise UnavailableError(message) from error
    finally:
        connection.set_progress_handler(None, 0)
        connection.execute("COMMIT")
    return JobPage(
        jobs=jobs,
        total=total,
        total_is_exact=is_exact,
        next_row=rows[query.limit - 1] if len(rows) > query.limit else None,
        omitted=omitted,
    )


def _ranges(connection: sqlite3.Connection, query: JobQuery) -> list[Range]:
    fixed: dict[str, Any] = {"user_id": query.user_id, "job_type": query.job_type}
    is_of_all = query.statuses is None and query.parent_id is None
    if is_of_all and all(value is None for value in fixed.values()):
        return [Range(WHOLE, {})]
    if query.parent_id is not None:
        statuses = None if query.statuses is None else json.dumps(sorted(query.statuses))
        fixed |= {"parent_id": query.parent_id, "statuses": statuses}
        return [Range(CHILDREN, fixed)]
    wanted = sorted(JobStatus if query.statuses is None else query.statuses)
    live = LIVE if query.user_id is None else LIVE_OF_USER
    final = FINAL if query.user_id is None else FINAL_OF_USER
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
    """Return the page's row numbers, and one more if there is one."""
    # There are fewer rows than half of what a number of SQLite may be.
    offset = 0 if query.after_row is not None else min(query.offset, _LAST_ROW // 2)
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
    is_of_one = query.parent_id is not None
    return is_of_one or any(value is not None for value in _filters(query).values())


def _filters(query: JobQuery) -> Mapping[str, Any]:
    after, before = query.created_after, query.created_before
    return {
        "project_id": query.project_id,
        "schedule": query.schedule,
        "labels": json.dumps(query.labels) if query.labels else None,
        "created_after": None if after is None else to_microseconds(after),
        "created_before": None if before is None else to_microseconds(before),
    }


_Loaded = tuple[tuple[Job, ...], Mapping[JobId, tuple[str, ...]]]
"""Jobs, and what of which was left out."""


def _load_rows(connection: sqlite3.Connection, rows: Sequence[int]) -> _Loaded:
    found = {
        row: decode_job(values)
        for row, *values in connection.execute(_LOAD_ROWS, (json.dumps(rows),))
    }
    return tuple(found[row] for row in rows), {}


def _load_brief_rows(connection: sqlite3.Connection, rows: Sequence[int]) -> _Loaded:
    found: dict[int, Job] = {}
    omitted: dict[JobId, tuple[str, ...]] = {}
    for row, *values in connection.execute(_LOAD_BRIEF_ROWS, (json.dumps(rows),)):
        job = decode_job(values[len(LONG_MEMBERS) :])
        found[row] = job
        if left_out := tuple(itertools.compress(LONG_MEMBERS, values)):
            omitted[job.job_id] = left_out
    return tuple(found[row] for row in rows), omitted
