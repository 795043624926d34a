"""The way to the process that owns a data directory: its socket, and the token that it takes."""

import asyncio
import os

import aiohttp

from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.socket_paths import open_short_path
from cidx_jobs.settings import DataDirectory

AGAIN_SECONDS = 0.05
"""How often it is asked again while nobody owns the directory."""
GONE_SECONDS = 15.0
"""So long it is asked again."""


class OwnerConnection:
    """A client of ``DATA/server.sock``, whoever listens there now; opened at the first call."""

    def __init__(self, directory: DataDirectory, *, force_close: bool = False) -> None:
        """Belong to a directory; nothing is opened yet.

        Args:
            directory: whose owner it is.
            force_close: each request has a connection of its own, so that one that cannot be
                made tells for certain that nothing was asked.
        """
        self._directory = directory
        self._force_close = force_close
        self._session: aiohttp.ClientSession | None = None
        self._descriptor: int | None = None
        self._opening = asyncio.Lock()
        self._token: str | None = None

    async def open(self) -> aiohttp.ClientSession:
        """Return the session; its answers are left as they come.

        Raises:
            OSError: there is no such directory.
        """
        async with self._opening:
            if self._session is None:
                name, self._descriptor = await in_own_thread(
                    open_short_path, self._directory.server_socket
                )
                connector = aiohttp.UnixConnector(name, limit=0, force_close=self._force_close)
                self._session = aiohttp.ClientSession(
                    connector=connector,
                    auto_decompress=False,
                    skip_auto_headers=("Content-Type", "User-Agent", "Accept-Encoding"),
                )
            return self._session

    async def read_token(self) -> str:
        """Return the token of the directory.

        Raises:
            OSError: there is none that this process may read.
        """
        if self._token is None:
            text = await in_own_thread(self._directory.admin_token.read_text, "utf-8")
            self._token = text.strip()
        return self._token

    def forget_token(self) -> None:
        """Read the token anew at the next call: another owner may have another."""
        self._token = None

    async def close(self) -> None:
        """Close the connections; the next call opens them anew."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
