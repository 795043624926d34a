"""P1's share of the store: durable transitions, against the raw loop and a commit for each.

Every side takes the same jobs from submit over start to end. The raw loop does what durability
costs at the least: insert, start and finish as three shared commits, 100 jobs a batch, no asyncio.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.harness import Bench
from cidx_jobs.clock import SystemClock
from cidx_jobs.model.ids import ProjectId, UserId, make_job_id
from cidx_jobs.model.job.events import Complete, Enqueue, Event, Start, Submit
from cidx_jobs.model.job.job import DispatchKey, Job, JobStatus
from cidx_jobs.model.job.lifecycle import advance
from cidx_jobs.model.listing import Change
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.persistence import JobPersistence

JOBS = 3_000
ALONE = 150
CALLERS = 100
STEPS = 3
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

_RAW_SCHEMA = """
CREATE TABLE jobs (row INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
 status TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX by_user ON jobs (user_id, status);
"""

Life = tuple[Change, Change, Change]


def main() -> None:
    """Measure in turn, in one run."""
    lives = [make_life(number) for number in range(JOBS)]
    spent: dict[str, list[float]] = {"FULL": [], "NORMAL": []}
    with Bench("store", settings={"jobs": JOBS, "callers": CALLERS, "users": 100}) as bench:
        taken = bench.paired(
            {
                "store, 100 callers, FULL": lambda: JOBS / store(lives, "FULL", spent),
                "store, 100 callers, NORMAL": lambda: JOBS / store(lives, "NORMAL", spent),
                "raw loop": lambda: JOBS / raw_loop(JOBS, CALLERS),
                "store, one caller": lambda: ALONE / store(lives[:ALONE], "FULL", {}, callers=1),
                "raw, one commit each": lambda: ALONE / raw_loop(ALONE, 1),
            },
            unit="jobs/s",
        )
        ours = taken["store, 100 callers, FULL"]
        bench.ratio("store / raw loop", ours, taken["raw loop"])
        bench.ratio("store / one commit each", ours, taken["raw, one commit each"])
        bench.ratio(
            "one caller / one commit each",
            taken["store, one caller"],
            taken["raw, one commit each"],
        )
        bench.ratio("FULL / NORMAL", ours, taken["store, 100 callers, NORMAL"])
        bench.figure("CPU of a transition", spent["FULL"][1:], unit="us", at_most=40)


def make_life(number: int) -> Life:
    """Make a job's three changes, from submit to end."""
    new = Job(
        job_id=make_job_id(1_767_000_000_000 + number, 0, number),
        job_type="noop",
        user_id=UserId(f"u{number % 100}"),
        project_id=ProjectId("p"),
        status=JobStatus.CREATED,
        version=1,
        priority=5,
        max_attempts=3,
        attempts_granted=3,
        timeout_seconds=3_600.0,
        created_at=NOON,
        updated_at=NOON,
    )
    created, first = advance(new, Submit(), NOON)
    queued, second = advance(created, Enqueue(key=DispatchKey(1.0, 1, number)), NOON)
    submit = Change(job=queued, base_version=0, transitions=(first, second))
    start = _next(queued, Start(epoch=1))
    return submit, start, _next(start.job, Complete(result={}, elapsed_seconds=0.01))


def store(
    lives: Sequence[Life], synchronous: str, spent: dict[str, list[float]], callers: int = CALLERS
) -> float:
    """Give the seconds that the store takes; note the CPU of a transition, in microseconds."""
    wall, cpu = asyncio.run(_store(lives, synchronous, callers))
    spent.setdefault(synchronous, []).append(cpu / len(lives) / STEPS * 1e6)
    return wall


def raw_loop(jobs: int, batch: int) -> float:
    """Give the seconds that three bare commits a batch take."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)) as db,
    ):
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(_RAW_SCHEMA)
        began = time.perf_counter()
        for first in range(0, jobs, batch):
            _raw_batch(db, range(first, min(first + batch, jobs)))
        return time.perf_counter() - began


async def _store(lives: Sequence[Life], synchronous: str, callers: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        directory = DataDirectory(Path(folder) / "data")
        jobs = JobPersistence(directory, synchronous=synchronous, clock=SystemClock())
        await jobs.open()
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(_live(jobs, lives[n::callers]) for n in range(callers)))
        spent = time.perf_counter() - wall, time.process_time() - cpu
        assert (await jobs.jobs.collect_stats()).by_status == {"completed": len(lives)}
        await jobs.close()
    return spent


async def _live(jobs: JobPersistence, lives: Sequence[Life]) -> None:
    for life in lives:
        for change in life:
            await jobs.jobs.save_changes([change])


def _next(job: Job, event: Event) -> Change:
    after, transition = advance(job, event, NOON + timedelta(seconds=1))
    return Change(job=after, base_version=job.version, transitions=(transition,), before=job)


def _raw_batch(db: sqlite3.Connection, numbers: range) -> None:
    names = [f"{number:032x}" for number in numbers]
    rows = [(name, f"u{number % 100}", "{}") for number, name in zip(numbers, names, strict=True)]
    _commit(db, "INSERT INTO jobs VALUES (NULL, ?, ?, 'queued', 2, ?)", rows)
    for status in ("running", "completed"):
        changes = [(status, name) for name in names]
        _commit(db, "UPDATE jobs SET status = ?, version = version + 1 WHERE job_id = ?", changes)


def _commit(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[str, ...]]) -> None:
    db.execute("BEGIN IMMEDIATE")
    for row in rows:
        db.execute(statement, row)
    db.execute("COMMIT")


if __name__ == "__main__":
    main()
