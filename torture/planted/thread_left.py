"""A run ends though its thread is still at work."""

from collections.abc import Callable
from typing import Any

from cidx_jobs.engine.run.work import RunWork
from cidx_jobs.runtime.blocking import in_own_thread
from torture.jobs import TYPES

__all__ = ["TYPES"]


async def _in_thread(_: RunWork, function: Callable[..., Any], *arguments: Any) -> Any:
    return await in_own_thread(function, *arguments)


RunWork.in_thread = _in_thread  # type: ignore[assignment, method-assign]
