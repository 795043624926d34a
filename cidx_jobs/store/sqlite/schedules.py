"""Schedules: their rows, writes and reads."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec
from typing_extensions import override

from cidx_jobs.interfaces.store.schedules import ScheduleStore
from cidx_jobs.model.errors import StaleScheduleError, ValidationError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.schedules.schedule import Schedule, ScheduleKey, ScheduleState
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.values import (
    Row,
    from_microseconds,
    optional_microseconds,
    optional_time,
    to_json,
    to_microseconds,
)

_COLUMNS = """
user_id, name, project_id, version, says, is_declared, created_at, changed_at, settled_at, owed_at,
missed, last_at, last_job_id, last_error
"""
# S608: the columns are the constant above.
_LOAD = f"SELECT {_COLUMNS} FROM schedules ORDER BY user_id, name"  # noqa: S608
_INSERT = f"""
INSERT INTO schedules ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""  # noqa: S608
_UPDATE = f"""
UPDATE schedules SET ({_COLUMNS}) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
WHERE user_id = ?1 AND name = ?2 AND version = ?4 - 1
"""  # noqa: S608
_DELETE = "DELETE FROM schedules WHERE user_id = ? AND name = ?"

_log = get_logger("store")


class SqliteSchedules(ScheduleStore):
    """The schedules in the database."""

    def __init__(self, database: Database) -> None:
        """Take the database that holds them."""
        self._database = database

    @override
    async def load_schedules(self) -> Sequence[ScheduleState]:
        return await self._database.search(_load)

    @override
    async def save_schedule(
        self, state: ScheduleState, on_commit: Callable[[], None] | None = None
    ) -> None:
        operation = partial(save_schedule, schedule=encode_schedule(state))
        await self._database.write(operation, None if on_commit is None else lambda _: on_commit())

    @override
    async def delete_schedule(
        self, key: ScheduleKey, on_commit: Callable[[], None] | None = None
    ) -> bool:
        was_there: bool = await self._database.write(
            partial(_delete, key=key), None if on_commit is None else lambda _: on_commit()
        )
        return was_there


def save_schedule(transaction: Transaction, schedule: Row) -> None:
    """Store a schedule that is one version further, or new.

    Raises:
        StaleScheduleError: it is at another version, is gone, or is there already.
    """
    _, name, _, version, *_ = schedule
    transaction.execute(_INSERT if version == 1 else _UPDATE, schedule)
    if transaction.cursor.rowcount != 1:
        raise StaleScheduleError(name)


def encode_schedule(state: ScheduleState) -> Row:
    """Return the row of a schedule."""
    schedule = state.schedule
    return (
        schedule.user_id,
        schedule.name,
        schedule.project_id,
        state.version,
        to_json(schedule),
        int(state.is_declared),
        to_microseconds(state.created_at),
        to_microseconds(state.changed_at),
        to_microseconds(state.settled_at),
        optional_microseconds(state.owed_at),
        state.missed,
        optional_microseconds(state.last_at),
        state.last_job_id,
        state.last_error,
    )


def _delete(transaction: Transaction, key: ScheduleKey) -> bool:
    transaction.execute(_DELETE, key)
    return transaction.cursor.rowcount == 1


def _load(connection: sqlite3.Connection) -> tuple[ScheduleState, ...]:
    return tuple(_readable(connection.execute(_LOAD)))


def _readable(rows: sqlite3.Cursor) -> Iterator[ScheduleState]:
    for row in rows:
        try:
            schedule = msgspec.json.decode(row[4], type=Schedule)
        except (ValidationError, msgspec.DecodeError) as error:
            # As when its time zone is none any more: the others go on.
            _log.warning("schedule_unreadable", user_id=row[0], schedule=row[1], error=str(error))
            continue
        yield ScheduleState(
            schedule=schedule,
            version=row[3],
            is_declared=bool(row[5]),
            created_at=from_microseconds(row[6]),
            changed_at=from_microseconds(row[7]),
            settled_at=from_microseconds(row[8]),
            owed_at=optional_time(row[9]),
            missed=row[10],
            last_at=optional_time(row[11]),
            last_job_id=None if row[12] is None else JobId(row[12]),
            last_error=row[13],
        )
