"""Access tokens: who may come in."""

from datetime import datetime
from typing import Annotated, Self

from msgspec import Meta

from cidx_jobs.model.listing import Token
from cidx_jobs.wire.encode import Document


class TokenDocument(Document, frozen=True, kw_only=True):
    """An access token, without its text."""

    token_id: Annotated[str, Meta(description="The token's public name.")]
    user_id: Annotated[str, Meta(description="Whose it is.")]
    scope: Annotated[
        str, Meta(description="`read`, `write` or `admin`; each includes those before it.")
    ]
    label: Annotated[str | None, Meta(description="What it is for, in its owner's words.")]
    created_at: Annotated[datetime, Meta(description="When it was made.")]
    expires_at: Annotated[datetime | None, Meta(description="Null: good until it is revoked.")]
    last_used_at: Annotated[
        datetime | None, Meta(description="To the minute; null when it was never used.")
    ]

    @classmethod
    def of(cls, token: Token) -> Self:
        """Return the document of a token."""
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

    token: Annotated[str, Meta(description="The text to send as `Authorization: Bearer ...`.")]
    token_id: Annotated[str, Meta(description="The token's public name.")]
    user_id: Annotated[str, Meta(description="Whose it is.")]
    scope: Annotated[
        str, Meta(description="`read`, `write` or `admin`; each includes those before it.")
    ]
    label: Annotated[str | None, Meta(description="What it is for, in its owner's words.")]
    created_at: Annotated[datetime, Meta(description="When it was made.")]
    expires_at: Annotated[datetime | None, Meta(description="Null: good until it is revoked.")]

    @classmethod
    def of(cls, text: str, token: Token) -> Self:
        """Return the document of a new token and its text."""
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

    tokens: Annotated[tuple[TokenDocument, ...], Meta(description="The tokens.")]
