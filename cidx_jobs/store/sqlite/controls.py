"""An operator's limits and pauses: one row, its write and its read."""

import msgspec
from typing_extensions import override

from cidx_jobs.interfaces.store.controls import ControlStore
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.values import Row, to_json

_read_limits = msgspec.json.Decoder(Limits).decode
_read_pauses = msgspec.json.Decoder(Pauses).decode

_LOAD = "SELECT limits, pauses FROM controls WHERE id = 1"
_SAVE = """
INSERT INTO controls (id, limits, pauses) VALUES (1, ?, ?)
ON CONFLICT (id) DO UPDATE SET limits = excluded.limits, pauses = excluded.pauses
"""


class SqliteControls(ControlStore):
    """The limits and pauses in the database."""

    def __init__(self, database: Database) -> None:
        """Take the database that holds them."""
        self._database = database

    @override
    async def save_controls(self, limits: Limits | None, pauses: Pauses) -> None:
        row = (None if limits is None else to_json(limits), to_json(pauses))
        await self._database.execute(_SAVE, row)

    @override
    async def load_controls(self) -> tuple[Limits | None, Pauses]:
        stored = await self._database.find_row(_LOAD, (), _decode)
        return (None, Pauses()) if stored is None else stored


def _decode(row: Row) -> tuple[Limits | None, Pauses]:
    limits, pauses = row
    return (None if limits is None else _read_limits(limits)), _read_pauses(pauses)
