"""Attached: the calls of a job system whose jobs run in another process, and only there."""

import asyncio
import threading
from pathlib import Path
from typing import Self

from typing_extensions import override

from cidx_jobs.calls.from_thread import FromThread, check_own_loop, loop_for_other_threads
from cidx_jobs.interfaces.door import JobDoor
from cidx_jobs.model.errors import NotOwnedError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.system import AttachedSystem
from cidx_jobs.web.sharing.membership import SharedDoor
from cidx_jobs.web.sharing.remote_door import OwnerGoneError, RemoteDoor


class AttachedJobs(AttachedSystem):
    """Asks the owner of the moment; a call is asked again while one owner follows another."""

    def __init__(self, data_dir: Path) -> None:
        """Belong to a directory; nothing is opened yet."""
        self._data_dir = data_dir.absolute()
        self._remote = RemoteDoor(DataDirectory(self._data_dir))
        self._shared = SharedDoor(lambda: self._remote)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._from_thread = FromThread(self, self._loop_for_threads)

    @property
    @override
    def from_thread(self) -> FromThread:
        """The calls that other threads may make; each waits for its answer."""
        return self._from_thread

    @override
    async def __aenter__(self) -> Self:
        """Find the owner.

        Raises:
            NotOwnedError: nobody owns the directory, or who does answers nobody.
        """
        try:
            await self._remote.ping()
        except OwnerGoneError as error:
            await self.close()
            raise NotOwnedError(self._data_dir) from error
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        return self

    @override
    async def close(self) -> None:
        """Close the connections; closing twice is fine."""
        self._loop = None
        await self._remote.close()

    def _loop_for_threads(self) -> asyncio.AbstractEventLoop:
        return loop_for_other_threads(self._attached_loop(), self._thread)

    def _attached_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            message = "nothing is attached: use `async with`"
            raise RuntimeError(message)
        return self._loop

    @property
    @override
    def _door(self) -> JobDoor:
        # Whoever asks after the end would open connections that nobody closes any more.
        check_own_loop(self._attached_loop(), self._thread)
        return self._shared
