"""Logins: what a user gets for their password, good until it expires or their account changes."""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cidx_jobs.interfaces.access import Identity
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.accounts import AccountStore
from cidx_jobs.model.account import Account
from cidx_jobs.model.errors import ExtraMissingError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.late_imports import import_late
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.key_file import ensure_key

_FORM = re.compile(r"[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]{1,2048}\.[A-Za-z0-9_-]{1,128}")
_MANY = 10_000
"""So many verified logins are kept; beyond, all are verified anew. No flood of them fills
memory."""


class Login(msgspec.Struct, frozen=True):
    """The text to send as a bearer token, and whose it is."""

    token: str
    user_id: UserId
    role: str


class _Verified(msgspec.Struct, frozen=True):
    """A login that was read, and until when it is good (Unix seconds)."""

    identity: Identity
    expires: int


class Logins:
    """Issues and reads logins.

    Those that were read are kept by the digest of their text, since a signature takes longer to
    check than the rest of a request; whoever changes an account has them forgotten.
    """

    def __init__(
        self, accounts: AccountStore, clock: Clock, key_file: Path, lifetime_seconds: float
    ) -> None:
        """Take where accounts are kept, where the key lies, and how long a login is good."""
        self._accounts = accounts
        self._clock = clock
        self._key_file = key_file
        self._lifetime = int(lifetime_seconds)
        self._verified: dict[bytes, _Verified] = {}
        self._forgotten = 0
        self._reading_key = asyncio.Lock()
        self._key: bytes | None = None

    async def issue(self, account: Account) -> Login:
        """Return a new login of the account.

        Raises:
            ExtraMissingError: PyJWT is not installed.
        """
        tokens = import_late("cidx_jobs.engine.access.json_web_tokens")
        now = int(self._clock.now().timestamp())
        role = _identity_of(account).role
        claims = {
            "sub": account.user_id,
            "username": account.user_id,
            "role": role,
            "iat": now,
            "exp": now + self._lifetime,
            "gen": account.generation,
        }
        text: str = tokens.write(claims, await self._load_key())
        return Login(text, account.user_id, role)

    async def read(self, text: str) -> Identity | None:
        """Return whose login it is; None when it is none of ours, expired or revoked."""
        if _FORM.fullmatch(text) is None:
            return None
        digest = hashlib.sha256(text.encode()).digest()
        known = self._verified.get(digest)
        if known is None:
            known = await self._verify(text, digest)
        if known is None or known.expires <= self._clock.now().timestamp():
            self._verified.pop(digest, None)
            return None
        return known.identity

    def forget(self, user_id: UserId) -> None:
        """Look at the account again before any login of the user is taken."""
        self._forgotten += 1
        for digest, known in tuple(self._verified.items()):
            if known.identity.user_id == user_id:
                del self._verified[digest]

    async def _verify(self, text: str, digest: bytes) -> _Verified | None:
        try:
            tokens = import_late("cidx_jobs.engine.access.json_web_tokens")
        except ExtraMissingError:
            return None  # nobody can have logged in here
        claims: Mapping[str, Any] | None = tokens.read(text, await self._load_key())
        if claims is None or not isinstance(claims["exp"], int):
            return None
        before = self._forgotten
        account = await self._accounts.find_account(UserId(str(claims["sub"])))
        if account is None or account.generation != claims["gen"]:
            return None
        known = _Verified(_identity_of(account), claims["exp"])
        # What changed while the store was asked must not be kept as if it had not.
        if before == self._forgotten:
            if len(self._verified) >= _MANY:
                self._verified.clear()
            self._verified[digest] = known
        return known

    async def _load_key(self) -> bytes:
        if self._key is None:
            async with self._reading_key:
                if self._key is None:
                    self._key = await in_own_thread(ensure_key, self._key_file)
        return self._key


def _identity_of(account: Account) -> Identity:
    return Identity(user_id=account.user_id, scopes=frozenset({account.scope}))
