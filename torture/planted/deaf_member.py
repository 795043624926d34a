"""A call in a process that shares a directory ends with the owner that it asked."""

from collections.abc import Awaitable, Callable
from typing import Any

from cidx_jobs.interfaces.door import JobDoor
from cidx_jobs.web.sharing.membership import SharedDoor
from torture.jobs import TYPES

__all__ = ["TYPES"]


async def _ask_once(self: SharedDoor, call: Callable[[JobDoor], Awaitable[Any]]) -> Any:
    return await call(self._find())


SharedDoor._ask = _ask_once  # type: ignore[method-assign]
