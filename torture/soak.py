"""Soak: very many jobs of a hundred users pass through one system, and every line stays flat."""

import asyncio
import gc
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs

from cidx_jobs import Job, JobContext, JobStatus, JobSystem, JobType, Settings
from cidx_jobs.settings import DataDirectory

JOBS_A_ROUND = 1_000
USERS = 100
PROJECTS = 1_000
"""Ten of each user; each is synced in the first third, and then again one after the other."""
AT_A_TIME = 40
"""Callers that submit, wait for the end, and submit the next."""

MOST_BYTES_A_JOB = 200
"""Two megabytes of memory for ten thousand jobs (guarantees.md, G15)."""
MOST_GROWTH = 1.05
"""Of the objects: what is kept of users and kinds changes a little from look to look."""
MOST_FILE_GROWTH = 1.1
MOST_FILE_BYTES = 2_000_000
"""What files may grow besides: they are given back in steps."""
MOST_LOG_BYTES = 64 * 1024 * 1024
"""What the write-ahead log is cut to when it is put away."""
MOST_SLOWER = 2.0
"""Of the time of a submit, at the best look of each third: other work on the machine only adds."""
MOST_WORK = 1.3
"""Of the processor's time for a job, which others' work hardly changes."""

_LOOKS = 60
_SHOWN = 10
_ROUNDS_KEPT = 2
"""After so many rounds what has ended is deleted, so that jobs of all ages are there."""
_REPOSITORIES = 10
_ROUNDS_A_CHANGE = 10
_MOST_SYNCS_A_ROUND = 30
_HELD = 0.02
_EXCLUSIVE = 0.2
_WAIT_SECONDS = 120.0
_STATM = Path("/proc/self/statm")
_MEGABYTE = 1_000_000
_LOOSE_BYTES = 8_000_000
"""What memory may grow besides: caches of the database fill up."""
_CHANGE = """
test -d .git || git init -q -b main
echo "$1" > file && git add file
git -c user.name=t -c user.email=t@localhost -c gc.auto=0 commit -q -m "$1"
"""


@attrs.frozen
class Size:
    """What the process and its directory hold at one moment at which no job is active."""

    jobs: int
    """How many had passed."""
    objects: int
    tasks: int
    descriptors: int
    memory_bytes: int
    database_bytes: int
    log_bytes: int
    directory_bytes: int
    """All files: copies, indexes and backups as well."""
    submit_seconds: float
    """The median since the last look."""
    end_seconds: float
    """The median time from a submit to the end that its caller saw."""
    work_seconds: float
    """The processor's time for a job, without that of git."""
    jobs_a_second: float


@attrs.define
class Soak:
    """One system, its callers, and what was measured."""

    jobs: JobSystem
    random: Random
    remotes: Sequence[Path]
    rounds: int
    passed: int = 0
    synced: int = 0
    sizes: list[Size] = attrs.field(factory=list)
    _submits: list[float] = attrs.field(factory=list)
    _ends: list[float] = attrs.field(factory=list)
    _looked_at: float = attrs.field(factory=time.monotonic)
    _worked: float = attrs.field(factory=time.process_time)

    async def run(self) -> None:
        """Go through all rounds, and look about sixty times."""
        every = max(1, self.rounds // _LOOKS)
        for number in range(self.rounds):
            await _round(self, number)
            self.passed += JOBS_A_ROUND
            if number % _ROUNDS_KEPT == 0 or (number + 1) % every == 0:
                await self.jobs.manager.clean_up_jobs(0, frozenset(JobStatus))
            if (number + 1) % every == 0:
                tasks = len(asyncio.all_tasks())
                self.sizes.append(await asyncio.to_thread(self._look, tasks))
                self._submits, self._ends = [], []
                self._looked_at, self._worked = time.monotonic(), time.process_time()
                if len(self.sizes) % _SHOWN == 0:
                    print(f"{self.passed} jobs: {_tell(self.sizes[-1])}", flush=True)

    async def pass_jobs(self, numbers: Iterator[int]) -> None:
        """Submit a job, wait for its end, and so on while there are numbers."""
        for _ in numbers:
            begun = time.monotonic()
            job = await self._submit()
            self._submits.append(time.monotonic() - begun)
            if job.hold:
                await self.jobs.cancel(job.job_id)
            await self.jobs.wait(job.job_id, timeout=_WAIT_SECONDS)
            self._ends.append(time.monotonic() - begun)

    async def sync_projects(self, count: int) -> None:
        """Sync the next so many projects, each a user's own."""
        for _ in range(count):
            project = self.synced % PROJECTS
            self.synced += 1
            url = str(self.remotes[project % len(self.remotes)])
            user = f"user{project % USERS}"
            job = await self.jobs.sync(user, f"project{project}", repository_url=url)
            ended = await self.jobs.wait(job.job_id, timeout=_WAIT_SECONDS)
            if ended.status is not JobStatus.COMPLETED:
                message = f"a sync ended as {ended.status}: {ended.error}"
                raise AssertionError(message)

    async def _submit(self) -> Job:
        is_single = self.random.random() < _EXCLUSIVE
        project = self.random.randrange(PROJECTS)
        job = await self.jobs.submit(
            f"user{project % USERS}",
            f"project{project}",
            job_type="single" if is_single else "plain",
            # Who is joined is released: it may be over when its turn comes to be cancelled.
            hold=not is_single and self.random.random() < _HELD,
        )
        # As every answer over HTTP does.
        self.jobs.manager.tag(job)
        self.jobs.manager.queue_status(job)
        return job

    def _look(self, tasks: int) -> Size:
        worked = time.process_time() - self._worked
        gc.collect()
        directory = DataDirectory(self.jobs.settings.data_dir)
        database, log, _ = directory.database_files
        return Size(
            jobs=self.passed,
            objects=len(gc.get_objects()),
            tasks=tasks,
            descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()),
            memory_bytes=int(_STATM.read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE"),
            database_bytes=database.stat().st_size,
            log_bytes=log.stat().st_size,
            directory_bytes=sum(_sizes(directory.root)),
            submit_seconds=statistics.median(self._submits or [0.0]),
            end_seconds=statistics.median(self._ends or [0.0]),
            work_seconds=worked / max(1, len(self._ends)),
            jobs_a_second=len(self._ends) / (time.monotonic() - self._looked_at),
        )


async def torture(
    folder: Path, *, rounds: int, seed: int, handlers: str = ""
) -> tuple[list[str], dict[str, Any]]:
    """Run *rounds* thousand jobs; give what grew in the last third, and how all lines went.

    *handlers* is not used: what a job itself keeps is not the question.
    """
    del handlers
    remotes = [folder / "remotes" / str(number) for number in range(_REPOSITORIES)]
    for remote in remotes:
        remote.mkdir(parents=True)
        await _change(remote, "first")
    settings = await asyncio.to_thread(_make_settings, folder)
    types = [JobType("plain", _work), JobType("single", _work, exclusive=True)]
    async with JobSystem(settings, types) as jobs:
        soak = Soak(jobs, Random(seed), remotes, rounds)
        await soak.run()
    faults = list(find_growth(soak.sizes))
    return faults, {
        "jobs": soak.passed,
        "users": USERS,
        "projects": min(soak.synced, PROJECTS),
        **_lines(soak.sizes),
    }


def _make_settings(folder: Path) -> Settings:
    return Settings(
        data_dir=folder / "data",
        git_local_roots=(folder / "remotes",),
        max_queued_per_user=100_000,
        max_running_per_user=AT_A_TIME,
        max_running_total=AT_A_TIME,
    )


async def _work(_: JobContext) -> None:
    return None


async def _round(soak: Soak, number: int) -> None:
    """Pass a thousand jobs, and sync some projects beside them."""
    first_third = max(1, soak.rounds // 3)
    is_first = number < first_third
    syncs = min(_MOST_SYNCS_A_ROUND, -(-PROJECTS // first_third)) if is_first else 1
    if number % _ROUNDS_A_CHANGE == 0:
        changed = soak.remotes[number // _ROUNDS_A_CHANGE % len(soak.remotes)]
        await _change(changed, f"round {number}")
    numbers = iter(range(JOBS_A_ROUND))
    async with asyncio.TaskGroup() as group:
        group.create_task(soak.sync_projects(syncs))
        for _ in range(AT_A_TIME):
            group.create_task(soak.pass_jobs(numbers))


async def _change(remote: Path, text: str) -> None:
    command = ["sh", "-ec", _CHANGE, "sh", text]
    await asyncio.to_thread(subprocess.run, command, cwd=remote, check=True)


def _sizes(root: Path) -> Iterator[int]:
    for folder, _, names in os.walk(root):
        for name in names:
            # A file may go while it is looked at.
            try:
                yield Path(folder, name).lstat().st_size
            except FileNotFoundError:
                continue


def find_growth(sizes: Sequence[Size]) -> Iterator[str]:
    """Yield each line that is higher in the last third than in the one before."""
    third = max(1, len(sizes) // 3)
    before, after = sizes[-2 * third : -third], sizes[-third:]

    def medians(name: str) -> tuple[float, float]:
        return (
            statistics.median(getattr(size, name) for size in before),
            statistics.median(getattr(size, name) for size in after),
        )

    objects = medians("objects")
    if objects[1] > objects[0] * MOST_GROWTH:
        yield f"{objects[0]:.0f} objects became {objects[1]:.0f}"
    for name in ("tasks", "descriptors"):
        most = max(getattr(size, name) for size in before)
        now = max(getattr(size, name) for size in after)
        if now > most:
            yield f"{most} {name} became {now}"
    memory, jobs = medians("memory_bytes"), medians("jobs")
    if memory[1] - memory[0] > MOST_BYTES_A_JOB * (jobs[1] - jobs[0]) + _LOOSE_BYTES:
        grown = memory[1] - memory[0]
        yield f"{grown:.0f} bytes more of memory after {jobs[1] - jobs[0]:.0f} jobs"
    for name in ("database_bytes", "directory_bytes"):
        most = max(getattr(size, name) for size in before)
        now = max(getattr(size, name) for size in after)
        if now > most * MOST_FILE_GROWTH + MOST_FILE_BYTES:
            yield f"{most} {name} became {now}"
    if (log := max(size.log_bytes for size in sizes)) > MOST_LOG_BYTES:
        yield f"the write-ahead log had {log} bytes"
    best, now = (min(size.submit_seconds for size in part) for part in (before, after))
    if now > best * MOST_SLOWER:
        yield f"a submit took {best * 1000:.1f} ms, and takes {now * 1000:.1f} ms"
    work = medians("work_seconds")
    if work[1] > work[0] * MOST_WORK:
        yield f"a job took {work[0] * 1000:.2f} ms of processor time, now {work[1] * 1000:.2f}"


def _lines(sizes: Sequence[Size]) -> dict[str, list[float]]:
    """Return each line at ten moments or fewer, from the first look to the last."""
    step = max(1, -(-len(sizes) // _SHOWN))
    shown = [*sizes[::step], *(sizes[-1:] if (len(sizes) - 1) % step else ())]
    told = [_tell(size) for size in shown]
    return {name: [one[name] for one in told] for name in told[0]}


def _tell(size: Size) -> dict[str, float]:
    return {
        "at_thousand": size.jobs / JOBS_A_ROUND,
        "objects": size.objects,
        "tasks": size.tasks,
        "descriptors": size.descriptors,
        "memory_mb": round(size.memory_bytes / _MEGABYTE, 1),
        "database_mb": round(size.database_bytes / _MEGABYTE, 2),
        "log_mb": round(size.log_bytes / _MEGABYTE, 1),
        "directory_mb": round(size.directory_bytes / _MEGABYTE, 1),
        "submit_ms": round(size.submit_seconds * 1000, 1),
        "end_ms": round(size.end_seconds * 1000, 1),
        "work_ms": round(size.work_seconds * 1000, 2),
        "jobs_a_second": round(size.jobs_a_second),
    }
