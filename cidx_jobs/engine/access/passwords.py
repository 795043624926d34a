"""Passwords: hashed and compared off the event loop, and at most two at a time."""

import asyncio
import re
from typing import Any, ClassVar

import msgspec

from cidx_jobs.model.late_imports import import_late
from cidx_jobs.runtime.blocking import in_own_thread

ARGON2 = re.compile(r"\$argon2id\$v=[0-9]+\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/$]+")
BCRYPT = re.compile(r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}")
"""The hashes that are taken from elsewhere."""

_ARGON2_HASHES = "cidx_jobs.engine.access.argon2_hashes"
_BCRYPT_HASHES = "cidx_jobs.engine.access.bcrypt_hashes"


class Verdict(msgspec.Struct, frozen=True):
    """What came of a comparison."""

    fits: bool
    is_outdated: bool = False
    """The hash is to be made anew: it is bcrypt's, or was made at another price."""


class Passwords:
    """Makes and compares hashes.

    Each takes tens of milliseconds of a core and 19 MiB: two at a time leave a small machine to
    its jobs however many log in.
    """

    at_a_time: ClassVar[int] = 2

    def __init__(self) -> None:
        """Begin without a comparison under way."""
        self._places = asyncio.Semaphore(self.at_a_time)

    async def hash(self, password: str) -> str:
        """Return a new argon2id hash of the password.

        Raises:
            ExtraMissingError: argon2-cffi is not installed.
        """
        hashes = import_late(_ARGON2_HASHES)
        async with self._places:
            made: str = await in_own_thread(hashes.hash_password, password)
        return made

    async def compare(self, password: str, password_hash: str | None) -> Verdict:
        """Compare the password with a hash; without one it takes as long, and does not fit.

        Raises:
            ExtraMissingError: the library for this kind of hash is not installed.
        """
        argon2 = import_late(_ARGON2_HASHES)
        is_bcrypt = password_hash is not None and BCRYPT.fullmatch(password_hash) is not None
        bcrypt = import_late(_BCRYPT_HASHES) if is_bcrypt else None
        async with self._places:
            return await in_own_thread(_compare, argon2, bcrypt, password, password_hash)


def is_known_hash(text: str) -> bool:
    """Return whether the text is a hash of a kind that passwords are compared with."""
    return any(kind.fullmatch(text) is not None for kind in (ARGON2, BCRYPT))


def _compare(argon2: Any, bcrypt: Any, password: str, password_hash: str | None) -> Verdict:
    if bcrypt is not None:
        return Verdict(fits=bcrypt.fits(password, password_hash), is_outdated=True)
    # Made before anything is compared: the first unknown user takes no longer than the next.
    nobody = argon2.hash_of_nobody()
    if password_hash is None:
        argon2.fits(password, nobody)
        return Verdict(fits=False)
    fits = argon2.fits(password, password_hash)
    return Verdict(fits=fits, is_outdated=fits and argon2.is_outdated(password_hash))
