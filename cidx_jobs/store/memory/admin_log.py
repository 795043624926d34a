"""The admin log in memory."""

from collections.abc import Sequence

from msgspec.structs import replace
from typing_extensions import override

from cidx_jobs.interfaces.store.admin_log import MAX_ACTS, MAX_REFUSALS, AdminLogStore
from cidx_jobs.model.admin.log import AdminEntry
from cidx_jobs.store.memory.database import MemoryDatabase


class MemoryAdminLog(AdminLogStore):
    """Entries, oldest first."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Begin without an entry."""
        self._database = database
        self._entries: list[AdminEntry] = []
        self._number = 0

    @override
    async def add_entries(self, entries: Sequence[AdminEntry]) -> None:
        self._database.check_writable()
        for entry in entries:
            self._number += 1
            self._entries.append(replace(entry, number=self._number))
        for is_refusal, most in ((False, MAX_ACTS), (True, MAX_REFUSALS)):
            kept = [one for one in self._entries if one.is_refusal is is_refusal]
            for surplus in kept[:-most]:
                self._entries.remove(surplus)

    @override
    async def list_entries(self, *, limit: int, before: int | None = None) -> Sequence[AdminEntry]:
        fitting = [one for one in self._entries if before is None or one.number < before]
        return tuple(reversed(fitting))[:limit]
