"""What others do when a job has changed: observers at once, hooks of the application after it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cidx_jobs.model.foreign import Raised, call_foreign
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.runtime.foreign_code import await_foreign
from cidx_jobs.runtime.log import get_logger

Observer = Callable[[Job, Sequence[Transition]], None]
"""Told of each committed transition, on the loop; must not block."""
Hook = Callable[[Job, Transition], Awaitable[None]]
"""An application's own; told in the order of the commits, one at a time."""

MAX_WAITING = 10_000
"""Transitions that a slow hook may be behind; further ones are dropped, counted and logged."""

_log = get_logger("engine")


class Hooks:
    """Tells of committed transitions; whatever fails here harms nothing."""

    def __init__(self) -> None:
        """Begin with nobody to tell."""
        self.dropped: int = 0
        self._observers: list[Observer] = []
        self._hooks: list[Hook] = []
        self._queue: asyncio.Queue[tuple[Job, Transition]] = asyncio.Queue(MAX_WAITING)
        self._task: asyncio.Task[None] | None = None

    def add_observer(self, observer: Observer) -> None:
        """Tell *observer* of each change from now on, with all its transitions at a time."""
        self._observers.append(observer)

    def add_hook(self, hook: Hook) -> None:
        """Await *hook* after each transition from now on."""
        self._hooks.append(hook)

    def tell(self, job: Job, transitions: Sequence[Transition]) -> None:
        """Tell of a job's committed transitions, one or more."""
        for observer in self._observers:
            # The change is stored and acknowledged; no observer may undo that.
            call_foreign(observer, job, transitions)
        if self._hooks:
            for transition in transitions:
                self._put_in_line(job, transition)

    def _put_in_line(self, job: Job, transition: Transition) -> None:
        try:
            self._queue.put_nowait((job, transition))
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped == 1:
                _log.warning("hooks_are_behind", waiting=MAX_WAITING)

    async def start(self) -> None:
        """Begin to await hooks."""
        self._task = asyncio.create_task(self._await_hooks(), name="hooks")

    async def settle(self) -> None:
        """Return once the hooks have heard of all that was told until now."""
        if self._task is not None:
            await self._queue.join()

    async def stop(self, seconds: float = 1.0) -> None:
        """Let the hooks have what is in line, for at most *seconds*; stopping twice is fine."""
        if self._task is None:
            return
        task, self._task = self._task, None
        rest = asyncio.create_task(self._queue.join(), name="hooks-rest")
        await asyncio.wait([rest], timeout=seconds)
        for each in (rest, task):
            each.cancel()
        await asyncio.wait([rest, task])
        # Whoever waits in `settle` waits for what will not be told any more.
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()

    async def _await_hooks(self) -> None:
        while True:
            job, transition = await self._queue.get()
            try:
                await self._await_each(job, transition)
            finally:
                self._queue.task_done()

    async def _await_each(self, job: Job, transition: Transition) -> None:
        for hook in self._hooks:
            raised = await await_foreign(hook, job, transition)
            if isinstance(raised, Raised):
                call_foreign(
                    _log.error,
                    "hook_failed",
                    job_id=job.job_id,
                    error=type(raised.error).__name__,
                    exc_info=raised.exc_info,
                )
