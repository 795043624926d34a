"""Signed login tokens (JWT, RFC 7519), written and read by PyJWT (the extra ``accounts``)."""

from collections.abc import Mapping
from typing import Any

import jwt
from jwt.types import Options

_ALGORITHM = "HS256"
_OPTIONS: Options = {
    "require": ["sub", "iat", "exp", "gen"],
    # Held against the server's own clock by the reader.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


def write(claims: Mapping[str, Any], key: bytes) -> str:
    """Return the claims as a signed text."""
    return jwt.encode(dict(claims), key, algorithm=_ALGORITHM)


def read(text: str, key: bytes) -> Mapping[str, Any] | None:
    """Return the claims; None unless they were signed with the key, by our algorithm."""
    try:
        claims: Mapping[str, Any] = jwt.decode(
            text, key, algorithms=[_ALGORITHM], options=_OPTIONS
        )
    except jwt.InvalidTokenError:
        return None
    return claims
