"""Schedules in memory."""

from collections.abc import Callable, Sequence

from typing_extensions import override

from cidx_jobs.interfaces.store.schedules import ScheduleStore
from cidx_jobs.model.errors import StaleScheduleError
from cidx_jobs.model.schedules.schedule import ScheduleKey, ScheduleState
from cidx_jobs.store.memory.database import MemoryDatabase


class MemorySchedules(ScheduleStore):
    """Schedules by user and name."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Take where they are kept: the submits of jobs write there, too."""
        self._database = database

    @override
    async def load_schedules(self) -> Sequence[ScheduleState]:
        return tuple(state for _, state in sorted(self._database.schedules.items()))

    @override
    async def save_schedule(
        self, state: ScheduleState, on_commit: Callable[[], None] | None = None
    ) -> None:
        self._database.check_writable()
        check_schedule(self._database, state)
        self._database.schedules[state.key] = state
        if on_commit is not None:
            on_commit()

    @override
    async def delete_schedule(
        self, key: ScheduleKey, on_commit: Callable[[], None] | None = None
    ) -> bool:
        self._database.check_writable()
        was_there = self._database.schedules.pop(key, None) is not None
        if on_commit is not None:
            on_commit()
        return was_there


def check_schedule(database: MemoryDatabase, state: ScheduleState) -> None:
    """Raise `StaleScheduleError` unless the stored one is one version behind."""
    known = database.schedules.get(state.key)
    if (known.version if known else 0) != state.version - 1:
        raise StaleScheduleError(state.schedule.name)
