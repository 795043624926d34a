"""Attached: the calls of a job system whose jobs run in another process, and only there."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Self

from typing_extensions import override

from cidx_jobs.calls.job_calls import JobCalls
from cidx_jobs.interfaces.door import JobDoor
from cidx_jobs.model.errors import NotOwnedError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.web.sharing.membership import SharedDoor
from cidx_jobs.web.sharing.remote_door import OwnerGoneError, RemoteDoor


class AttachedJobs(JobCalls):
    """An async context manager; a call is asked again while one owner follows another."""

    def __init__(self, data_dir: Path) -> None:
        """Belong to a directory; nothing is opened yet."""
        self._data_dir = data_dir.absolute()
        self._remote = RemoteDoor(DataDirectory(self._data_dir))
        self._shared = SharedDoor(lambda: self._remote)

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
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close it, as `close` does."""
        await self.close()

    async def close(self) -> None:
        """Close the connections; closing twice is fine."""
        await self._remote.close()

    def start(self) -> Awaitable[Self]:
        """Open it, as ``async with`` does; whoever calls this calls `close` at the end."""
        return self.__aenter__()

    @property
    @override
    def _door(self) -> JobDoor:
        return self._shared
