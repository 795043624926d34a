"""Stored secrets: encrypted by a key beside the database, since signing needs them readable."""

import asyncio
from pathlib import Path
from typing import Any

from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.model.late_imports import import_late
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.key_file import ensure_key


class SecretBox:
    """Encrypts and decrypts secrets with the key in a file, which is made when it is needed.

    The key is in no backup: whoever finds one learns no secret, and what was sealed by a key that
    is gone has to be made anew.
    """

    def __init__(self, key_file: Path) -> None:
        """Take where the key lies."""
        self._key_file = key_file
        self._key: bytes | None = None
        self._fernet: Any = None
        self._loading = asyncio.Lock()

    async def seal(self, secret: str) -> str:
        """Return the secret as it may be stored.

        Raises:
            ExtraMissingError: cryptography is not installed.
        """
        key = await self._load()
        sealed: str = self._fernet.encrypt(secret, key)
        return sealed

    async def open(self, sealed: str) -> str | None:
        """Return a secret that was sealed; None where that was with a key that is gone.

        Raises:
            ExtraMissingError: cryptography is not installed.
        """
        key = await self._load()
        secret: str | None = self._fernet.decrypt(sealed, key)
        return secret

    async def can_open(self, sealed: str) -> bool:
        """Tell whether the secret can be read with the key and the libraries that are here."""
        try:
            return await self.open(sealed) is not None
        except CidxJobsError:
            return False

    async def _load(self) -> bytes:
        if self._key is not None:
            return self._key
        async with self._loading:
            # It brings a library in C, which takes its time: nobody waits for that on the loop.
            self._fernet = await in_own_thread(import_late, "cidx_jobs.engine.webhooks.fernet")
            self._key = await in_own_thread(ensure_key, self._key_file)
        return self._key
