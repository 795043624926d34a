"""Power cuts: whatever a disk may hold then, at any moment of a real run, is opened and compared.

The run is recorded call by call. From that a model of the disk makes *images* of the data
directory, as they may be found after a cut: what was flushed is there, and of the rest anything.
Each has to hold what had been acknowledged by then.
"""

import asyncio
import itertools
import json
import math
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import attrs

from cidx_jobs import JobSystem, Settings
from cidx_jobs.clock import SystemClock
from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.open.migrations import load_migrations
from cidx_jobs.store.sqlite.open.possession import take_possession
from torture.ending import end_endless, note_death
from torture.first_process import child_of
from torture.ledger import Ledger, Submitted
from torture.load import Load, loaded
from torture.recorded_calls import Record
from torture.recorder import check_recorder, read_recording, recorder
from torture.server import Caller, NotReadyError, Site, start
from torture.verify import end_orphans
from torture.volatile_disk import VolatileDisk

LIVES = ("stop", "kill", "kill", "stop")
"""How each recorded life of the server ends."""
STARTED_EVERY = 100
"""Each so manieth image is served as well: its work is recovered, and everything examined."""

_WORK_SECONDS = 0.8
_SYNC_SECONDS = 10
_COUNTS = 3
_NOT_KEPT = ("-shm", ".sock")
"""Files that say nothing after a cut: SQLite makes the index of its log anew."""
_MOST_FAULTS = 200
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_MAKE_REPOSITORY = """
git init -q -b main && echo text > file && git add file
git -c user.name=t -c user.email=t@localhost commit -q -m first
"""
_READ_JOBS = "SELECT job_id, version, labels FROM jobs"

SETTINGS = {
    "max_running_per_user": "3",
    "max_running_total": "5",
    "retry_base_seconds": "0.05",
    "shutdown_grace_seconds": "0.3",
    "progress_interval_seconds": "0.05",
    "log_level": "info",
    "poison_after": "0",
}


@attrs.frozen
class Acknowledged:
    """What an answer said of a job, and when it came."""

    at: float
    job_id: str
    version: int


@attrs.define
class TimedLedger(Ledger):
    """A ledger that keeps when each answer came."""

    acknowledged: list[Acknowledged] = attrs.field(factory=list)

    def note_submit(self, one: Submitted, job_id: str) -> None:
        """Note that the submit was acknowledged: the job is there, in some version."""
        super().note_submit(one, job_id)
        self.acknowledged.append(Acknowledged(time.monotonic(), job_id, 1))

    def note_version(self, job_id: str, version: int, at_least: int) -> None:
        """Note what an answer showed."""
        super().note_version(job_id, version, at_least)
        self.acknowledged.append(Acknowledged(time.monotonic(), job_id, version))


@attrs.frozen
class Recording:
    """A recorded run: its calls, in the order of their ends, and what was acknowledged."""

    files: Sequence[Path]
    acknowledged: Sequence[Acknowledged]

    def read(self) -> list[Record]:
        """Return all calls."""
        return list(itertools.chain.from_iterable(read_recording(file) for file in self.files))


@attrs.frozen
class Found:
    """What was found wrong with images, and how many were looked at."""

    faults: Sequence[str]
    counts: Mapping[str, int]


async def torture(
    folder: Path,
    *,
    rounds: int,
    seed: int,
    handlers: str = "torture.jobs:TYPES",
    synchronous: str = "FULL",
    parallel: int = 1,
    lives: Sequence[str] = LIVES,
) -> tuple[list[str], dict[str, Any]]:
    """Record a run, and open *rounds* images of it; give the broken promises, and the counts.

    Raises:
        SkippedError: nothing can be recorded on this machine.
    """
    await asyncio.to_thread(check_recorder)
    types = "torture.short_log:TYPES" if handlers == "torture.jobs:TYPES" else handlers
    settings = {**SETTINGS, "synchronous": synchronous, "git_local_roots": str(folder / "remote")}
    site = Site(folder / "data", folder / "runs", f"power-{folder}", settings, types)
    load = Load(TimedLedger(), Random(seed))
    recording = await _record(site, load, lives)
    faults = list(load.ledger.faults)
    faults += await asyncio.to_thread(_check_recording, recording, site.data_dir)
    parts = await asyncio.to_thread(_open_all, recording, rounds, seed, parallel)
    totals: Counter[str] = Counter({"images": 0, "lost": 0, "doubled": 0})
    for part in parts:
        faults += part.faults
        totals.update(part.counts)
    calls = len(await asyncio.to_thread(recording.read))
    return faults, {**totals, "calls": calls, "jobs": len(load.ledger.known)}


async def _record(site: Site, load: Load, lives: Sequence[str]) -> Recording:
    remote = site.data_dir.with_name("remote")
    remote.mkdir()
    await asyncio.to_thread(
        subprocess.run, ["sh", "-ec", _MAKE_REPOSITORY], cwd=remote, check=True
    )
    ledger = load.ledger
    assert isinstance(ledger, TimedLedger)
    files = []
    for number, end in enumerate(lives):
        files.append(site.data_dir.with_name(f"calls-{number}"))
        try:
            await _live(site, load, files[-1], end)
        except NotReadyError as error:
            ledger.blame(f"a recorded server does not start: {error}")
        finally:
            end_orphans(site)
    return Recording(files, ledger.acknowledged)


async def _live(site: Site, load: Load, recording: Path, end: str) -> None:
    server = await start(site, recorder(recording, site.data_dir))
    try:
        await server.until_ready()
        server.inner_pid = await asyncio.to_thread(child_of, server.pid)
        async with Caller(server) as caller:
            await load.settle(caller)
            # What older lives left would hold all slots.
            await end_endless(caller, load.ledger)
            await load.plant(caller, _COUNTS, {})
            options = {"repository_url": str(site.data_dir.with_name("remote"))}
            synced = await load.submit(caller, "repository_sync", more=options)
            async with loaded(load, caller):
                await asyncio.sleep(_WORK_SECONDS)
            query = f"?wait={_SYNC_SECONDS}&until=done"
            answer = await caller.ask("GET", f"/api/jobs/{synced.job_id}{query}")
            if answer is None or answer.document.get("status") not in {"completed", "cancelled"}:
                load.ledger.blame(f"a sync of a recorded server does not complete: {answer}")
        if end == "stop":
            await server.stop()
    finally:
        note_death(load.ledger, server, await server.kill())


def _check_recording(recording: Recording, data_dir: Path) -> Iterator[str]:
    """Yield what the recording missed: all of it together makes the files as they are."""
    disk = VolatileDisk()
    for record in recording.read():
        disk.apply(record)
    there = {path.name: path for path in data_dir.iterdir() if path.is_file()}
    names = {name for name in there.keys() | disk.named.keys() if not name.endswith(_NOT_KEPT)}
    for name in sorted(names):
        if name not in there or name not in disk.named:
            yield f"the recording is wrong: {name} is in one of it and the directory only"
        elif there[name].read_bytes() != bytes(disk.named[name].newest):
            yield f"the recording is wrong: {name} has another content"


def _open_all(recording: Recording, images: int, seed: int, parallel: int) -> Sequence[Found]:
    # Each is written, flushed by its start, and deleted: on a real disk that takes most of the
    # time, and says nothing.
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="torture-images-", dir=memory) as folder:
        parts = [
            Part(recording, Path(folder, str(n)), images, seed, range(n, images, parallel))
            for n in range(parallel)
        ]
        if parallel == 1:
            return [part.open() for part in parts]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(parallel, mp_context=context) as pool:
            return list(pool.map(Part.open, parts))


@attrs.frozen
class Part:
    """Some of the images, which are spread over all moments of the run."""

    recording: Recording
    folder: Path
    images: int
    """How many there are in all."""
    seed: int
    own: Sequence[int]
    """The numbers of those to be opened."""

    def open(self) -> Found:
        """Make and open them, one after the other."""
        records = self.recording.read()
        acknowledged = sorted(self.recording.acknowledged, key=lambda one: one.at)
        opener = _Opener(self.folder, acknowledged)
        disk = VolatileDisk()
        number = 0
        for place, record in enumerate(records):
            disk.apply(record)
            # No later call has an effect before it ends: what was answered by then was answered.
            opener.come_to(records[place + 1][2] if place + 1 < len(records) else math.inf)
            while number * len(records) < (place + 1) * self.images:
                if number in self.own:
                    # Each has choices of its own, so that one alone can be made again.
                    files = disk.image(Random(f"{self.seed}:{number}"))
                    opener.open(files, f"image {number}, cut after call {place} of {len(records)}")
                number += 1
        return Found(opener.faults, dict(opener.counts))


@attrs.define
class _Opener:
    """Opens images, and compares them with what was acknowledged."""

    folder: Path
    acknowledged: Sequence[Acknowledged]
    faults: list[str] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    _known: dict[str, int] = attrs.field(factory=dict)
    """The newest version of each job that had been answered."""
    _place: int = 0

    def come_to(self, until: float) -> None:
        """Go on to a later moment."""
        while self._place < len(self.acknowledged) and self.acknowledged[self._place].at < until:
            one = self.acknowledged[self._place]
            self._known[one.job_id] = max(one.version, self._known.get(one.job_id, 0))
            self._place += 1

    def open(self, files: Mapping[str, bytes], name: str) -> None:
        """Lay the files into a directory, take it into possession, and look what is there."""
        self.counts["images"] += 1
        directory = DataDirectory(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700)
        for file, content in files.items():
            if not file.endswith(_NOT_KEPT):
                (self.folder / file).write_bytes(content)
        try:
            if self.counts["images"] % STARTED_EVERY == 0:
                self.counts["served"] += 1
                self._blame(name, asyncio.run(_serve(self.folder)))
            take_possession(directory, "FULL", SystemClock(), load_migrations()).release()
            with closing(sqlite3.connect(directory.database)) as connection:
                jobs = connection.execute(_READ_JOBS).fetchall()
        except (CidxJobsError, sqlite3.Error) as error:
            self.counts["lost"] += len(self._known)
            self._blame(name, [f"the database does not open: {error}"])
        else:
            self._compare(name, jobs)

    def _compare(self, name: str, jobs: Sequence[tuple[str, int, str | None]]) -> None:
        versions = {job_id: version for job_id, version, _ in jobs}
        lost = [
            f"job {job_id} was acknowledged in version {version} and is lost: "
            f"{versions.get(job_id, 'nothing')} is there"
            for job_id, version in self._known.items()
            if versions.get(job_id, 0) < version
        ]
        keys = Counter(json.loads(labels)["key"] for _, _, labels in jobs if labels)
        doubled = [f"key {key} made {count} jobs" for key, count in keys.items() if count > 1]
        self.counts["lost"] += len(lost)
        self.counts["doubled"] += len(doubled)
        self._blame(name, lost + doubled)

    def _blame(self, name: str, texts: Sequence[str]) -> None:
        for text in texts:
            if len(self.faults) < _MOST_FAULTS:
                self.faults.append(f"{name}: {text}")


async def _serve(data_dir: Path) -> Sequence[str]:
    """Let a system recover what the directory holds; return what does not fit together."""
    settings = Settings(data_dir=data_dir, shutdown_grace_seconds=0, repository_sync=False)
    async with JobSystem.open(settings, []) as jobs:
        return [f"doctor: {finding}" for finding in await jobs.examine(deep=True)]
