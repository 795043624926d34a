"""Reads of the transition log, by job, by user, or of everybody."""

import sqlite3

from cidx_jobs.model.job.job import Transition
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.store.sqlite.commit.known_rows import BLOCK_BITS
from cidx_jobs.store.sqlite.commit.log_columns import EVENT_COLUMNS, decode_transition

_COLUMNS = ", ".join(EVENT_COLUMNS)
_LAST_IN_BLOCK = (1 << BLOCK_BITS) - 1
# S608: the columns are constants.
_ALL = f"""
SELECT {_COLUMNS} FROM log CROSS JOIN jobs ON row = job WHERE seq > :after
ORDER BY seq LIMIT :limit
"""  # noqa: S608
# Block by block of those in which the user has rows: there is no index of all rows by user.
_OF_USER = f"""
SELECT {_COLUMNS} FROM log_users AS blocks
CROSS JOIN log ON seq BETWEEN block << {BLOCK_BITS} AND (block << {BLOCK_BITS}) + {_LAST_IN_BLOCK}
CROSS JOIN jobs ON row = job
WHERE blocks.user_id = :user_id AND block >= :after >> {BLOCK_BITS} AND seq > :after
AND jobs.user_id = :user_id
ORDER BY block, seq LIMIT :limit
"""  # noqa: S608
# A job's versions and its numbers in the log grow together.
_OF_JOB = f"""
SELECT {_COLUMNS} FROM jobs CROSS JOIN log ON job = row
WHERE job_id = :job_id AND seq > :after AND (:user_id IS NULL OR jobs.user_id = :user_id)
ORDER BY log.version LIMIT :limit
"""  # noqa: S608
_BOUNDS = "SELECT sequence, pruned_sequence FROM owner WHERE id = 1"


def query_events(connection: sqlite3.Connection, query: EventQuery) -> tuple[Transition, ...]:
    """Return rows of the log, oldest first."""
    parameters = {
        "job_id": query.job_id,
        "user_id": query.user_id,
        "after": query.after_sequence,
        "limit": query.limit,
    }
    return tuple(map(decode_transition, connection.execute(events_statement(query), parameters)))


def events_statement(query: EventQuery) -> str:
    """Return the statement that answers the query."""
    if query.job_id is not None:
        return _OF_JOB
    return _ALL if query.user_id is None else _OF_USER


def load_oldest_sequence(connection: sqlite3.Connection) -> int:
    """Return the number from which on the log is whole; 0 when it never held anything."""
    sequence, pruned = connection.execute(_BOUNDS).fetchone()
    return pruned + 1 if sequence else 0
