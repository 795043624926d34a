"""What runs use of the machine: memory and processor time of their child processes (psutil).

A job's own code shares the server's process and cannot be told apart; what it starts through
`JobContext.run`, and all that this starts in turn, is measured. Without the extra ``resources``
nothing is measured and no limit is held.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import attrs

from cidx_jobs.engine.progress import ProgressTracker
from cidx_jobs.interfaces import ActiveRun

try:
    import psutil
except ImportError:  # pragma: no cover - the tests have every extra
    psutil = None  # type: ignore[assignment]  # the extra is not installed

_LOOK_SECONDS = 1.0

FindChildren = Callable[[], Mapping[ActiveRun, Sequence[int]]]
"""Gives the process ids of the children that run now, by the run that started them."""


@attrs.frozen(kw_only=True)
class Usage:
    """What the child processes of one run use now."""

    memory_bytes: int
    """Resident memory of all of them."""
    cpu_seconds: float
    """Processor time of those that live, with what their own ended children took."""


@attrs.frozen
class _Watched:
    tracker: ProgressTracker
    max_memory_bytes: int | None
    on_excess: Callable[[int], None]


class ResourceWatch:
    """Measures the children of the runs once a second, and tells of those over their limit."""

    def __init__(self, find_children: FindChildren, look_seconds: float = _LOOK_SECONDS) -> None:
        """Measure what *find_children* gives, every *look_seconds*."""
        self._find_children = find_children
        self._look_seconds = look_seconds
        self._watched: dict[ActiveRun, _Watched] = {}
        self._task: asyncio.Task[None] | None = None

    def add(
        self,
        run: ActiveRun,
        tracker: ProgressTracker,
        max_memory_bytes: int | None,
        on_excess: Callable[[int], None],
    ) -> None:
        """Watch a run; *on_excess* is called with what it uses once that is over its limit."""
        self._watched[run] = _Watched(tracker, max_memory_bytes, on_excess)

    def drop(self, run: ActiveRun) -> None:
        """Watch a run no longer."""
        self._watched.pop(run, None)

    async def start(self) -> None:
        """Begin to measure, if there is something to measure with."""
        if psutil is not None:
            self._task = asyncio.create_task(self._look_forever(), name="resource-watch")

    async def stop(self) -> None:
        """End it; stopping twice is fine."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    async def look(self) -> None:
        """Measure once."""
        children = self._find_children()
        if not children:
            return
        # Reading /proc takes a while where a run has many processes.
        usages = await asyncio.to_thread(_measure_all, children)
        for run, usage in usages.items():
            watched = self._watched.get(run)
            if watched is None:
                continue
            watched.tracker.set_usage(usage.memory_bytes, usage.cpu_seconds)
            limit = watched.max_memory_bytes
            if limit is not None and usage.memory_bytes > limit:
                watched.on_excess(usage.memory_bytes)

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            await self.look()


def measure(process_ids: Sequence[int]) -> Usage:
    """Give what these processes and all below them use; one that has ended counts nothing."""
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


def _measure_all(children: Mapping[ActiveRun, Sequence[int]]) -> dict[ActiveRun, Usage]:
    return {run: measure(process_ids) for run, process_ids in children.items()}
