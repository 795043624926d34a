"""Authentication of a request: what it brings, and whom that proves."""

from collections.abc import Mapping
from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class Identity:
    """Who makes a request: a user, and what they may do."""

    user_id: str
    scopes: frozenset[str] = frozenset({"write"})
    """Of ``read``, ``write`` and ``admin``; each includes those before it."""

    def allows(self, scope: str) -> bool:
        """Return whether the scopes include *scope*."""
        order = ("read", "write", "admin")
        return any(order.index(own) >= order.index(scope) for own in self.scopes if own in order)

    @property
    def is_admin(self) -> bool:
        """True when this user sees every user's jobs."""
        return "admin" in self.scopes


@attrs.frozen(kw_only=True)
class Credentials:
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
