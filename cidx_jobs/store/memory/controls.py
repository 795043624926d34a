"""An operator's limits and pauses in memory."""

from typing_extensions import override

from cidx_jobs.interfaces.store.controls import ControlStore
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.store.memory.database import MemoryDatabase


class MemoryControls(ControlStore):
    """The limits and pauses that were set last."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Begin with nothing set."""
        self._database = database
        self._controls: tuple[Limits | None, Pauses] = (None, Pauses())

    @override
    async def save_controls(self, limits: Limits | None, pauses: Pauses) -> None:
        self._database.check_writable()
        self._controls = (limits, pauses)

    @override
    async def load_controls(self) -> tuple[Limits | None, Pauses]:
        return self._controls
