"""Authentication of a request: what it brings, and whom that proves."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import msgspec

_REACH: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "read": frozenset({"read"}),
        "write": frozenset({"read", "write"}),
        "audit": frozenset({"read", "audit"}),
        "admin": frozenset({"read", "write", "audit", "admin"}),
    }
)
"""The scopes that each scope includes."""


class Identity(msgspec.Struct, frozen=True):
    """Who makes a request: a user, and what they may do."""

    user_id: str
    scopes: frozenset[str] = frozenset({"write"})
    """Of ``read``, ``write`` and ``admin``, each of which includes those before it, and
    ``audit``, which reads what is known of everybody, but no code."""

    def allows(self, scope: str) -> bool:
        """Return whether the scopes include *scope*."""
        return any(scope in _REACH.get(own, frozenset()) for own in self.scopes)

    @property
    def is_admin(self) -> bool:
        """True when this user steers every user's jobs."""
        return "admin" in self.scopes

    @property
    def sees_everybody(self) -> bool:
        """True when this user reads every user's jobs and projects."""
        return "admin" in self.scopes or "audit" in self.scopes

    @property
    def reads_code(self) -> bool:
        """True when this user may search what was indexed: all may but an auditor."""
        return bool(self.scopes - {"audit"})

    @property
    def role(self) -> str:
        """What the CIDX client calls the holder of the scopes."""
        if self.is_admin:
            return "admin"
        return "auditor" if "audit" in self.scopes else "user"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a request brings to show who makes it."""

    authorization: str | None
    """The header ``Authorization`` as it came."""
    headers: Mapping[str, str]
    peer: str | None
    """The address of the other side; None over a unix socket."""


class Authenticator(Protocol):
    """Finds out who makes a request."""

    async def authenticate(self, credentials: Credentials) -> Identity | None:
        """Return the identity, or None when the credentials prove none (a 401)."""
