"""A call in a process that shares a directory ends with the owner that it asked."""

from typing import Any

from cidx_jobs.interfaces.door import Command
from cidx_jobs.web.sharing.membership import SharedDoor
from torture.jobs import TYPES

__all__ = ["TYPES"]


async def _ask_one_owner(self: SharedDoor, command: Command[Any]) -> Any:
    return await self._find().ask(command)


SharedDoor._ask = _ask_one_owner  # type: ignore[method-assign]
