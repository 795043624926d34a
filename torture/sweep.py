"""One fault at every second call that a server makes on its files, each in a life of its own.

A fixed workload is traced once for each kind of life, and its calls are counted. Then it is lived
again and again, each time with one call that fails or kills.
"""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs

from torture.ending import blame_tracebacks, close_accounts, note_death
from torture.io_faults import PER_USER, SETTINGS, TOTAL
from torture.ledger import Ledger, Submitted
from torture.load import Load
from torture.points import Point, count_calls, counting_tracer, list_points
from torture.server import STOP_SECONDS, Caller, NotReadyError, Server, Site, start, started
from torture.tracing import Tap, check_tracer
from torture.verify import check_orphans, end_orphans

LIVES = ("first", "again")
"""A server's first life in an empty directory, or one after a kill that left work behind."""

_STEPS = 12
"""How far jobs count: each step is a checkpoint, and each checkpoint writes."""
_WAIT_SECONDS = 3
_PROGRESS_EVERY = 50


@attrs.define
class Sweep:
    """One sweep: what is still to be done, what was found, and what was counted."""

    folder: Path
    seed: int
    handlers: str
    faults: list[str] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    seconds: list[float] = attrs.field(factory=list)
    """How long each life took."""
    _began: float = attrs.field(factory=time.monotonic)

    async def list_points(self) -> list[Point]:
        """Count the calls of each kind of life; give every second."""
        points = []
        for kind in LIVES:
            life = self._life(f"count-{kind}")
            async with life:
                calls = await life.count(kind)
            self.faults += [f"without a fault: {text}" for text in life.load.ledger.faults]
            self.counts["calls"] += sum(sum(threads.values()) for threads in calls.values())
            points += list(list_points(kind, calls, self.seed))
        return points

    async def work(self, points: Iterator[Point], total: int) -> None:
        """Live one life after the other until there are no more points."""
        for point in points:
            began = time.monotonic()
            life = self._life(str(point))
            async with life:
                self.counts.update(await life.live(point))
            self.counts["points"] += 1
            self.seconds.append(time.monotonic() - began)
            self._note(point, life.load.ledger.faults)
            self._tell(total)

    def _life(self, name: str) -> "_Life":
        own = self.folder / name.replace(":", "-")
        own.mkdir()
        site = Site(own / "data", own / "runs", f"sweep-{own}", SETTINGS, self.handlers)
        return _Life(own, site, Load(Ledger(), Random(self.seed)))

    def _note(self, point: Point, texts: Sequence[str]) -> None:
        found = [f"sweep --seed {self.seed} --only {point}: {text}" for text in texts]
        self.faults += found
        # Told at once: the end of a sweep is far, and whoever mends it need not wait for it.
        for text in found:
            print(text, flush=True)

    def _tell(self, total: int) -> None:
        done = self.counts["points"]
        if done % _PROGRESS_EVERY == 0:
            seconds = time.monotonic() - self._began
            print(
                f"{done} of {total} points, {seconds:.0f} s, {len(self.faults)} broken", flush=True
            )


@attrs.define
class _Life:
    """A folder of its own, in which a server lives once with a tracer, and once without."""

    folder: Path
    site: Site
    load: Load

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        end_orphans(self.site)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def count(self, kind: str) -> Any:
        """Live without a fault; give the calls."""
        tap = Tap(self.folder / "tap")
        server = await self._traced(kind, tap, counting_tracer(self.site.data_dir, tap.path))
        if not server.url:
            self.load.ledger.blame(f"a server does not start: {server.lines[-3:]}")
        await close_accounts(self.site, self.load, per_user=PER_USER, total=TOTAL)
        return count_calls(tap.lines, self.site.data_dir, server.pid)

    async def live(self, point: Point) -> dict[str, int]:
        """Live with one fault, and see that nothing is lost; give the counts."""
        tap = Tap(self.folder / "tap")
        server = await self._traced(point.life, tap, point.tracer(self.site.data_dir, tap.path))
        counts = await close_accounts(self.site, self.load, per_user=PER_USER, total=TOTAL)
        is_killed = point.effect == "KILL" and server.process.returncode == -9
        return {
            **counts,
            "reached": int(is_killed or tap.faults > 0),
            "more_than_one": int(tap.faults > 1),
            "never_ready": int(not server.url),
            "storage_failed": int(server.count("storage_failed") > 0),
        }

    async def _traced(self, kind: str, tap: Tap, tracer: Sequence[str]) -> Server:
        ledger = self.load.ledger
        if kind == "again":
            await self._leave_work()
        tap.open()
        server = await start(self.site, tracer)
        tap.watch(server.pid)
        try:
            await self._until_over(server, kind)
        finally:
            note_death(ledger, server, await server.kill())
            tap.close()
        blame_tracebacks(ledger, server)
        return server

    async def _until_over(self, server: Server, kind: str) -> None:
        ledger = self.load.ledger
        try:
            await server.until_ready()
        except NotReadyError as error:
            if server.process.returncode is None:
                ledger.blame(f"a server neither starts nor ends: {error}")
            return
        async with Caller(server) as caller:
            await check_orphans(self.site, server.life, ledger)
            await (act if kind == "first" else finish)(self.load, caller)
        began = time.monotonic()
        await server.stop()
        if time.monotonic() - began > STOP_SECONDS:
            ledger.blame("a server that was told to stop did not")

    async def _leave_work(self) -> None:
        async with started(self.site) as server, Caller(server) as caller:
            for kind in ("child", "count", "wait"):
                await self.load.submit(caller, kind, _STEPS)
        note_death(self.load.ledger, server, time.monotonic())


async def act(load: Load, caller: Caller) -> None:
    """Submit under keys, let run, cancel, read, and leave: one thing after the other."""
    counted = await load.submit(caller, "count", _STEPS)
    held = await load.submit(caller, "held")
    await load.submit(caller, "child")
    endless = await load.submit(caller, "wait")
    await _until_done(caller, counted)
    for one in (held, endless):
        if one.job_id is not None:
            await load.cancel(caller, one.job_id)
    await _until_done(caller, endless)
    await load.send(caller, counted)
    for job_id in load.ledger.known:
        await load.read(caller, job_id)


async def finish(load: Load, caller: Caller) -> None:
    """Let what an older life left come to its end, cancel what has none, and leave."""
    for one in load.ledger.submitted.values():
        if one.job_id is not None and one.body["job_type"] == "wait":
            await load.cancel(caller, one.job_id)
        if one.job_id is not None and one.body["job_type"] != "child":
            await _until_done(caller, one)


async def _until_done(caller: Caller, one: Submitted) -> None:
    if one.job_id is not None:
        await caller.ask("GET", f"/api/jobs/{one.job_id}?wait={_WAIT_SECONDS}&until=done")


async def torture(
    folder: Path,
    *,
    rounds: int,
    seed: int,
    handlers: str = "torture.jobs:TYPES",
    only: Sequence[str] = (),
    parallel: int = 1,
) -> tuple[list[str], dict[str, Any]]:
    """Sweep over every second call, or over *rounds* of them, or over those that are named.

    Raises:
        SkippedError: this machine has no tracer that can do it.
    """
    await check_tracer()
    sweep = Sweep(folder, seed, handlers)
    points = [Point.parse(text) for text in only] or await sweep.list_points()
    if 0 < rounds < len(points):
        points = sorted(Random(seed).sample(points, rounds), key=points.index)
    left = iter(points)
    async with asyncio.TaskGroup() as workers:
        for _ in range(parallel):
            workers.create_task(sweep.work(left, len(points)))
    seconds = sorted(sweep.seconds)
    return sweep.faults, {
        **sweep.counts,
        "life_seconds": [round(seconds[len(seconds) // 2], 2), round(seconds[-1], 2)],
    }
