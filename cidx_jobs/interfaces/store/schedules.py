"""Where schedules are kept: what each says, and how far it has come."""

from collections.abc import Callable, Sequence
from typing import Protocol

from cidx_jobs.model.schedules.schedule import ScheduleKey, ScheduleState


class ScheduleStore(Protocol):
    """Keeps schedules by user and name.

    A time that is served is stored with its job, by `JobStore.save_changes`; a schedule of a
    project goes with it, by `ProjectStore.delete_project`.
    """

    async def load_schedules(self) -> Sequence[ScheduleState]:
        """Return all schedules that can be read, by user and name."""

    async def save_schedule(
        self, state: ScheduleState, on_commit: Callable[[], None] | None = None
    ) -> None:
        """Store a schedule that is one version further; one at version 1 is new.

        *on_commit* is called once after the commit, on the loop, in the order of the commits and
        before this returns; also when the caller was cancelled meanwhile.

        Raises:
            StaleScheduleError: it is at another version, is gone, or is there already.
        """

    async def delete_schedule(
        self, key: ScheduleKey, on_commit: Callable[[], None] | None = None
    ) -> bool:
        """Delete a schedule; False when there is none. *on_commit* is as above."""
