"""The admin log: what administrators do and whom the server does not let in, stored and logged."""

import asyncio
from collections.abc import Sequence

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.admin_log import AdminLogStore
from cidx_jobs.model.admin.log import MAX_TARGET_CHARACTERS, AdminEntry
from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.model.foreign import plain_text
from cidx_jobs.model.redact import redact_secrets
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.shielded import end_tasks

MAX_REFUSALS_AT_ONCE = 100
"""So many refusals a second have entries of their own; of the rest one says how many."""
REST_SECONDS = 1.0

_log = get_logger("access")


class AdminLog:
    """Writes each entry twice: a line of the log at once, and a row that administrators read.

    An act is stored before its request is answered. Refusals cost whoever causes them nothing, so
    they are stored later, together, and at most so many a second.
    """

    def __init__(self, store: AdminLogStore, clock: Clock) -> None:
        """Take where entries are kept."""
        self._store = store
        self._clock = clock
        self._refusals: list[AdminEntry] = []
        self._untold = 0
        self._storing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def note_act(
        self, actor: str, action: str, target: str | None, *, address: str | None
    ) -> None:
        """Log and store what an administrator has done; a store that fails is logged, too."""
        # Earlier refusals that still wait get their numbers first: the log is read by number.
        await self._flush()
        entry = self._make_entry(actor, action, target, address, is_refusal=False)
        _log.info("admin_acted", actor=actor, action=action, target=entry.target, address=address)
        # The rows are in the order of their times: what was refused before goes before it.
        await self._store_entries([*self._take_refusals(), entry])

    def note_refusal(self, action: str, *, address: str | None, target: str | None = None) -> None:
        """Log that somebody was not let in, and have it stored soon.

        Args:
            action: ``token_refused`` or ``login_refused``.
            address: where the request came from; None over a unix socket.
            target: what it was for, where that is known.
        """
        if len(self._refusals) >= MAX_REFUSALS_AT_ONCE:
            self._untold += 1
            return
        entry = self._make_entry(None, action, target, address, is_refusal=True)
        _log.warning(action, target=entry.target, address=address)
        self._refusals.append(entry)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._store_refusals(), name="admin-log")

    async def list_entries(self, *, limit: int, before: int | None = None) -> Sequence[AdminEntry]:
        """Return at most *limit* entries, newest first; those below the number *before*."""
        await self._flush()
        return await self._store.list_entries(limit=limit, before=before)

    async def close(self) -> None:
        """Store what is still to be stored."""
        task, self._task = self._task, None
        if task is not None:
            await end_tasks([task])
        await self._flush()

    async def _store_refusals(self) -> None:
        while self._refusals:
            await self._flush()
            await asyncio.sleep(REST_SECONDS)

    async def _flush(self) -> None:
        async with self._storing:
            refusals = self._take_refusals()
            if refusals:
                await self._store_entries(refusals)

    def _take_refusals(self) -> list[AdminEntry]:
        refusals, self._refusals = self._refusals, []
        untold, self._untold = self._untold, 0
        if untold:
            _log.warning("refusals_not_told", count=untold)
            text = f"{untold} more"
            refusals.append(
                self._make_entry(None, "refusals_not_told", text, None, is_refusal=True)
            )
        return refusals

    async def _store_entries(self, entries: Sequence[AdminEntry]) -> None:
        try:
            await self._store.add_entries(entries)
        except CidxJobsError as error:
            # What was done is done: its answer is not an error for that.
            _log.warning("admin_log_not_stored", code=error.code, entries=len(entries))

    def _make_entry(
        self, actor: str | None, action: str, target: str | None, address: str | None,
        *, is_refusal: bool,
    ) -> AdminEntry:  # fmt: skip
        # Both may come from whoever asks.
        text = (
            None if target is None else plain_text(redact_secrets(target), MAX_TARGET_CHARACTERS)
        )
        return AdminEntry(
            at=self._clock.now(),
            actor=actor,
            action=action,
            target=text,
            address=address,
            is_refusal=is_refusal,
        )
