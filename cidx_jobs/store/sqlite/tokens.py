"""Access tokens: their rows, writes and reads."""

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from cidx_jobs.interfaces.store.tokens import TokenStore
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.listing import Token
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.values import (
    Row,
    from_microseconds,
    optional_microseconds,
    optional_time,
    to_microseconds,
)

_COLUMNS = "token_id, user_id, scope, digest, created_at, expires_at, last_used_at, label"
# S608: the columns are the constant above.
_FIND = f"SELECT {_COLUMNS} FROM tokens WHERE digest = ?"  # noqa: S608
_LIST = f"SELECT {_COLUMNS} FROM tokens ORDER BY created_at, token_id"  # noqa: S608
_SAVE = f"""
INSERT INTO tokens ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (token_id) DO UPDATE
SET user_id = excluded.user_id, scope = excluded.scope, digest = excluded.digest,
created_at = excluded.created_at, expires_at = excluded.expires_at,
last_used_at = excluded.last_used_at, label = excluded.label
"""  # noqa: S608
_HAS_OLD = "SELECT 1 FROM tokens WHERE expires_at < ? LIMIT 1"
_DELETE_OLD = "DELETE FROM tokens WHERE expires_at < ?"
_DELETE = "DELETE FROM tokens WHERE token_id = ?"


class SqliteTokens(TokenStore):
    """The access tokens in the database."""

    def __init__(self, database: Database) -> None:
        """Take the database that holds them."""
        self._database = database

    @override
    async def save_token(self, token: Token) -> None:
        await self._database.execute(_SAVE, _encode(token))

    @override
    async def find_token(self, digest: str) -> Token | None:
        return await self._database.find_row(_FIND, (digest,), _decode)

    @override
    async def list_tokens(self) -> Sequence[Token]:
        return await self._database.list_rows(_LIST, (), _decode)

    @override
    async def delete_token(self, token_id: str) -> bool:
        return await self._database.execute(_DELETE, (token_id,)) == 1

    @override
    async def delete_expired_tokens(self, expired_before: datetime) -> int:
        bound = to_microseconds(expired_before)
        if await self._database.look_up(lambda db: db.execute(_HAS_OLD, (bound,)).fetchone()):
            return await self._database.execute(_DELETE_OLD, (bound,))
        return 0


def _encode(token: Token) -> Row:
    return (
        token.token_id,
        token.user_id,
        token.scope,
        token.digest,
        to_microseconds(token.created_at),
        optional_microseconds(token.expires_at),
        optional_microseconds(token.last_used_at),
        token.label,
    )


def _decode(row: Row) -> Token:
    return Token(
        token_id=row[0],
        user_id=UserId(row[1]),
        scope=row[2],
        digest=row[3],
        created_at=from_microseconds(row[4]),
        expires_at=optional_time(row[5]),
        last_used_at=optional_time(row[6]),
        label=row[7],
    )
