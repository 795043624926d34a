"""A small real file system (tmpfs) that fills and empties under load, over and over."""

import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import attrs

from torture.ending import close_accounts, note_death
from torture.ledger import Ledger, Submitted
from torture.load import Load, loaded
from torture.server import Caller, Server, Site, started
from torture.skipping import SkippedError
from torture.verify import end_orphans

SIZE = "64m"
BACK_SECONDS = 5.0
"""How long after space is back everything works again at the latest (G8)."""
PER_USER = 3
TOTAL = 5
FULL = {503, 507}
"""How a submit may be refused while nothing can be stored."""

_CHUNK = 64 * 1024
_FULL_SECONDS = 1.2
_FREE_SECONDS = 0.5
_NOTICE_SECONDS = 20.0

SETTINGS = {
    "max_running_per_user": str(PER_USER),
    "max_running_total": str(TOTAL),
    "max_queued_per_user": "100000",
    "retry_base_seconds": "0.05",
    "shutdown_grace_seconds": "0.3",
    "progress_interval_seconds": "0.05",
    "log_level": "info",
}


@attrs.define
class DiskLoop:
    """One torture run on one mounted file system."""

    site: Site
    load: Load
    random: Random
    back: list[float] = attrs.field(factory=list)
    refused: Counter[int] = attrs.field(factory=Counter)
    unready: Counter[str] = attrs.field(factory=Counter)
    """Why the server called itself not ready; a small write that fits makes it ready again."""

    async def cycle(self, server: Server, caller: Caller) -> None:
        """Fill the disk under load, see what goes on, empty it, and see that all goes on."""
        ledger, episodes = self.load.ledger, server.count("storage_failed")
        async with loaded(self.load, caller):
            await asyncio.sleep(self.random.random() * _FREE_SECONDS)
            ballast = self.site.data_dir.parent / "ballast"
            await self._hold_one(caller)
            await asyncio.to_thread(fill, ballast)
            await self._until_refused(server, caller, ballast)
            await self._while_full(caller)
            await asyncio.to_thread(ballast.unlink)
            await self._until_back(server, caller)
            await self._until_told(server, episodes)
        self.refused.update(self.load.refusals)
        if wrong := set(self.load.refusals) - FULL:
            ledger.blame(f"a submit on a full disk was refused with {sorted(wrong)}")
        self.load.refusals.clear()
        if server.count("storage_failed") - episodes != 1:
            count = server.count("storage_failed") - episodes
            ledger.blame(f"one time of a full disk was told {count} times")

    async def _until_refused(self, server: Server, caller: Caller, ballast: Path) -> None:
        # SQLite reuses the space of its own files, so it takes many writes until it needs more:
        # the labels of one job, over and over.
        path = await self._hold_one(caller)
        deadline = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < deadline and server.process.returncode is None:
            pad = {f"l{number}": self.random.choice("xyz") * 255 for number in range(32)}
            answer = await caller.ask("PATCH", path, {"labels": pad})
            if answer is None or answer.status in FULL:
                return
            await asyncio.to_thread(fill, ballast)
        self.load.ledger.blame("no submit was refused on a full disk")

    async def _hold_one(self, caller: Caller) -> str:
        answer = await caller.ask("GET", "/api/jobs?status=created&project_id=pad&limit=1")
        if answer is not None and answer.status == 200 and answer.document["jobs"]:
            return f"/api/jobs/{answer.document['jobs'][0]['job_id']}"
        body = {"job_type": "wait", "project_id": "pad", "hold": True}
        answer = await caller.ask("POST", "/api/jobs", body)
        if answer is None or answer.status != 202:
            return "/api/jobs/none"
        return f"/api/jobs/{answer.document['job_id']}"

    async def _while_full(self, caller: Caller) -> None:
        ledger = self.load.ledger
        until = time.monotonic() + self.random.random() * _FULL_SECONDS
        while time.monotonic() < until:
            await self._probe(caller)
            for path in ("/api/jobs?limit=5", "/api/queue", "/livez", "/api/admin/stats"):
                answer = await caller.ask("GET", path)
                if answer is None or answer.status != 200:
                    ledger.blame(f"on a full disk {path} was answered with {answer}")
            ready = await caller.ask("GET", "/readyz")
            if ready is None or ready.status not in {200, 503}:
                ledger.blame(f"on a full disk /readyz was answered with {ready}")
            elif ready.status == 503:
                self.unready.update(ready.document["reasons"])
            await asyncio.sleep(0.05)

    async def _until_back(self, server: Server, caller: Caller) -> None:
        began = time.monotonic()
        status = await self._probe(caller)
        while status not in {200, 202} or not await self._is_ready(caller):
            if time.monotonic() - began > BACK_SECONDS:
                text = f"{BACK_SECONDS} s after space was back a submit got {status}"
                self.load.ledger.blame(f"{text}: {server.lines[-2:]}")
                return
            await asyncio.sleep(0.02)
            status = await self._probe(caller)
        self.back.append(time.monotonic() - began)

    async def _until_told(self, server: Server, episodes: int) -> None:
        if self.load.ledger.faults:
            return
        deadline = time.monotonic() + BACK_SECONDS
        # What is waited for happens in another process.
        while server.count("storage_recovered") <= episodes and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        if server.count("storage_recovered") != episodes + 1:
            self.load.ledger.blame("the end of a time of a full disk was not told once")

    async def _is_ready(self, caller: Caller) -> bool:
        answer = await caller.ask("GET", "/readyz")
        return answer is not None and answer.status == 200

    async def _probe(self, caller: Caller) -> int | None:
        number = len(self.load.ledger.submitted)
        body = {
            "job_type": "count",
            "project_id": "probe",
            "options": {"steps": 1},
            "labels": {"key": f"probe-{number}"},
            "hold": False,
        }
        one = Submitted(f"probe-{number}", body)
        self.load.ledger.note_attempt(one)
        answer = await caller.ask("POST", "/api/jobs", body, {"Idempotency-Key": one.key})
        if answer is not None and answer.status in {200, 202}:
            self.load.ledger.note_submit(one, answer.document["job_id"])
        return None if answer is None else answer.status


def fill(ballast: Path) -> None:
    """Write into the file until there is no space left, to the last byte."""
    size = _CHUNK
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while size:
            try:
                if os.write(descriptor, b"\0" * size) < size:
                    size //= 2
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def small_disk(folder: Path, size: str = SIZE) -> Iterator[Path]:
    """Give the root of a small file system of its own, of a *size* as mount takes it.

    Raises:
        SkippedError: this machine lets nobody mount one.
    """
    root = folder / "disk"
    root.mkdir()
    if shutil.which("mount") is None:
        message = "there is no mount here"
        raise SkippedError(message)
    options = f"size={size},mode=0700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "torture", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        message = f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}"
        raise SkippedError(message)
    try:
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=False)


async def torture(
    folder: Path, *, rounds: int, seed: int, handlers: str = "torture.jobs:TYPES"
) -> tuple[list[str], dict[str, Any]]:
    """Fill and empty the disk *rounds* times; give the broken promises, and what was counted.

    Raises:
        SkippedError: this machine cannot.
    """
    random = Random(seed)
    with small_disk(folder) as root:
        site = Site(root / "data", folder / "runs", f"disk-{folder.name}", SETTINGS, handlers)
        loop = DiskLoop(site, Load(Ledger(), random), random)
        try:
            async with started(site) as server, Caller(server) as caller:
                for _ in range(rounds):
                    await loop.cycle(server, caller)
                if loop.load.ledger.faults:
                    # What is broken already may not stop either; nobody waits for that.
                    await server.kill()
                elif (code := await server.stop()) != 0:
                    loop.load.ledger.blame(f"the server stopped with {code}: {server.lines[-3:]}")
                note_death(loop.load.ledger, server, time.monotonic())
            counts = await close_accounts(site, loop.load, per_user=PER_USER, total=TOTAL)
        finally:
            end_orphans(site)
    back = sorted(loop.back)
    return loop.load.ledger.faults, {
        **counts,
        "refused": dict(loop.refused),
        "unready": dict(loop.unready),
        "back_seconds": [round(back[len(back) // 2], 2), round(back[-1], 2)] if back else [],
    }
