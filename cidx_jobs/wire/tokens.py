"""Who may come in: access tokens, accounts, and the logins made with them."""

from datetime import datetime
from typing import Annotated, Self

from msgspec import Meta

from cidx_jobs.model.account import Account
from cidx_jobs.model.listing import Token
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.member_rules import SCOPES


class TokenDocument(Document, frozen=True, kw_only=True):
    """An access token, without its text."""

    token_id: Annotated[str, Meta(description="The token's public name.")]
    user_id: Annotated[str, Meta(description="Whose it is.")]
    scope: Annotated[str, Meta(description=SCOPES)]
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
    scope: Annotated[str, Meta(description=SCOPES)]
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


class UserDocument(Document, frozen=True, kw_only=True):
    """An account, without its password's hash."""

    user_id: Annotated[str, Meta(description="Whose it is.")]
    scope: Annotated[str, Meta(description="`write`, `audit` or `admin`.")]
    created_at: Annotated[datetime, Meta(description="When it was made.")]
    changed_at: Annotated[
        datetime,
        Meta(
            description="When its password or scope was set last; logins from before are refused."
        ),
    ]

    @classmethod
    def of(cls, account: Account) -> Self:
        """Return the document of an account."""
        return cls(
            user_id=account.user_id,
            scope=account.scope,
            created_at=account.created_at,
            changed_at=account.changed_at,
        )


class UserListDocument(Document, frozen=True, kw_only=True):
    """All accounts, by name."""

    users: Annotated[tuple[UserDocument, ...], Meta(description="The accounts.")]


class LoggedInDocument(Document, frozen=True, kw_only=True):
    """Who is logged in, as the CIDX client reads it."""

    username: Annotated[str, Meta(description="The user.")]
    role: Annotated[str, Meta(description="`admin`, `auditor` or `user`.")]


class LoginDocument(Document, frozen=True, kw_only=True):
    """A login that was just made."""

    access_token: Annotated[
        str, Meta(description="The text to send as `Authorization: Bearer ...` (a JWT).")
    ]
    token_type: Annotated[str, Meta(description="Always `bearer`.")]
    user: Annotated[LoggedInDocument, Meta(description="Whose it is.")]


class ValidDocument(Document, frozen=True, kw_only=True):
    """That a token is good, and whose it is."""

    valid: Annotated[bool, Meta(description="Always true: errors are problem documents.")]
    user: Annotated[LoggedInDocument, Meta(description="Whose it is.")]


class HealthyDocument(Document, frozen=True, kw_only=True):
    """That the server answers."""

    status: Annotated[str, Meta(description="Always `healthy`.")]
