"""An event loop whose time is the simulation's, and a store whose commits take some of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

from cidx_jobs.model.errors import StorageUnavailableError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.listing import Change, IdempotencyRecord, Project
from cidx_jobs.model.schedules.schedule import ScheduleState
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.jobs import MemoryJobs
from tests.fakes import FakeClock


class _VirtualSelector:
    """Where the loop would wait for the world it jumps to the next timer instead."""

    def __init__(self, clock: FakeClock, on_idle: Callable[[], None]) -> None:
        self._clock = clock
        self._on_idle = on_idle

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            message = "nothing will ever happen again, and the simulation has not ended"
            raise RuntimeError(message)
        if timeout > 0:
            self._on_idle()
            self._clock.advance(timeout)
        return []

    def close(self) -> None:
        return


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without files, sockets and threads; its time is the clock's."""

    def __init__(self, clock: FakeClock) -> None:
        """Take the clock, which is advanced whenever nothing is ready."""
        super().__init__()
        self._clock = clock
        self.on_idle: Callable[[], None] = lambda: None
        self._selector = _VirtualSelector(clock, self._tell_idle)

    def _tell_idle(self) -> None:
        self.on_idle()

    def time(self) -> float:
        """Give the clock's monotonic seconds."""
        return self._clock.monotonic()

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        message = "a thread spoke to the simulation"
        raise AssertionError(message)


class SlowStore(MemoryJobs):
    """Commits one after the other, each after a while; some are refused, with nothing stored.

    As with the database, a caller that is cancelled does not undo what it asked for.
    """

    def __init__(self, random: Random) -> None:
        """Draw delays and refusals from *random*."""
        super().__init__(MemoryDatabase())
        self.refusals = 0.0
        """The share of the commits that is refused."""
        self.in_flight = 0
        self.refused_at = float("-inf")
        self.is_dead = False
        self._random = random
        self._turn = asyncio.Lock()

    def revive(self) -> None:
        """Begin another life after a crash; what was committed is still there."""
        self.is_dead = False
        self.in_flight = 0
        self._turn = asyncio.Lock()

    async def save_changes(
        self,
        changes: Sequence[Change],
        *,
        idempotency: IdempotencyRecord | None = None,
        projects: Sequence[Project] = (),
        schedule: ScheduleState | None = None,
        on_commit: Callable[[Sequence[Transition]], None] | None = None,
        on_refuse: Callable[[], None] | None = None,
    ) -> Sequence[Transition]:
        """Store the changes after a while."""
        save = super().save_changes
        rows: Sequence[Transition] = await self._after_a_while(
            lambda: save(
                changes,
                idempotency=idempotency,
                projects=projects,
                schedule=schedule,
                on_commit=on_commit,
            ),
            on_refuse,
        )
        return rows

    async def save_progress(
        self, jobs: Sequence[Job], on_commit: Callable[[Sequence[Job]], None] | None = None
    ) -> Sequence[JobId]:
        """Store the reports after a while."""
        save = super().save_progress
        stale: Sequence[JobId] = await self._after_a_while(lambda: save(jobs, on_commit))
        return stale

    async def save_checkpoint(
        self, change: Change, data: Any, on_commit: Callable[[], None] | None = None
    ) -> None:
        """Store the checkpoint after a while."""
        save = super().save_checkpoint
        await self._after_a_while(lambda: save(change, data, on_commit))

    async def _after_a_while(
        self, save: Callable[[], Awaitable[Any]], on_refuse: Callable[[], None] | None = None
    ) -> Any:
        self.in_flight += 1
        try:
            commit = asyncio.ensure_future(self._commit_or_refuse(save, on_refuse))
            commit.add_done_callback(_take_note)
            return await asyncio.shield(commit)
        finally:
            self.in_flight -= 1

    async def _commit_or_refuse(
        self, save: Callable[[], Awaitable[Any]], on_refuse: Callable[[], None] | None
    ) -> Any:
        try:
            return await self._commit(save)
        except (Exception, asyncio.CancelledError):
            if on_refuse is not None:
                on_refuse()
            raise

    async def _commit(self, save: Callable[[], Awaitable[Any]]) -> Any:
        async with self._turn:
            await asyncio.sleep(self._random.choice([0, 0.001, 0.01, 0.2]))
            if self.is_dead:
                raise asyncio.CancelledError
            if self._random.random() < self.refusals:
                self.refused_at = asyncio.get_running_loop().time()
                raise StorageUnavailableError
            return await save()


def _take_note(commit: "asyncio.Future[Any]") -> None:
    # Whoever asked may be gone; what became of it is then nobody's.
    if not commit.cancelled():
        commit.exception()
