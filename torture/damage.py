"""Hurt the files of a stopped or killed server: each hurt is refused untouched, or is harmless."""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs

from cidx_jobs import Job, JobContext, JobStatus, JobSystem, JobType, Settings
from cidx_jobs.model.errors import StartRefusedError
from cidx_jobs.model.listing import JobQuery

REFUSED_SECONDS = 5.0
WAYS = ("cut", "cut out", "header", "lost log", "lost database", "rolled back")

_JOBS = 40
_KEPT = 10
_DATABASE_HEADER = 100
_LOG_HEADER = 32
_PARTS = (1, 100, 4_096, 40_960)
_WAIT_SECONDS = 30.0
# Made anew by whoever opens the database, or held by nobody's content.
_NO_CONTENT = ("jobs.db-shm", "owner.lock")


@attrs.frozen
class Image:
    """A data directory as a server left it, and the jobs that it acknowledged."""

    directory: Path
    jobs: Mapping[str, Job]


async def torture(
    folder: Path, *, rounds: int, seed: int, handlers: str = ""
) -> tuple[list[str], dict[str, Any]]:
    """Hurt the files *rounds* times, each time anew; give the broken promises, and counts.

    *handlers* is not used: nothing that runs in a server can be at fault here.
    """
    del handlers
    random = Random(seed)
    old, images = await _make_images(folder)
    faults: list[str] = []
    counts: Counter[str] = Counter()
    for number in range(rounds):
        image = random.choice(images)
        hurt = folder / f"hurt-{number}"
        shutil.copytree(image.directory, hurt)
        what = _damage(hurt, old, WAYS[number % len(WAYS)], random)
        name = f"{image.directory.name}, {what}"
        verdict, broken = await _judge(Image(hurt, image.jobs))
        faults += [f"{name}: {text}" for text in broken]
        counts[f"{WAYS[number % len(WAYS)]}: {verdict}"] += 1
        await asyncio.to_thread(shutil.rmtree, hurt)
    return faults, dict(counts)


async def _work(_: JobContext) -> None:
    return None


def _system(directory: Path) -> JobSystem:
    return JobSystem(Settings(data_dir=directory), [JobType("work", _work)])


async def _make_images(folder: Path) -> tuple[Path, list[Image]]:
    """Give an older copy of a server's files, and what it left at a stop and at a kill."""
    directory = folder / "data"
    async with _system(directory) as jobs:
        await _fill(jobs, _JOBS)
        # Leaves pages of the database free, as a server has them that runs for long.
        await jobs.manager.clean_up_jobs(0, frozenset(JobStatus))
        await _fill(jobs, _KEPT)
    old = shutil.copytree(directory, folder / "old")
    async with _system(directory) as jobs:
        await _fill(jobs, _KEPT)
        known = await _read(jobs)
    stopped = Image(shutil.copytree(directory, folder / "stopped"), known)
    async with _system(directory) as jobs:
        await _fill(jobs, _KEPT)
        killed = Image(shutil.copytree(directory, folder / "killed"), await _read(jobs))
    (killed.directory / "jobs.db-shm").unlink()
    return old, [stopped, killed]


async def _fill(jobs: JobSystem, count: int) -> None:
    labels = {f"label-{number}": "x" * 200 for number in range(10)}
    submits = [jobs.submit("u", "p", job_type="work", labels=labels) for _ in range(count)]
    for job in await asyncio.gather(*submits):
        await jobs.wait(job.job_id, timeout=_WAIT_SECONDS)


async def _read(jobs: JobSystem) -> dict[str, Job]:
    page = await jobs.manager.query_jobs(JobQuery(limit=200))
    return {job.job_id: job for job in page.jobs}


def _damage(directory: Path, old: Path, way: str, random: Random) -> str:
    database, log = directory / "jobs.db", directory / "jobs.db-wal"
    file = random.choice([path for path in (database, log) if path.exists()])
    content = file.read_bytes()
    match way:
        case "cut":
            end = random.randrange(len(content))
            file.write_bytes(content[:end])
            return f"{file.name} is cut at {end} of {len(content)}"
        case "cut out":
            begin = random.randrange(len(content))
            end = min(len(content), begin + random.choice(_PARTS))
            file.write_bytes(content[:begin] + content[end:])
            return f"{begin} to {end} of {len(content)} are cut out of {file.name}"
        case "header":
            place = random.randrange(_DATABASE_HEADER if file == database else _LOG_HEADER)
            byte = (content[place] + random.randrange(1, 256)) % 256
            file.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
            return f"byte {place} of {file.name} is {byte}, and was {content[place]}"
        case "lost log" if log.exists():
            log.unlink()
            return "the log is lost"
        case "rolled back" | "lost log":
            shutil.copy(old / "jobs.db", database)
            log.unlink(missing_ok=True)
            return "an older copy"
        case _:
            database.unlink()
            return "the database is lost"


async def _judge(image: Image) -> tuple[str, list[str]]:
    """Start a server on the image; give what it did, and what of that is broken."""
    before = _contents(image.directory)
    began = time.monotonic()
    try:
        async with _system(image.directory) as jobs:
            return "harmless", [text async for text in _losses(jobs, image)]
    except StartRefusedError as error:
        broken = []
        if _contents(image.directory) != before:
            broken.append("it was refused and touched")
        if "\n" in str(error) or not str(error):
            broken.append(f"it was not refused in one line: {error}")
        if time.monotonic() - began > REFUSED_SECONDS:
            broken.append(f"it was refused after {time.monotonic() - began:.1f} s")
        return "refused", broken
    except Exception as error:  # noqa: BLE001 - whatever else a start raises is no refusal
        return "raised", [f"it raised {error!r}"]


async def _losses(jobs: JobSystem, image: Image) -> AsyncIterator[str]:
    """Yield what is lost or does not work on a server that started."""
    now = await _read(jobs)
    lost = [job_id for job_id, job in image.jobs.items() if now.get(job_id) != job]
    if lost:
        yield f"acknowledged and lost: {lost}"
    await _fill(jobs, _JOBS)
    for finding in await jobs.examine(deep=True):
        yield f"doctor: {finding.message}"


def _contents(directory: Path) -> dict[str, bytes]:
    files = [path for path in directory.iterdir() if path.is_file()]
    return {path.name: path.read_bytes() for path in files if path.name not in _NO_CONTENT}
