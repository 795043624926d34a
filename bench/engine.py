"""P1, P4: durable no-op jobs end to end in one process, against the raw loop and plain commits.

The raw loop does what durability costs at the least: insert, start and finish as three shared
commits, 100 jobs a batch, no asyncio. "One transaction each" commits every transition by itself,
as asyncio programs do: through aiosqlite, for 100 users. "One bare commit each" does the same in
one thread. The garbage collector is settled as the standalone server settles it. The log is
written as `serve` writes it by default, into a file; a second figure is without it. The probe of
P1 is what `bench.probe` tells of.
"""

import asyncio
import contextlib
import logging
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import aiosqlite

from bench.harness import Bench
from bench.probe import probe_cpu_seconds
from cidx_jobs import JobContext, JobSystem, JobType, Settings, setup_logging
from cidx_jobs.web.server import settle_collector

USERS = 100
JOBS = 2_000
BATCH = 100
ALONE_JOBS = 300
GROWING_JOBS = 300
"""After so many jobs one by one the log has been checkpointed, and is written anew in place."""

_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
_SCHEMA = """
CREATE TABLE jobs (row INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
 status TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX by_user ON jobs (user_id, status);
"""
_INSERT = "INSERT INTO jobs VALUES (NULL, ?, ?, 'queued', 2, ?)"
_UPDATE = "UPDATE jobs SET status = ?, version = version + 1 WHERE job_id = ?"


def main() -> None:
    """Measure in turn, in one run."""
    settle_collector()
    with Bench("engine", settings={"jobs": JOBS, "users": USERS, "synchronous": "FULL"}) as bench:
        taken = bench.paired(
            {
                "engine": engine_rate,
                "raw loop": raw_rate,
                "one transaction each": transaction_rate,
                "one bare commit each": commit_rate,
            },
            unit="jobs/s",
        )
        bench.ratio("P1 engine / raw loop", taken["engine"], taken["raw loop"])
        bench.ratio(
            "P1 engine / one transaction each",
            taken["engine"],
            taken["one transaction each"],
        )
        bench.ratio(
            "engine / one bare commit each", taken["engine"], taken["one bare commit each"]
        )
        cpu = bench.paired(
            {
                "P1 CPU of a job, as served": partial(engine_cpu_microseconds, is_logged=True),
                "P1 CPU of a job, log off": partial(engine_cpu_microseconds, is_logged=False),
                "P1 CPU of its statements": probe_cpu_microseconds,
            },
            unit="us",
        )
        served, silent, probe = cpu.values()
        bench.ratio("P1 as served / statements", served, probe, at_most=3.3)
        bench.ratio("P1 log off / statements", silent, probe, at_most=2.6)
        jobs, raws = zip(*[idle_and_raw_milliseconds() for _ in range(bench.rounds)], strict=True)
        bench.figure("idle job", jobs, unit="ms")
        bench.figure("2 raw commits", raws, unit="ms")
        bench.figure(
            "P4 idle job less 2 raw commits",
            [job - raw for job, raw in zip(jobs, raws, strict=True)],
            unit="ms",
            at_most=0.6,
        )


def engine_rate() -> float:
    """Give jobs a second through the whole engine, 100 users at a time."""
    return JOBS / _run_engine()[0]


def engine_cpu_microseconds(*, is_logged: bool) -> float:
    """Give the CPU of the whole process for a job, in microseconds."""
    return _run_engine(is_logged=is_logged)[1] / JOBS * 1e6


def probe_cpu_microseconds() -> float:
    """Give the CPU of the statements of November 2026 for a job, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        return probe_cpu_seconds(Path(folder), JOBS, USERS, BATCH) / JOBS * 1e6


def raw_rate() -> float:
    """Give jobs a second of the raw loop."""
    with _raw_database() as db:
        return JOBS / _raw(db, BATCH)


def transaction_rate() -> float:
    """Give jobs a second where each of the three transitions is a transaction of aiosqlite."""
    return asyncio.run(_transactions())


def commit_rate() -> float:
    """Give jobs a second where each of the three transitions is a commit, in one thread."""
    count = JOBS // 10
    with _raw_database() as db:
        return count / _raw(db, 1, count)


def idle_and_raw_milliseconds() -> tuple[float, float]:
    """Give the medians of one job on an idle engine, submit to finished, and of two raw commits.

    After each job come two raw commits, as many as it makes, so that both meet the disk in the
    same state. Neither is counted before its write-ahead log has gone round once: while that file
    grows, each flush stores its new length too and takes twice as long.
    """
    job, raw = asyncio.run(_alone())
    return job * 1e3, raw * 1e3


@contextlib.contextmanager
def _served_log(folder: Path) -> Iterator[None]:
    """Log as `serve` does by default, into a file."""
    logger = logging.getLogger("cidx_jobs")
    level = logger.level
    with (folder / "server.log").open("w", encoding="utf-8") as file:
        setup_logging(Settings(), file)
        try:
            yield
        finally:
            logger.setLevel(level)


def _run_engine(*, is_logged: bool = True) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    spent: list[float] = []

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            log = _served_log(Path(folder)) if is_logged else contextlib.nullcontext()
            with log:
                await measure(folder)

    async def measure(folder: str) -> None:
        nonlocal wall, cpu
        async with JobSystem.open(_settings(folder), [JobType("noop", _noop)]) as jobs:
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*[_user(jobs, f"u{n}") for n in range(USERS)])
            spent[:] = [time.perf_counter() - wall, time.process_time() - cpu]

    asyncio.run(run())
    return spent[0], spent[1]


async def _user(jobs: JobSystem, user: str) -> None:
    for _ in range(JOBS // USERS):
        job = await jobs.submit(user, "p", job_type="noop")
        await jobs.wait(job.job_id)


async def _alone() -> tuple[float, float]:
    jobs_taken, raw_taken = [], []
    with _raw_database() as db, tempfile.TemporaryDirectory() as folder:
        async with JobSystem.open(_settings(folder), [JobType("noop", _noop)]) as jobs:
            for number in range(GROWING_JOBS + ALONE_JOBS):
                began = time.perf_counter()
                job = await jobs.submit("u", "p", job_type="noop")
                await jobs.wait(job.job_id)
                ended = time.perf_counter()
                name = f"{number:032x}"
                _commit(db, _INSERT, [(name, "u", "{}")])
                _commit(db, _UPDATE, [("completed", name)])
                raw_taken.append(time.perf_counter() - ended)
                jobs_taken.append(ended - began)
    job_median, raw_median = (
        statistics.median(taken[GROWING_JOBS:]) for taken in (jobs_taken, raw_taken)
    )
    return job_median, raw_median


def _settings(folder: str) -> Settings:
    return Settings(data_dir=Path(folder), max_running_total=BATCH, max_queued_per_user=10_000)


async def _noop(_: JobContext) -> None:
    return None


async def _transactions() -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with aiosqlite.connect(Path(folder) / "raw.db", isolation_level=None) as db:
            await db.executescript(f"{_PRAGMAS}{_SCHEMA}")
            turn = asyncio.Lock()

            async def commit(statement: str, row: Sequence[str]) -> None:
                async with turn:
                    await db.execute("BEGIN IMMEDIATE")
                    await db.execute(statement, row)
                    await db.execute("COMMIT")

            async def user(name: str, count: int) -> None:
                for number in range(count):
                    job = f"{name}-{number}"
                    await commit(_INSERT, (job, name, "{}"))
                    await commit(_UPDATE, ("running", job))
                    await commit(_UPDATE, ("completed", job))

            each = max(1, JOBS // 10 // USERS)
            began = time.perf_counter()
            await asyncio.gather(*[user(f"u{number}", each) for number in range(USERS)])
            return each * USERS / (time.perf_counter() - began)


@contextlib.contextmanager
def _raw_database() -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)
        try:
            db.executescript(f"{_PRAGMAS}{_SCHEMA}")
            yield db
        finally:
            db.close()


def _raw(db: sqlite3.Connection, batch: int, count: int = JOBS) -> float:
    began = time.perf_counter()
    for first in range(0, count, batch):
        names = [f"{number:032x}" for number in range(first, min(first + batch, count))]
        with_body = [(name, f"u{number % USERS}", "{}") for number, name in enumerate(names)]
        _commit(db, _INSERT, with_body)
        for status in ("running", "completed"):
            rows = [(status, name) for name in names]
            _commit(db, _UPDATE, rows)
    return time.perf_counter() - began


def _commit(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[str, ...]]) -> None:
    db.execute("BEGIN IMMEDIATE")
    for row in rows:
        db.execute(statement, row)
    db.execute("COMMIT")


if __name__ == "__main__":
    main()
