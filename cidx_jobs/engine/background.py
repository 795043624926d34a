"""What the engine does all the time, each in a task of its own, from its start to its stop."""

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar


class Background(ABC):
    """A part of the engine with one task that goes on until it is stopped."""

    task_name: ClassVar[str]
    """What the task is called where tasks are listed."""
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._go_on(), name=self.task_name)

    async def stop(self) -> None:
        """End it, wherever it is; stopping twice is fine."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    @abstractmethod
    async def _go_on(self) -> None:
        """Work until the task is cancelled."""
