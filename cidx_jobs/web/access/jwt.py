"""Tokens that another server signs (JWT, RFC 7519): the way in ``auth = jwt``."""

import asyncio
import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from typing_extensions import override

from cidx_jobs.engine.operator_rules import is_user_id
from cidx_jobs.interfaces.access import Authenticator, Credentials, Identity
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.model.errors import ExtraMissingError, SettingsError
from cidx_jobs.model.late_imports import import_late
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.settings import Settings
from cidx_jobs.web.access.bearer import read_bearer
from cidx_jobs.web.access.scope_words import read_scopes

LOOK_SECONDS = 1.0
"""How old what is known of the key's file may be."""
SKEW_SECONDS = 10.0
"""So far another server's clock may be ahead: a token that begins in this time is taken."""

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MANY = 10_000

_log = get_logger("web")

Claims = Mapping[str, Any]


class _Verified(msgspec.Struct, frozen=True):
    """A token that was verified, and until when it is good (Unix seconds)."""

    identity: Identity
    expires: float


class JwtAuthenticator(Authenticator):
    """Knows whom a token names that was signed with the key in the settings.

    A signature takes longer to check than the rest of a request: tokens that were verified are
    kept by the digest of their text until they expire, or another key is there.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Take the rules that tokens are held against, and the key or its file."""
        self._settings = settings
        self._clock = clock
        self._verified: dict[bytes, _Verified] = {}
        self._keys: Any = None
        self._mark: object = None
        self._looked_at = -math.inf
        self._looking = asyncio.Lock()

    @override
    async def authenticate(self, credentials: Credentials) -> Identity | None:
        """Return whom the token names; None when it proves nothing."""
        text = read_bearer(credentials.authorization)
        if text is None or not _FORM.fullmatch(text):
            return None
        if self._clock.monotonic() - self._looked_at >= LOOK_SECONDS:
            await self._look()
        digest = hashlib.sha256(text.encode()).digest()
        known = self._verified.get(digest) or self._verify(text, digest)
        if known is None:
            return None
        if known.expires <= self._clock.now().timestamp():
            self._verified.pop(digest, None)
            return None
        return known.identity

    async def open(self) -> None:
        """Read the key.

        Raises:
            SettingsError: it cannot be used; the text names the setting.
        """
        self._keys, self._mark = await in_own_thread(_read_marked, self._settings)
        self._looked_at = self._clock.monotonic()

    async def _look(self) -> None:
        """Read the key's file again if it is another."""
        async with self._looking:
            if self._clock.monotonic() - self._looked_at < LOOK_SECONDS:
                return
            try:
                if self._keys is None or await in_own_thread(_mark, self._settings) != self._mark:
                    await self.open()
                    self._verified.clear()
            except SettingsError as error:
                # Half a file, maybe, that somebody is just writing: the keys that there were
                # count until there are others.
                _log.warning("jwt_key_not_read", reason=error.message)
            self._looked_at = self._clock.monotonic()

    def _verify(self, text: str, digest: bytes) -> _Verified | None:
        claims: Claims | None = None if self._keys is None else self._keys.read(text)
        if claims is None:
            return None
        known = self._accept(claims)
        if known is None:
            return None
        if len(self._verified) >= _MANY:
            self._verified.clear()
        self._verified[digest] = known
        return known

    def _accept(self, claims: Claims) -> _Verified | None:
        settings = self._settings
        expires, begins = _time(claims.get("exp")), _time(claims.get("nbf", 0))
        if expires is None or begins is None:
            return None
        if begins > self._clock.now().timestamp() + SKEW_SECONDS:
            return None
        if not _is_for(claims.get("aud"), settings.jwt_audience):
            return None
        if settings.jwt_issuer is not None and claims.get("iss") != settings.jwt_issuer:
            return None
        user_id = claims.get(settings.jwt_user_claim or "sub")
        if not isinstance(user_id, str) or not is_user_id(user_id):
            return None
        scopes = _scopes(claims, settings.jwt_scope_claim or "scope")
        return _Verified(Identity(user_id=user_id, scopes=scopes), expires)


def read_keys(settings: Settings) -> Any:
    """Return the keys that the settings name; blocks for a moment.

    Raises:
        SettingsError: they cannot be used; the text names the setting.
    """
    return _read_marked(settings)[0]


def _read_marked(settings: Settings) -> tuple[Any, object]:
    """Return the keys, and what their file was like when they were read."""
    try:
        reader = import_late("cidx_jobs.engine.access.verification_keys")
    except ExtraMissingError as error:
        message = f"auth: jwt: {error.message}"
        raise SettingsError(message) from error
    file = settings.jwt_key_file
    name = "jwt_key" if file is None else "jwt_key_file"
    try:
        # Looked at before it is read: a file that changes in between is read once more.
        mark = _mark(settings)
        material = (settings.jwt_key or "").encode() if file is None else file.read_bytes()
        keys = reader.read_verification_keys(material, settings.jwt_algorithm)
    except OSError as error:
        message = f"{name}: {file} cannot be read: {error.strerror or error}"
        raise SettingsError(message) from error
    except ValueError as error:
        message = f"{name}: {error}"
        raise SettingsError(message) from error
    return keys, mark


def _mark(settings: Settings) -> object:
    """Return what is another when the key's file is."""
    file: Path | None = settings.jwt_key_file
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return "none"
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)


def _time(value: Any) -> float | None:
    """Return a NumericDate (RFC 7519, 2); None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def _is_for(audience: Any, wanted: str | None) -> bool:
    if wanted is None:
        return True
    return audience == wanted or (isinstance(audience, list) and wanted in audience)


def _scopes(claims: Claims, name: str) -> frozenset[str]:
    if name not in claims:
        return frozenset({"write"})
    value = claims[name]
    words = value if isinstance(value, list) else str(value).split()
    return read_scopes(words, are_roles=name == "role")
