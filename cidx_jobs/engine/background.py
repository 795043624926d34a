"""What the engine does all the time, each in a task of its own, from its start to its stop."""

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar

from cidx_jobs.runtime.shielded import end_tasks


class Background(ABC):
    """A part of the engine with one task that goes on until it is stopped."""

    task_name: ClassVar[str]
    """What the task is called where tasks are listed."""
    _task: asyncio.Task[None] | None = None

    @property
    def is_at_work(self) -> bool:
        """True while its task goes on."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._go_on(), name=self.task_name)
        self._task.add_done_callback(_tell_of_fault)

    async def stop(self) -> None:
        """End it, wherever it is; stopping twice is fine."""
        if self._task is not None:
            task, self._task = self._task, None
            await end_tasks([task])

    @abstractmethod
    async def _go_on(self) -> None:
        """Work until the task is cancelled."""


def _tell_of_fault(task: asyncio.Task[None]) -> None:
    # Nobody awaits the task, and as long as it is held the loop by itself would not tell of it.
    error = None if task.cancelled() else task.exception()
    if error is not None:
        context = {"message": f"{task.get_name()} failed", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)
