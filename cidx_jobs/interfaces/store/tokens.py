"""Where access tokens are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cidx_jobs.model.listing import Token


class TokenStore(Protocol):
    """Keeps access tokens, by the digests of their texts."""

    async def save_token(self, token: Token) -> None:
        """Store a token, new or changed."""

    async def find_token(self, digest: str) -> Token | None:
        """Return the token with the SHA-256 *digest* (hex); None also once it is revoked."""

    async def list_tokens(self) -> Sequence[Token]:
        """Return all tokens, oldest first."""

    async def delete_token(self, token_id: str) -> bool:
        """Revoke a token at once; False when there is none."""

    async def delete_expired_tokens(self, expired_before: datetime) -> int:
        """Delete the tokens that expired before a time; return how many.

        Where there are none, nothing is written.
        """
