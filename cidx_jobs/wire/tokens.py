"""Access tokens: who may come in."""

from datetime import datetime
from typing import Self

from cidx_jobs.model.listing import Token
from cidx_jobs.wire.encode import Document


class TokenDocument(Document, frozen=True, kw_only=True):
    """An access token, without its text."""

    token_id: str
    user_id: str
    scope: str
    """``read``, ``write`` or ``admin``; each includes those before it."""
    label: str | None
    created_at: datetime
    expires_at: datetime | None
    """Null: good until it is revoked."""
    last_used_at: datetime | None
    """To the minute; null when it was never used."""

    @classmethod
    def of(cls, token: Token) -> Self:
        """Give the document of a token."""
        return cls(
            token_id=token.token_id,
            user_id=token.user_id,
            scope=token.scope,
            label=token.label,
            created_at=token.created_at,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
        )


class NewTokenDocument(Document, frozen=True, kw_only=True):
    """A token that was just made: the only time that its text is shown."""

    token: str
    """The text to send as ``Authorization: Bearer ...``."""
    token_id: str
    user_id: str
    scope: str
    label: str | None
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, text: str, token: Token) -> Self:
        """Give the document of a new token and its text."""
        return cls(
            token=text,
            token_id=token.token_id,
            user_id=token.user_id,
            scope=token.scope,
            label=token.label,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )


class TokenListDocument(Document, frozen=True, kw_only=True):
    """All tokens, oldest first."""

    tokens: tuple[TokenDocument, ...]
