"""Notices of ends and the secrets that sign them: their rows, writes and reads."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import chain

import msgspec
from typing_extensions import override

from cidx_jobs.interfaces.store.end_notices import EndNoticeStore
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.webhooks.end_notice import EndNotice, NoticeTry
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.values import (
    Row,
    optional_microseconds,
    optional_time,
    to_json,
    to_microseconds,
)

_SAVE_SIGNER = """
INSERT INTO notify_secrets (user_id, sealed_secret, created_at) VALUES (?, ?, ?)
ON CONFLICT (user_id) DO UPDATE
SET sealed_secret = excluded.sealed_secret, created_at = excluded.created_at
"""
_FIND_SIGNER = "SELECT sealed_secret FROM notify_secrets WHERE user_id = ?"
_LIST_SIGNERS = "SELECT user_id, sealed_secret FROM notify_secrets ORDER BY user_id"
_DELETE_SIGNER = "DELETE FROM notify_secrets WHERE user_id = ?"
_GIVE_UP = """
UPDATE end_notices SET next_at = NULL, body = x'' WHERE user_id = ? AND next_at IS NOT NULL
"""
_COLUMNS = "webhook_id, job_id, version, user_id, url, body, tries, next_at"
# S608: the columns are the constant above.
_ADD = f"""
INSERT INTO end_notices ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job_id, version, url) DO NOTHING
"""  # noqa: S608
_LOAD = f"SELECT {_COLUMNS} FROM end_notices WHERE webhook_id = ?"  # noqa: S608
_LIST_PENDING = """
SELECT webhook_id, job_id, version, user_id, url, x'', '[]', next_at FROM end_notices
WHERE next_at IS NOT NULL ORDER BY next_at, webhook_id
"""
# The version of the end: the removal of a payload, which comes after it, is one more.
_HAS_NOTICE = """
EXISTS (
    SELECT 1 FROM end_notices AS told
    WHERE told.job_id = jobs.job_id AND told.version = jobs.version - (removed IS NOT NULL)
)
"""
_FIND_UNTOLD = f"""
SELECT job_id FROM jobs INDEXED BY jobs_to_tell
WHERE notify IS NOT NULL AND finished_at IS NOT NULL AND NOT {_HAS_NOTICE} LIMIT ?
"""  # noqa: S608 - a constant of this module
IS_TOLD = f"(notify IS NULL OR {_HAS_NOTICE})"
"""Of a final job: the notices of its end, if somebody wants some, are made."""
_SAVE_TRIES = "UPDATE end_notices SET tries = ?, next_at = ? WHERE webhook_id = ?"
_DROP_BODY = "UPDATE end_notices SET body = x'' WHERE webhook_id = ?"
_DELETE_WITHOUT_JOB = """
DELETE FROM end_notices WHERE webhook_id = ? AND job_id NOT IN (SELECT job_id FROM jobs)
"""
_DELETE_TOLD = """
DELETE FROM end_notices
WHERE job_id IN (SELECT value FROM json_each(?)) AND next_at IS NULL
"""
_LIST_TRIES = "SELECT tries FROM end_notices WHERE job_id = ?"

_decode_tries = msgspec.json.Decoder(tuple[NoticeTry, ...]).decode


class SqliteEndNotices(EndNoticeStore):
    """The notices in the database."""

    def __init__(self, database: Database) -> None:
        """Take the database that holds them."""
        self._database = database

    @override
    async def save_secret(self, user_id: UserId, sealed_secret: str, at: datetime) -> None:
        row = (user_id, sealed_secret, to_microseconds(at))
        await self._database.execute(_SAVE_SIGNER, row)

    @override
    async def find_secret(self, user_id: UserId) -> str | None:
        return await self._database.find_row(_FIND_SIGNER, (user_id,), lambda row: str(row[0]))

    @override
    async def list_secrets(self) -> Sequence[tuple[UserId, str]]:
        return await self._database.list_rows(
            _LIST_SIGNERS, (), lambda row: (UserId(row[0]), row[1])
        )

    @override
    async def forget_user(self, user_id: UserId) -> None:
        await self._database.write(partial(_forget_user, user_id))

    @override
    async def add_notices(self, notices: Sequence[EndNotice]) -> Sequence[EndNotice]:
        added: Sequence[EndNotice] = await self._database.write(partial(_add, notices))
        return added

    @override
    async def find_untold(self, limit: int) -> Sequence[JobId]:
        return await self._database.list_rows(_FIND_UNTOLD, (limit,), lambda row: JobId(row[0]))

    @override
    async def list_pending(self) -> Sequence[EndNotice]:
        return await self._database.list_rows(_LIST_PENDING, (), _decode)

    @override
    async def load_notice(self, webhook_id: str) -> EndNotice | None:
        return await self._database.find_row(_LOAD, (webhook_id,), _decode)

    @override
    async def save_try(self, webhook_id: str, tried: NoticeTry, next_at: datetime | None) -> None:
        await self._database.write(partial(_save_try, webhook_id, tried, next_at))

    @override
    async def list_tries(self, job_id: JobId) -> Sequence[NoticeTry]:
        rows = await self._database.list_rows(
            _LIST_TRIES, (job_id,), lambda row: _decode_tries(row[0])
        )
        return tuple(sorted(chain.from_iterable(rows), key=lambda tried: tried.at))


def delete_told(transaction: Transaction, job_ids: str) -> None:
    """Delete what was told of jobs that are deleted (a JSON list of ids)."""
    transaction.execute(_DELETE_TOLD, (job_ids,))


def _forget_user(user_id: UserId, transaction: Transaction) -> None:
    transaction.execute(_DELETE_SIGNER, (user_id,))
    transaction.execute(_GIVE_UP, (user_id,))


def _add(notices: Sequence[EndNotice], transaction: Transaction) -> Sequence[EndNotice]:
    added = []
    for notice in notices:
        transaction.execute(_ADD, _encode(notice))
        if transaction.cursor.rowcount == 1:
            added.append(notice)
    return tuple(added)


def _save_try(
    webhook_id: str, tried: NoticeTry, next_at: datetime | None, transaction: Transaction
) -> None:
    row = transaction.execute(_LOAD, (webhook_id,)).fetchone()
    if row is None:
        return
    notice = _decode(row)
    # Whoever was removed meanwhile is told nothing more.
    due = None if notice.next_at is None else optional_microseconds(next_at)
    transaction.execute(_SAVE_TRIES, (to_json((*notice.tries, tried)), due, webhook_id))
    if due is None:
        transaction.execute(_DROP_BODY, (webhook_id,))
        transaction.execute(_DELETE_WITHOUT_JOB, (webhook_id,))


def _encode(notice: EndNotice) -> Row:
    return (
        notice.webhook_id,
        notice.job_id,
        notice.version,
        notice.user_id,
        notice.url,
        notice.body,
        to_json(notice.tries),
        optional_microseconds(notice.next_at),
    )


def _decode(row: Row) -> EndNotice:
    return EndNotice(
        webhook_id=row[0],
        job_id=JobId(row[1]),
        version=row[2],
        user_id=UserId(row[3]),
        url=row[4],
        body=row[5],
        tries=_decode_tries(row[6]),
        next_at=optional_time(row[7]),
    )
