"""What runs use of the machine: memory and processor time of their child processes (psutil).

A job's own code shares the server's process and cannot be told apart; what it starts through
`JobContext.run`, and all that this starts in turn, is measured. Without the extra ``resources``
nothing is measured and no limit is held.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from cidx_jobs.engine.background import Background
from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.model.late_imports import import_late, is_there
from cidx_jobs.runtime.blocking import in_own_thread

_LOOK_SECONDS = 1.0

FindChildren = Callable[[], Mapping[ActiveRun, Sequence[int]]]
"""Return the process ids of the children that run now, by the run that started them."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the child processes of one run use now."""

    memory_bytes: int
    """Resident memory of all of them."""
    cpu_seconds: float
    """Processor time of those that live, with what their own ended children took."""


class Measured(Protocol):
    """A run whose handler is at work."""

    def use(self, usage: Usage) -> None:
        """Learn what the run's child processes use now."""


FindRun = Callable[[ActiveRun], Measured | None]
"""Return the run while its handler is at work."""


class ResourceWatch(Background):
    """Measures the children of the runs once a second, and tells the runs."""

    task_name: ClassVar[str] = "resource-watch"

    def __init__(
        self, find_children: FindChildren, find_run: FindRun, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        """Measure what *find_children* gives, every *look_seconds*."""
        self._find_children = find_children
        self._find_run = find_run
        self._look_seconds = look_seconds

    async def start(self) -> None:
        """Begin to measure, if there is something to measure with."""
        if is_there("psutil"):
            await super().start()

    async def look(self) -> None:
        """Measure once."""
        children = self._find_children()
        if not children:
            return
        # Reading /proc takes a while where a run has many processes, and so does loading psutil.
        usages = await in_own_thread(_measure_all, children)
        for run, usage in usages.items():
            measured = self._find_run(run)
            if measured is not None:
                measured.use(usage)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            await self.look()


def _measure_all(children: Mapping[ActiveRun, Sequence[int]]) -> Mapping[ActiveRun, Usage]:
    psutil = import_late("psutil")
    return {run: _measure(psutil, process_ids) for run, process_ids in children.items()}


def _measure(psutil: Any, process_ids: Sequence[int]) -> Usage:
    """Return what these processes and all below them use; one that has ended counts nothing."""
    memory, seconds = 0, 0.0
    for process_id in process_ids:
        try:
            root = psutil.Process(process_id)
            family = [root, *root.children(recursive=True)]
        except psutil.Error:
            continue
        for process in family:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    memory += process.memory_info().rss
            except psutil.Error:
                continue
            seconds += times.user + times.system + times.children_user + times.children_system
    return Usage(memory_bytes=memory, cpu_seconds=round(seconds, 2))
