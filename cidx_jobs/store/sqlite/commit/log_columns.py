"""Rows of the transition log, and back."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import JobStatus, Transition
from cidx_jobs.store.sqlite.values import ABSENT, NULLABLE, Row, from_microseconds, to_microseconds

EVENT_COLUMNS = (
    "seq",
    "job_id",
    "log.version",
    "jobs.user_id",
    "event",
    "from_status",
    "to_status",
    "at",
    "log.attempt",
    "log.run",
    "reason",
    "actor",
)
"""What is read of a row, joined with that of its job; see `decode_transition`."""
_STORED = (
    "seq",
    "job",
    "version",
    "event",
    "from_status",
    "to_status",
    "at",
    "attempt",
    "run",
    "reason",
    "actor",
)
_MAY_BE_ABSENT = frozenset({"from_status", "reason", "actor"})

_ROW = f"({', '.join(NULLABLE if name in _MAY_BE_ABSENT else '?' for name in _STORED)})"
_INTO = f"INSERT INTO log ({', '.join(_STORED)}) VALUES "  # noqa: S608 - constants of this module
_INSERT_ONE = _INTO + _ROW
_MANY = 25
"""Rows in one statement; more gain little, and every number of rows would be a statement more."""
_INSERT_MANY = _INTO + ", ".join([_ROW] * _MANY)

_TEXTS: Mapping[JobStatus | None, str | int] = {
    None: ABSENT,
    **{status: status.value for status in JobStatus},
}
"""What is bound for a status: a plain text, which sqlite3 binds at once."""


def insert_events(cursor: sqlite3.Cursor, rows: Sequence[Row]) -> None:
    """Write rows of the log: many in one statement, which takes four fifths of one for each."""
    whole = len(rows) - len(rows) % _MANY
    for first in range(0, whole, _MANY):
        cursor.execute(_INSERT_MANY, tuple(chain.from_iterable(rows[first : first + _MANY])))
    if whole < len(rows):
        cursor.executemany(_INSERT_ONE, rows[whole:])


def encode_transitions(transitions: Iterable[Transition], after: int, job: int) -> Iterator[Row]:
    """Yield the log rows of transitions of the row *job* of jobs, numbered from *after* + 1.

    Most of those that are stored together happened in one moment, which is encoded once.
    """
    at, microseconds = None, 0
    for sequence, transition in enumerate(transitions, after + 1):
        if transition.at is not at:
            at = transition.at
            microseconds = to_microseconds(at)
        yield (
            sequence,
            job,
            transition.version,
            transition.event,
            _TEXTS[transition.from_status],
            _TEXTS[transition.to_status],
            microseconds,
            transition.attempt,
            transition.run,
            ABSENT if transition.reason is None else transition.reason,
            ABSENT if transition.actor is None else transition.actor,
        )


def decode_transition(row: Row) -> Transition:
    """Return the transition that a row of the log holds."""
    sequence, job_id, version, user_id, event, before, after, at, attempt, run, *rest = row
    reason, actor = rest
    return Transition(
        sequence=sequence,
        job_id=JobId(job_id),
        version=version,
        user_id=UserId(user_id),
        event=event,
        from_status=None if before is None else JobStatus(before),
        to_status=JobStatus(after),
        at=from_microseconds(at),
        attempt=attempt,
        run=run,
        reason=reason,
        actor=actor,
    )
