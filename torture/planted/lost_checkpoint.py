"""`save_checkpoint` returns at once, and stores later."""

import asyncio
from typing import Any

from cidx_jobs.engine.run.run_record import RunRecorder
from torture.jobs import TYPES

__all__ = ["TYPES"]

_save = RunRecorder.save_checkpoint
_tasks: set[asyncio.Task[None]] = set()


async def _save_later(self: RunRecorder, run: Any, data: Any, progress: Any) -> None:
    async def save() -> None:
        await asyncio.sleep(0.2)
        await _save(self, run, data, progress)

    task = asyncio.create_task(save())
    _tasks.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    # A run that was over meanwhile refuses it: nobody is told, which is the bug.
    task.exception()


RunRecorder.save_checkpoint = _save_later  # type: ignore[method-assign]
