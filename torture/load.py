"""Users of the tortured server: they submit under keys, cancel, and read, all at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from random import Random
from typing import Any

import attrs

from torture.ledger import Ledger, Submitted
from torture.server import Caller

USERS = 4
PAUSE_SECONDS = 0.04
ACCEPTED = {200, 202}
QUOTA = 40
"""Accepted submits in one round: more would only make the end take longer."""

# What is submitted, and how often.
_TYPES = ("count",) * 7 + ("survive", "wait", "held")
_PLANTED_STEPS = 3


@attrs.define
class Load:
    """The users; they remember in the ledger what they were answered."""

    ledger: Ledger
    random: Random
    on_accepted: Callable[[], None] = lambda: None
    """Called at each accepted submit, before anything else happens."""
    quota: int = QUOTA
    """How many more jobs the users get in; who has none left reads."""
    refusals: list[int] = attrs.field(factory=list)
    """The statuses of the submits that were refused."""
    spared: set[str] = attrs.field(factory=set)
    """The planted jobs of this life, which no user cancels: what they show must not be missed."""
    _count: int = 0

    async def run(self, caller: Caller) -> None:
        """Be all users, until cancelled."""
        self.quota = QUOTA
        async with asyncio.TaskGroup() as users:
            for _ in range(USERS):
                users.create_task(self._be_user(caller))

    async def plant(
        self, caller: Caller, counts: int, more: Mapping[str, Any], beside: Sequence[str] = ()
    ) -> None:
        """Submit what each life of a server shall have, before the users come.

        That is what this one shall have *beside*, a job whose processes try to survive, and
        *counts* jobs that count, of which the first gets *more* options.
        """
        planted = [await self.submit(caller, kind) for kind in beside]
        planted.append(await self.submit(caller, "survive"))
        planted.append(await self.submit(caller, "count", _PLANTED_STEPS, more))
        planted += [await self.submit(caller, "count", _PLANTED_STEPS) for _ in range(counts - 1)]
        self.spared = {one.job_id for one in planted if one.job_id is not None}

    async def settle(self, caller: Caller) -> None:
        """Send every submit whose outcome is unknown again, under its key."""
        for one in list(self.ledger.unknown.values()):
            await self.send(caller, one)

    async def submit(
        self,
        caller: Caller,
        kind: str,
        steps: int | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Submitted:
        """Submit a job of this kind, under a key of its own.

        One that counts does it to *steps*, and may have *more* options.
        """
        self._count += 1
        counting = {"steps": steps or self.random.randint(1, 8)} if kind == "count" else {}
        key = f"key-{self._count}"
        body = {
            "job_type": "count" if kind == "held" else kind,
            "project_id": f"p{self._count % 7}",
            "hold": kind == "held",
            "labels": {"key": key},
            "options": {**counting, **(more or {})},
        }
        one = Submitted(key, body)
        self.ledger.note_attempt(one)
        await self.send(caller, one)
        return one

    async def send(self, caller: Caller, one: Submitted) -> None:
        """Send a submit, for the first time or again."""
        headers = {"Idempotency-Key": one.key}
        answer = await caller.ask("POST", "/api/jobs", one.body, headers)
        if answer is None:
            return
        if answer.status in ACCEPTED:
            job = answer.document
            self.quota -= one.job_id is None
            self.ledger.note_submit(one, job["job_id"])
            self.ledger.note_version(job["job_id"], job["version"], 0)
            self.on_accepted()
        else:
            self.refusals.append(answer.status)

    async def cancel(self, caller: Caller, job_id: str) -> None:
        """Cancel an acknowledged job."""
        answer = await caller.ask("POST", f"/api/jobs/{job_id}/cancel")
        if answer is not None:
            self.ledger.note_cancel(job_id, answer.status)

    async def read(self, caller: Caller, job_id: str) -> None:
        """Read an acknowledged job: it is there, and no older than it was."""
        at_least = self.ledger.versions.get(job_id, 0)
        answer = await caller.ask("GET", f"/api/jobs/{job_id}")
        if answer is None:
            return
        if answer.status == 200:
            self.ledger.note_version(job_id, answer.document["version"], at_least)
        elif answer.status == 404:
            self.ledger.blame(f"job {job_id} was acknowledged and is lost: 404")

    async def _be_user(self, caller: Caller) -> None:
        steps = (
            *(self._submit_any, self._submit_any, self._repeat_any),
            *(self._cancel_any, self._read_any, self._read_any),
        )
        while True:
            await self.random.choice(steps)(caller)
            await asyncio.sleep(self.random.random() * PAUSE_SECONDS)

    async def _submit_any(self, caller: Caller) -> None:
        if self.quota <= 0:
            await self._read_any(caller)
            return
        if len(self.ledger.unknown) >= QUOTA:
            # Whoever is refused for long, as by a server that stops, asks again for the same.
            await self._repeat_any(caller)
            return
        await self.submit(caller, self.random.choice(_TYPES))

    async def _repeat_any(self, caller: Caller) -> None:
        if self.ledger.unknown:
            await self.send(caller, self.random.choice(list(self.ledger.unknown.values())))
        elif self._count:
            key = f"key-{self.random.randint(1, self._count)}"
            await self.send(caller, self.ledger.submitted[key])

    async def _cancel_any(self, caller: Caller) -> None:
        known = [job_id for job_id in self.ledger.known[-20:] if job_id not in self.spared]
        if known and self.random.random() >= 0.5:
            await self.cancel(caller, self.random.choice(known))

    async def _read_any(self, caller: Caller) -> None:
        known = self.ledger.known
        if known:
            await self.read(caller, self.random.choice(known[-50:]))


@contextlib.asynccontextmanager
async def loaded(load: Load, caller: Caller) -> AsyncIterator[None]:
    """Have the users at work inside the block."""
    task = asyncio.create_task(load.run(caller))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is not None:
            task.result()
