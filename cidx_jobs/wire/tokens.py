"""Who may come in: access tokens, accounts, and the logins made with them."""

from datetime import datetime
from typing import Annotated

from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.member_rules import SCOPES, about


class TokenMembers(Document, frozen=True, kw_only=True):
    """What is told of every access token."""

    token_id: Annotated[str, about("The token's public name.")]
    user_id: Annotated[str, about("Whose it is.")]
    scope: Annotated[str, about(SCOPES)]
    label: Annotated[str | None, about("What it is for, in its owner's words.")]
    created_at: Annotated[datetime, about("When it was made.")]
    expires_at: Annotated[datetime | None, about("Null: good until it is revoked.")]


class TokenDocument(TokenMembers, frozen=True, kw_only=True):
    """An access token, without its text."""

    last_used_at: Annotated[datetime | None, about("To the minute; null when it was never used.")]


class NewTokenDocument(TokenMembers, frozen=True, kw_only=True):
    """A token that was just made: the only time that its text is shown."""

    token: Annotated[str, about("The text to send as `Authorization: Bearer ...`.")]


class TokenListDocument(Document, frozen=True, kw_only=True):
    """All tokens, oldest first."""

    tokens: Annotated[tuple[TokenDocument, ...], about("The tokens.")]


class UserDocument(Document, frozen=True, kw_only=True):
    """An account, without its password's hash."""

    user_id: Annotated[str, about("Whose it is.")]
    scope: Annotated[str, about("`write`, `audit` or `admin`.")]
    created_at: Annotated[datetime, about("When it was made.")]
    changed_at: Annotated[
        datetime, about("When its password or scope was set last; logins from before are refused.")
    ]


class UserListDocument(Document, frozen=True, kw_only=True):
    """All accounts, by name."""

    users: Annotated[tuple[UserDocument, ...], about("The accounts.")]


class LoggedInDocument(Document, frozen=True, kw_only=True):
    """Who is logged in, as the CIDX client reads it."""

    username: Annotated[str, about("The user.")]
    role: Annotated[str, about("`admin`, `auditor` or `user`.")]


class LoginDocument(Document, frozen=True, kw_only=True):
    """A login that was just made."""

    access_token: Annotated[str, about("The text to send as `Authorization: Bearer ...` (a JWT).")]
    token_type: Annotated[str, about("Always `bearer`.")]
    user: Annotated[LoggedInDocument, about("Whose it is.")]


class ValidDocument(Document, frozen=True, kw_only=True):
    """That a token is good, and whose it is."""

    valid: Annotated[bool, about("Always true: errors are problem documents.")]
    user: Annotated[LoggedInDocument, about("Whose it is.")]


class HealthyDocument(Document, frozen=True, kw_only=True):
    """That the server answers."""

    status: Annotated[str, about("Always `healthy`.")]
