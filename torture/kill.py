"""kill -9, over and over: at any moment, while the server starts, and at chosen moments."""

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs

from torture.backups import BackupCheck
from torture.ending import close_accounts, end_endless, note_death
from torture.first_process import check_reaped, child_of, find_namespace, server_below
from torture.jobs import TREE_SIZE
from torture.ledger import Ledger, read_notes
from torture.load import Load, loaded
from torture.schedules import SCHEDULES, Schedules, check_schedules
from torture.server import Caller, NotReadyError, Server, Site, start
from torture.shared import SharedLoop
from torture.skipping import SkippedError, must_not_skip
from torture.verify import check_orphans, end_orphans, find_orphans

WAYS = (
    *("work", "start", "answer", "lone answer", "saved", "tree", "term", "term twice"),
    *("fork", "thread", "term to all", "first process", "shared"),
)
"""How a server dies: at any moment, during its start, or by SIGTERM; or at a moment that is waited
for: after an answer under load, after an answer with nothing stored behind it, when a checkpoint
is said to be stored, when a tree of processes stands that tries to survive, when a fork of the
server's own process stands, while threads outlast their runs, by a SIGTERM that its jobs'
processes get as well, and before it, as the first process of a namespace, once all that its jobs
left behind is reaped, or as four processes that share a directory of their own."""
PER_USER = 3
TOTAL = 5
# How often a server dies how; the rest at any moment of its work.
DURING_START = 0.25
AFTER_AN_ANSWER = 0.10
AFTER_A_LONE_ANSWER = 0.04
WHEN_SAVED = 0.08
WHEN_A_TREE_STANDS = 0.04
BY_TERM = 0.08
BY_TERM_TWICE = 0.04
WHEN_A_FORK_STANDS = 0.04
WHILE_THREADS_LAST = 0.04
BY_TERM_TO_ALL = 0.04
AS_FIRST_PROCESS = 0.04
SHARED = 0.02

_START_SECONDS = 1.0
_WORK_SECONDS = 0.8
_MOMENT_SECONDS = 10.0
"""How long a chosen moment is waited for: it may not come where old jobs hold all slots."""
_POLL_SECONDS = 0.01
_PLANTED_COUNTS = PER_USER + 2
# What is at work besides, where the way to die needs it.
_BESIDE: dict[str, tuple[str, ...]] = {
    "fork": ("fork",),
    "thread": ("thread",),
    "term to all": ("child",),
    "first process": ("leave", "leave", "leave"),
}
_GRACE_SECONDS = 0.3
_STOP_BOUND_SECONDS = _GRACE_SECONDS + 10

SETTINGS = {
    "max_running_per_user": str(PER_USER),
    "max_running_total": str(TOTAL),
    "max_queued_per_user": "100000",
    "retry_base_seconds": "0.05",
    "shutdown_grace_seconds": str(_GRACE_SECONDS),
    "progress_interval_seconds": "0.05",
    "log_level": "info",
    # Lives are short: about each second one has one.
    "backup_interval_seconds": "0.3",
    "backup_keep": "20",
    # A job that happens to run at three deaths is nobody's poison here.
    "poison_after": "0",
}


@attrs.define
class KillLoop:
    """One torture run: rounds of a server's life, the users, and what was counted."""

    site: Site
    load: Load
    random: Random
    schedules: Schedules
    backups: BackupCheck
    shared: SharedLoop
    ways: Sequence[str] = ()
    """How the server dies, in turn; at random where it is empty."""
    namespace: Sequence[str] = ()
    """The command that makes a first process; the way is left out where there is none."""
    deaths: Counter[str] = attrs.field(factory=Counter)
    counts: Counter[str] = attrs.field(factory=Counter)
    ready: list[float] = attrs.field(factory=list)
    recovered: Counter[str] = attrs.field(factory=Counter)

    async def run(self, rounds: int) -> None:
        """Live that many lives, and then see that everything becomes final and fits together."""
        try:
            for _ in range(rounds):
                await self.round()
            if self.deaths["shared"]:
                self.counts.update(await self.shared.close())
            if self.deaths.total() == self.deaths["shared"]:
                return
            self.counts.update(
                await close_accounts(self.site, self.load, per_user=PER_USER, total=TOTAL)
            )
            self.counts["times"] = await asyncio.to_thread(
                check_schedules, self.site, self.load.ledger
            )
        finally:
            end_orphans(self.site)

    async def round(self) -> None:
        """Live one life of the server, to its violent end."""
        way = self._choose_way()
        self.deaths[way] += 1
        if way == "shared":
            await self.shared.round()
            return
        if way == "first process":
            # Whoever is in a namespace sees nothing outside of it, and what an older container
            # left has ended with that.
            await asyncio.to_thread(end_orphans, self.site)
        server = await start(self.site, self.namespace if way == "first process" else ())
        try:
            if way == "start":
                # Anywhere up to a little after the server was ready, as long as that takes here.
                longest = 1.2 * max(self.ready[-5:], default=_START_SECONDS)
                await asyncio.sleep(self.random.random() * longest)
            else:
                await self._work(server, way)
        finally:
            note_death(self.load.ledger, server, await server.kill())
            self._note_start(server)
        self.counts["backups"] += await asyncio.to_thread(self.backups.check_new)

    def _choose_way(self) -> str:
        if self.ways:
            return self.ways[self.deaths.total() % len(self.ways)]
        ways = (
            ("start", DURING_START),
            ("answer", AFTER_AN_ANSWER),
            ("lone answer", AFTER_A_LONE_ANSWER),
            ("saved", WHEN_SAVED),
            ("tree", WHEN_A_TREE_STANDS),
            ("term", BY_TERM),
            ("term twice", BY_TERM_TWICE),
            ("fork", WHEN_A_FORK_STANDS),
            ("thread", WHILE_THREADS_LAST),
            ("term to all", BY_TERM_TO_ALL),
            ("first process", AS_FIRST_PROCESS if self.namespace else 0.0),
            ("shared", SHARED),
        )
        point = self.random.random()
        for way, share in ways:
            if point < share:
                return way
            point -= share
        return "work"

    async def _work(self, server: Server, way: str) -> None:
        try:
            await server.until_ready()
        except NotReadyError as error:
            self.load.ledger.blame(f"a server does not start: {error}")
            return
        self.ready.append(server.ready_seconds)
        async with Caller(server) as caller:
            await check_orphans(self.site, server.life, self.load.ledger)
            await self.schedules.plant(caller)
            if way == "lone answer":
                # A next transaction would store what this one did not.
                await self.load.submit(caller, "held")
                return
            if way == "first process":
                # What older lives left would hold all slots, and nothing would leave anything.
                await end_endless(caller, self.load.ledger)
            deadly = {}
            if way == "saved":
                deadly = {"kills": server.life, "kills_at": self.random.randint(1, 2)}
            await self.load.plant(caller, _PLANTED_COUNTS, deadly, _BESIDE.get(way, ()))
            if way == "answer":
                # In the very step in which the answer is read: the server has no time for more.
                self.load.on_accepted = _killer(server, self.random.randint(1, 10))
            async with loaded(self.load, caller):
                await self._until_moment(server, way)
            self.load.on_accepted = _nothing

    async def _until_moment(self, server: Server, way: str) -> None:
        match way:
            case "answer" | "saved":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_MOMENT_SECONDS):
                        await server.ended()
            case "tree":
                await self._until_tree_stands()
            case "fork":
                await self._until_noted(server, "forked")
            case "thread":
                await self._until_noted(server, "end", of="thread")
            case "term to all":
                await self._until_tree_stands()
                for pid in await asyncio.to_thread(find_orphans, self.site, ""):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
                await self._terminate(server, twice=False)
            case "first process":
                await self._end_first_process(server)
            case _:
                await asyncio.sleep(self.random.random() * _WORK_SECONDS)
                if way.startswith("term"):
                    await self._terminate(server, twice=way == "term twice")

    async def _end_first_process(self, server: Server) -> None:
        server.inner_pid = await asyncio.to_thread(child_of, server.pid)
        await self._until_noted(server, "end", of="leave")
        await check_reaped(server.inner_pid, self.load.ledger)
        match self.random.choice(("first", "server", "term")):
            case "first":
                await server.kill()
            case "server":
                os.kill(await asyncio.to_thread(server_below, server.inner_pid), signal.SIGKILL)
                await self._until_ended(server)
            case _:
                await self._terminate(server, twice=False)
        if left := await asyncio.to_thread(find_orphans, self.site, ""):
            self.load.ledger.blame(f"{len(left)} processes outlived the first of their namespace")

    async def _until_ended(self, server: Server) -> None:
        try:
            async with asyncio.timeout(_MOMENT_SECONDS):
                await server.ended()
        except TimeoutError:
            self.load.ledger.blame("the first process of a namespace outlives its server")
            await server.kill()

    async def _until_tree_stands(self) -> None:
        deadline = time.monotonic() + _MOMENT_SECONDS
        while time.monotonic() < deadline:
            if len(await asyncio.to_thread(find_orphans, self.site, "")) >= TREE_SIZE:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _until_noted(self, server: Server, what: str, of: str = "") -> None:
        deadline = time.monotonic() + _MOMENT_SECONDS
        while time.monotonic() < deadline:
            notes = await asyncio.to_thread(read_notes, self.site.runs)
            if any(
                note["what"] == what and note["life"] == server.life and of in note["job_type"]
                for note in notes
            ):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _terminate(self, server: Server, *, twice: bool) -> None:
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        if twice:
            await asyncio.sleep(self.random.random() * _GRACE_SECONDS)
            server.send_signal(signal.SIGTERM)
        code = await server.stop()
        if code != 0 or time.monotonic() - began > _STOP_BOUND_SECONDS:
            seconds = time.monotonic() - began
            self.load.ledger.blame(f"SIGTERM ended with code {code} after {seconds:.1f} s")

    def _note_start(self, server: Server) -> None:
        for line in server.lines:
            if line.get("event") == "recovery_finished":
                for name in ("interrupted", "cancelled", "killed_processes", "swept_files"):
                    self.recovered[name] += line[name]
            if line.get("level") in {"error", "critical"} or "Traceback" in str(line):
                self.load.ledger.blame(f"the server logged an error: {line}")


def _killer(server: Server, after: int) -> Any:
    left = after

    def kill() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            server.send_signal(signal.SIGKILL)

    return kill


def _nothing() -> None:
    return None


async def torture(
    folder: Path,
    *,
    rounds: int,
    seed: int,
    handlers: str = "torture.jobs:TYPES",
    ways: Sequence[str] = (),
    parallel: int = 1,
    program: str = "cidx_jobs",
) -> tuple[list[str], dict[str, Any]]:
    """Kill a server *rounds* times; give the broken promises, and what was counted.

    Where several are killed side by side (*parallel*), each has its users, its directory and its
    accounts for itself. Where no namespace can be made, lives as its first process are left out
    of the mix, which is printed and counted, and is a fault where nobody would read that.

    Raises:
        SkippedError: such lives are asked for by name.
    """
    left_out: dict[str, str] = {}
    try:
        namespace = await find_namespace()
    except SkippedError as error:
        if "first process" in ways:
            raise
        namespace, left_out = (), {"first process": str(error)}
    parts = [
        (
            Site(own / "data", own / "runs", f"kill-{own}", SETTINGS, handlers, program),
            Random(seed + n),
        )
        for n, own in enumerate(folder / str(n) for n in range(parallel))
    ]
    loops = [_make_loop(site, random, ways, namespace) for site, random in parts]
    async with asyncio.TaskGroup() as group:
        for number, loop in enumerate(loops):
            group.create_task(loop.run(len(range(number, rounds, parallel))))
    takeovers = sorted(itertools.chain.from_iterable(loop.shared.takeovers for loop in loops))
    ready = sorted(itertools.chain.from_iterable(loop.ready for loop in loops))
    ledgers = [loop.load.ledger for loop in loops]
    faults = [fault for ledger in ledgers for fault in ledger.faults]
    faults += _tell_left_out(left_out)
    return faults, {
        **_sum(loop.counts for loop in loops),
        "deaths": _sum(loop.deaths for loop in loops),
        "recovered": _sum(loop.recovered for loop in loops),
        "cancels": sum(len(one.told_to_stop) + len(one.stopped_waiting) for one in ledgers),
        "ready_seconds": _spread(ready),
        **({"takeover_seconds": _spread(takeovers)} if takeovers else {}),
        **({"left_out": left_out} if left_out else {}),
    }


def _make_loop(
    site: Site, random: Random, ways: Sequence[str], namespace: Sequence[str]
) -> KillLoop:
    own = site.data_dir.parent
    (own / "shared").mkdir(parents=True)
    load = Load(Ledger(), random)
    backups = BackupCheck(site, load.ledger)
    # Faults of both are told together.
    apart = attrs.evolve(site, data_dir=own / "shared" / "data", runs=own / "shared" / "runs")
    shared = SharedLoop(apart, random, PER_USER, TOTAL, Ledger(faults=load.ledger.faults))
    return KillLoop(site, load, random, Schedules(SCHEDULES), backups, shared, ways, namespace)


def _spread(seconds: Sequence[float]) -> Sequence[float]:
    """Return the median of what is in order, and the most."""
    return [round(seconds[len(seconds) // 2], 2), round(seconds[-1], 2)] if seconds else []


def _tell_left_out(left_out: Mapping[str, str]) -> Sequence[str]:
    """Print the ways that are left out; return them as faults where nobody reads what is."""
    told = [f"LEFT OUT {way}: {reason}" for way, reason in left_out.items()]
    for text in told:
        print(text, flush=True)
    return told if must_not_skip() else ()


def _sum(counters: Iterable[Counter[str]]) -> dict[str, int]:
    return dict(sum(counters, start=Counter[str]()))
