"""What every store in memory shares: its identity, whether it is open, and the guarded rows."""

import uuid

from cidx_jobs.model.errors import StorageUnavailableError
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project, StoreIdentity
from cidx_jobs.model.schedules.schedule import ScheduleKey, ScheduleState
from cidx_jobs.model.webhooks.end_notice import EndNotice
from cidx_jobs.model.webhooks.push_hook import PushHook
from cidx_jobs.store.memory.table import JobTable


class MemoryDatabase:
    """Keeps what it holds when it is closed, so that opening it again is a restart."""

    def __init__(self) -> None:
        """Begin empty, with a new identity."""
        self.table = JobTable()
        self.projects: dict[tuple[UserId, ProjectId], Project] = {}
        self.end_notices: dict[str, EndNotice] = {}
        self.push_hooks: dict[tuple[UserId, ProjectId], PushHook] = {}
        self.schedules: dict[ScheduleKey, ScheduleState] = {}
        self.database_id = str(uuid.uuid4())
        self._epoch = 0
        self._stopped_epoch = 0
        self._is_open = False

    @property
    def can_write(self) -> bool:
        """True while it is open: nothing else can go wrong in memory."""
        return self._is_open

    def open(self) -> StoreIdentity:
        """Begin a new epoch."""
        self._epoch += 1
        self._is_open = True
        return StoreIdentity(
            uuid=self.database_id,
            epoch=self._epoch,
            clock_seconds=0.0,
            stopped_epoch=self._stopped_epoch,
        )

    def accept_stop(self) -> None:
        """Keep that this epoch was told to stop."""
        self._stopped_epoch = self._epoch

    def close(self) -> None:
        """Take no more writes until it is opened again."""
        self._is_open = False

    def check_writable(self) -> None:
        """Raise `StorageUnavailableError` unless it takes writes; each write begins with it."""
        if not self.can_write:
            raise StorageUnavailableError
