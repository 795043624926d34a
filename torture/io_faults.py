"""Faults of single system calls: an error, or death, at the n-th write or flush (strace).

Each round starts a server under a tracer, with one fault at one point of its life, lets users
work, and then compares what was acknowledged with what a healthy server finds.
"""

import asyncio
import contextlib
import shutil
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import attrs

from torture.ending import blame_tracebacks, close_accounts, note_death
from torture.ledger import Ledger
from torture.load import Load, loaded
from torture.server import Caller, NotReadyError, Site, start
from torture.tracing import check_tracer
from torture.verify import end_orphans

PER_USER = 3
TOTAL = 5
_WORK_SECONDS = 0.6

# How often each call happens in a round of this length, so that points are spread over it. The
# first start alone makes about 340 writes and 32 flushes, each new step of the schema some more.
_CALLS = {"pwrite64": 500, "fdatasync": 64}
_EFFECTS = ("error=EIO", "error=ENOSPC", "signal=KILL")
# After an error the call may fail once, or again and again for a while.
_REPEATS = ("", "..{last}", "+7")

SETTINGS = {
    "max_running_per_user": str(PER_USER),
    "max_running_total": str(TOTAL),
    "retry_base_seconds": "0.05",
    "shutdown_grace_seconds": "0.3",
    "progress_interval_seconds": "0.05",
    "log_level": "info",
    "poison_after": "0",
}


@attrs.frozen
class Fault:
    """One fault: which call, at which of a thread's calls, and what happens."""

    call: str
    effect: str
    first: int
    repeat: str

    @property
    def tracer(self) -> tuple[str, ...]:
        """The command line that goes before the server's."""
        when = f"{self.first}{self.repeat}"
        inject = f"inject={self.call}:{self.effect}:when={when}"
        quiet = ("-qqq", "-o", "/dev/null", "-e", "signal=none")
        # -D: what is started is the server, and the tracer its grandchild.
        return (
            "strace",
            "-D",
            "-f",
            "--seccomp-bpf",
            *quiet,
            "-e",
            f"trace={self.call}",
            "-e",
            inject,
        )


def choose(random: Random) -> Fault:
    """Give a fault somewhere in a round."""
    call = random.choice(sorted(_CALLS))
    effect = random.choice(_EFFECTS)
    first = random.randint(1, _CALLS[call])
    repeat = "" if effect.startswith("signal") else random.choice(_REPEATS)
    return Fault(call, effect, first, repeat.format(last=first + random.randint(1, 20)))


async def torture(
    folder: Path, *, rounds: int, seed: int, handlers: str = "torture.jobs:TYPES"
) -> tuple[list[str], dict[str, Any]]:
    """Put *rounds* faults into servers' lives; give the broken promises, and what was counted.

    Raises:
        SkippedError: this machine has no tracer that can do it.
    """
    await check_tracer()
    random = Random(seed)
    faults: list[str] = []
    totals: Counter[str] = Counter()
    for number in range(rounds):
        own = folder / str(number)
        own.mkdir()
        fault = choose(random)
        broken, counts = await _round(own, fault, random, handlers)
        faults += [f"{fault}: {text}" for text in broken]
        totals.update(counts)
        totals[f"{fault.call} {fault.effect}"] += 1
        await asyncio.to_thread(shutil.rmtree, own, ignore_errors=True)
    return faults, dict(totals)


async def _round(
    folder: Path, fault: Fault, random: Random, handlers: str
) -> tuple[list[str], dict[str, int]]:
    site = Site(folder / "data", folder / "runs", f"io-{folder}", SETTINGS, handlers)
    load = Load(Ledger(), random)
    server = await start(site, fault.tracer)
    counts = Counter[str]()
    try:
        with contextlib.suppress(NotReadyError):
            await server.until_ready()
            counts["started"] += 1
            async with Caller(server) as caller, loaded(load, caller):
                await asyncio.sleep(_WORK_SECONDS)
        blame_tracebacks(load.ledger, server)
        counts["storage_failed"] += server.count("storage_failed") > 0
        await server.stop()
    finally:
        note_death(load.ledger, server, await server.kill())
    try:
        counts.update(await close_accounts(site, load, per_user=PER_USER, total=TOTAL))
    finally:
        end_orphans(site)
    return load.ledger.faults, dict(counts)
