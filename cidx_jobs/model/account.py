"""A user's account: who logs in with a password, and what they may do then."""

from datetime import datetime

import msgspec

from cidx_jobs.model.ids import UserId

ACCOUNT_SCOPES = ("write", "audit", "admin")
"""What an account may be for."""
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 1_024
"""How long a password is that is set; the upper bound only keeps out what nobody can type."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One user's account as it is stored: never the password, only a hash of it."""

    user_id: UserId
    scope: str
    """``write``, ``audit`` or ``admin``."""
    password_hash: str
    """Argon2id in the PHC form; bcrypt from elsewhere until the first login."""
    generation: str
    """Random, and another after each change: a login of an older one is refused."""
    created_at: datetime
    changed_at: datetime
