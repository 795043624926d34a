"""Access tokens: their text, which is shown once, and what is stored of it."""

import hashlib
import secrets
from datetime import datetime, timedelta

from cidx_jobs.model.ids import UserId
from cidx_jobs.model.listing import Token

TOKEN_PREFIX = "cidxj_"  # noqa: S105 - every token begins with it, so that scanners find leaks
TOKEN_BYTES = 32
"""256 bits: no guess can meet one, so that a plain digest is enough at rest."""


def make_token(
    user_id: UserId,
    scope: str,
    *,
    now: datetime,
    lifetime_seconds: float | None = None,
    label: str | None = None,
) -> tuple[str, Token]:
    """Make a new token: its text, to be shown once, and what is to be stored.

    Args:
        user_id: who it lets in.
        scope: ``read``, ``write`` or ``admin``.
        now: the time it is made at.
        lifetime_seconds: how long it is good for; for ever if None.
        label: what it is for, in its owner's words.
    """
    text = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = None if lifetime_seconds is None else now + timedelta(seconds=lifetime_seconds)
    token = Token(
        token_id=secrets.token_hex(8),
        user_id=user_id,
        scope=scope,
        digest=digest_token(text),
        created_at=now,
        expires_at=expires_at,
        label=label,
    )
    return text, token


def digest_token(text: str) -> str:
    """Return the SHA-256 of a token's text, in hex: what is stored and looked up."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
