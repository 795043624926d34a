"""Password hashes of other servers, compared by bcrypt (the extra ``accounts``)."""

import bcrypt

_MAX_BYTES = 72
"""Bcrypt looks at no more of a password; those who made the hash passed over the rest."""


def fits(password: str, password_hash: str) -> bool:
    """Return whether the password is the one that the hash was made of."""
    try:
        return bool(bcrypt.checkpw(password.encode()[:_MAX_BYTES], password_hash.encode()))
    except ValueError:
        # What looks like a hash and is none, or a password with NUL.
        return False
