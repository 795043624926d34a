"""Access tokens in memory."""

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from cidx_jobs.interfaces.store.tokens import TokenStore
from cidx_jobs.model.listing import Token
from cidx_jobs.store.memory.database import MemoryDatabase


class MemoryTokens(TokenStore):
    """Tokens by id."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Begin without a token."""
        self._database = database
        self._tokens: dict[str, Token] = {}

    @override
    async def save_token(self, token: Token) -> None:
        self._database.check_writable()
        self._tokens[token.token_id] = token

    @override
    async def find_token(self, digest: str) -> Token | None:
        found = (token for token in self._tokens.values() if token.digest == digest)
        return next(found, None)

    @override
    async def list_tokens(self) -> Sequence[Token]:
        return tuple(sorted(self._tokens.values(), key=lambda token: token.created_at))

    @override
    async def delete_token(self, token_id: str) -> bool:
        self._database.check_writable()
        return self._tokens.pop(token_id, None) is not None

    @override
    async def delete_expired_tokens(self, expired_before: datetime) -> int:
        self._database.check_writable()
        old = [
            token.token_id
            for token in self._tokens.values()
            if token.expires_at is not None and token.expires_at < expired_before
        ]
        for token_id in old:
            del self._tokens[token_id]
        return len(old)
