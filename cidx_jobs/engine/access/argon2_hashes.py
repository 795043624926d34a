"""Password hashes made and compared by argon2-cffi (the extra ``accounts``)."""

import functools
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# What the OWASP Password Storage Cheat Sheet asks for with one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """Return a new hash of the password, in the PHC form."""
    return _hasher.hash(password)


def fits(password: str, password_hash: str) -> bool:
    """Return whether the password is the one that the hash was made of."""
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(password_hash: str) -> bool:
    """Return whether the hash was made at another price than ours."""
    return _hasher.check_needs_rehash(password_hash)


@functools.cache
def hash_of_nobody() -> str:
    """Return a hash that no password fits: a user without account is compared with it."""
    return _hasher.hash(secrets.token_urlsafe())
