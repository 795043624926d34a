"""P8, P10, P13: what a long history costs, with 1,000,000 stored jobs against 10,000 (or 1,000).

BENCH_HISTORY asks for another number of stored jobs.
"""

import asyncio
import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.harness import Bench, progress
from bench.store import CALLERS, Life, make_life
from cidx_jobs.clock import SystemClock
from cidx_jobs.engine.upkeep.retention import delete_expired
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import JobPage, JobQuery
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.commit.connection import connect_for_start
from cidx_jobs.store.sqlite.persistence import JobPersistence

MANY = int(os.environ.get("BENCH_HISTORY", "1000000"))
FEW = 20_000
FEWEST = 1_000
UNFINISHED = 10_000
USERS = 200
LIVES = 2_000
EXPIRED = min(100_000, MANY // 2)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
FAR = NOON + timedelta(days=36_500)

# One user has every second job; of ten jobs one failed and one is of another type.
_ERROR = (
    '{"code":"NET-001","category":"network","severity":"recoverable","retryable":true,'
    '"message":"the host cannot be reached","occurred_at":"2026-01-02T12:00:00Z"}'
)
_FILL_JOBS = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO jobs (job_id, job_type, user_id, project_id, timeout_seconds, created_at, status,
  version, priority, attempt, max_attempts, attempts_granted, run, epoch, losses, hold, key_level,
  key_turn, key_arrival, progress, queued_at, started_at, finished_at, updated_at, result, error)
SELECT printf('01900000-0000-7000-8000-%012d', n), iif(n % 10 = 3, 'other', 'noop'),
  iif(n % 2, 'u0', 'u' || (n % :users)), 'p' || (n % 50), 60.0, :now + n,
  iif(n > :count - :unfinished, 'queued', iif(n % 10 = 7, 'failed', 'completed')),
  4, 5, 1, 3, 3, 1, 1, 0, 0, 1.5, n, n, iif(n % 10 = 7 OR n > :count - :unfinished, 0, 100),
  :now + n, :now + n, iif(n > :count - :unfinished, NULL, :now + n + 1), :now + n + 1,
  iif(n % 10 = 7 OR n > :count - :unfinished, NULL, '{"files": 12}'),
  iif(n % 10 = 7 AND n <= :count - :unfinished, :error, NULL)
FROM numbers
"""
_FILL_EVENTS = """
INSERT INTO log (job, version, event, from_status, to_status, at, attempt, run)
SELECT row, value, 'start', 'queued', 'running', created_at, 1, 1
FROM jobs, json_each('[1, 2, 3, 4]') WHERE finished_at IS NOT NULL ORDER BY row, value
"""
_FILL_BLOCKS = """
INSERT INTO log_users SELECT DISTINCT user_id, seq >> 10 FROM log JOIN jobs ON row = job
"""
_FILL_FINALS = """
INSERT INTO finals SELECT user_id, job_type, status, count(*) FROM jobs
WHERE finished_at IS NOT NULL GROUP BY user_id, job_type, status
"""
_NOTE_SEQUENCE = "UPDATE owner SET sequence = (SELECT coalesce(max(seq), 0) FROM log)"

LISTS: dict[str, dict[str, Any]] = {
    "all": {},
    "user": {"user_id": UserId("u0")},
    "status": {"statuses": frozenset({JobStatus.FAILED})},
    "type": {"job_type": "other"},
    "user, status": {"user_id": UserId("u0"), "statuses": frozenset({JobStatus.COMPLETED})},
    "user, type": {"user_id": UserId("u0"), "job_type": "other"},
    "user, status, type": {
        "user_id": UserId("u0"),
        "statuses": frozenset({JobStatus.COMPLETED}),
        "job_type": "noop",
    },
}


def main() -> None:
    """Measure over two stores in turn, in one run."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench("history", settings={"stored": MANY, "unfinished": UNFINISHED}) as bench,
    ):
        many = fill(Path(folder) / "many", MANY)
        few = fill(Path(folder) / "few", FEW)
        fewest = fill(Path(folder) / "fewest", FEWEST)
        measure_lists(bench, many, few)
        measure_start(bench, many, few)
        measure_rate(bench, many, fewest)
        measure_deletion(bench, many)


def fill(root: Path, count: int) -> DataDirectory:
    """Make a store with that many jobs, of which some are unfinished."""
    began = time.perf_counter()
    directory = DataDirectory(root)
    asyncio.run(_make(directory))
    with closing(connect_for_start(directory.database, "NORMAL")) as db:
        unfinished = min(UNFINISHED, count // 2)
        values = {
            "count": count,
            "users": USERS,
            "unfinished": unfinished,
            "now": int(NOON.timestamp() * 1e6),
            "error": _ERROR,
        }
        db.execute("BEGIN IMMEDIATE")
        db.execute(_FILL_JOBS, values)
        for statement in (_FILL_EVENTS, _FILL_BLOCKS, _FILL_FINALS, _NOTE_SEQUENCE):
            db.execute(statement)
        db.execute("COMMIT")
    size = directory.database.stat().st_size / 1e6
    progress(f"{count} jobs in {time.perf_counter() - began:.0f} s, {size:.0f} MB")
    return directory


def measure_lists(bench: Bench, many: DataDirectory, few: DataDirectory) -> None:
    """P10: page 1 and page 1,000 of lists with totals, and the slowest of a hundred."""
    for name, filters in LISTS.items():
        times = asyncio.run(_in_turn(bench.rounds, many, few, partial(_first_page, filters)))
        bench.figure(f"page 1 by {name}", [m for m, _ in times], unit="ms", at_most=20)
        bench.figure(
            f"page 1 by {name}, many / few", [m / f for m, f in times], unit="ratio", at_most=2
        )
    depths = asyncio.run(_in_turn(bench.rounds, many, few, _deep_page))
    bench.figure("page 1,000 by user, status", [m for m, _ in depths], unit="ms", at_most=20)
    slowest = asyncio.run(_slowest(many))
    bench.figure("slowest of 200 lists", [slowest], unit="ms", at_most=20)


def measure_start(bench: Bench, many: DataDirectory, few: DataDirectory) -> None:
    """P8: opening the store and reading what is unfinished."""

    def start(directory: DataDirectory) -> Callable[[], float]:
        return lambda: asyncio.run(_start(directory))

    taken = bench.paired({"start with many": start(many), "start with few": start(few)}, unit="ms")
    bench.ratio("start, many / few", taken["start with many"], taken["start with few"])


def measure_rate(bench: Bench, many: DataDirectory, fewest: DataDirectory) -> None:
    """P10: durable transitions beside a long history."""
    offset = iter(range(10_000_000, 2_000_000_000, LIVES))

    def rate(directory: DataDirectory) -> Callable[[], float]:
        def measure() -> float:
            first = next(offset)
            lives = [make_life(first + number) for number in range(LIVES)]
            return LIVES / asyncio.run(_write(directory, lives))

        return measure

    taken = bench.paired(
        {"rate with many": rate(many), "rate with fewest": rate(fewest)}, unit="jobs/s"
    )
    bench.ratio(
        "rate, many / fewest", taken["rate with many"], taken["rate with fewest"], at_least=0.8
    )


def measure_deletion(bench: Bench, many: DataDirectory) -> None:
    """P13: how long a write waits while expired jobs are deleted in batches.

    As many seconds without a deletion stand beside each round: on a busy machine, or on a disk
    that is busy for others, some write waits long whatever else is done.
    """
    rounds = asyncio.run(_delete(many, bench.rounds))
    bench.figure("deleted a second", [each.deleted_per_second for each in rounds], unit="jobs/s")
    for what, waits in (
        ("beside a deletion", [each.beside for each in rounds]),
        ("alone", [each.alone for each in rounds]),
    ):
        share = [sorted(some)[int(len(some) * 0.99)] for some in waits]
        bench.figure(f"p99 of a write {what}", share, unit="ms")
        longest = [max(some) for some in waits]
        goal = 60 if what != "alone" else None
        bench.figure(f"longest write {what}", longest, unit="ms", at_most=goal)


class _Deletion(NamedTuple):
    """What a round of deletion took, and the waits of writers in milliseconds."""

    deleted_per_second: float
    beside: Sequence[float]
    alone: Sequence[float]


@asynccontextmanager
async def _opened(directory: DataDirectory) -> AsyncIterator[JobPersistence]:
    jobs = JobPersistence(directory, clock=SystemClock())
    await jobs.open()
    try:
        yield jobs
    finally:
        await jobs.close()


async def _make(directory: DataDirectory) -> None:
    async with _opened(directory):
        pass


async def _in_turn(
    rounds: int,
    many: DataDirectory,
    few: DataDirectory,
    measure: Callable[[JobPersistence], Awaitable[float]],
) -> list[tuple[float, float]]:
    async with _opened(many) as first, _opened(few) as second:
        await measure(first), await measure(second)
        return [(await measure(first), await measure(second)) for _ in range(rounds)]


async def _timed(jobs: JobPersistence, query: JobQuery) -> tuple[float, JobPage]:
    began = time.perf_counter()
    page = await jobs.jobs.query_jobs(query)
    return (time.perf_counter() - began) * 1e3, page


async def _first_page(filters: dict[str, Any], jobs: JobPersistence) -> float:
    return statistics.median([(await _timed(jobs, JobQuery(**filters)))[0] for _ in range(20)])


async def _deep_page(jobs: JobPersistence) -> float:
    filters = LISTS["user, status"]
    last = (await jobs.jobs.query_jobs(JobQuery(**filters, offset=40_000, limit=1))).next_row
    query = JobQuery(**filters, after_row=last)
    return statistics.median([(await _timed(jobs, query))[0] for _ in range(20)])


async def _slowest(directory: DataDirectory) -> float:
    chance = random.Random(1)
    async with _opened(directory) as jobs:
        return max(
            [
                (await _timed(jobs, JobQuery(**chance.choice(list(LISTS.values())))))[0]
                for _ in range(200)
            ]
        )


async def _start(directory: DataDirectory) -> float:
    began = time.perf_counter()
    async with _opened(directory) as jobs:
        await jobs.jobs.load_unfinished_jobs()
        return (time.perf_counter() - began) * 1e3


async def _write(directory: DataDirectory, lives: Sequence[Life]) -> float:
    async with _opened(directory) as jobs:
        began = time.perf_counter()
        await asyncio.gather(*(_live(jobs, lives[n::CALLERS]) for n in range(CALLERS)))
        return time.perf_counter() - began


async def _live(jobs: JobPersistence, lives: Sequence[Life]) -> None:
    for life in lives:
        for change in life:
            await jobs.jobs.save_changes([change])


async def _delete(directory: DataDirectory, rounds: int) -> Sequence[_Deletion]:
    """Delete, and write besides; then only write, for as long; that many times."""
    numbers = itertools.count(time.time_ns() // 1_000_000)
    async with _opened(directory) as jobs:

        async def write(waits: list[float]) -> None:
            for number in numbers:
                began = time.perf_counter()
                await jobs.jobs.save_changes(make_life(number)[:1])
                waits.append((time.perf_counter() - began) * 1e3)

        async def writing_beside(work: Awaitable[None]) -> Sequence[float]:
            waits: list[float] = []
            writer = asyncio.create_task(write(waits))
            await work
            writer.cancel()
            # The next round's writes go on with numbers of their own.
            await asyncio.wait({writer})
            return waits

        async def delete() -> None:
            gone: list[JobId] = []
            await delete_expired(
                jobs.jobs,
                FAR,
                frozenset(JobStatus),
                lambda: len(gone) >= EXPIRED // rounds,
                forget=gone.append,
            )

        async def one_round() -> _Deletion:
            began = time.perf_counter()
            beside = await writing_beside(delete())
            seconds = time.perf_counter() - began
            alone = await writing_beside(asyncio.sleep(seconds))
            return _Deletion(EXPIRED // rounds / seconds, beside, alone)

        return [await one_round() for _ in range(rounds)]


if __name__ == "__main__":
    main()
