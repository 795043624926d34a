"""APScheduler 4 on SQLite by aiosqlite: a job that a dead worker had waits for its lease's end."""

import asyncio
import sys
import time
from pathlib import Path

from apscheduler import AsyncScheduler, JobReleased
from apscheduler.datastores.sqlalchemy import SQLAlchemyDataStore
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

MODE, FOLDER = sys.argv[1], Path(sys.argv[2])
CALLERS = 100


async def noop() -> None:
    """End at once."""


async def hang() -> None:
    """Say that it began, and work for long."""
    with (FOLDER / "began").open("a") as file:
        file.write("began\n")
    await asyncio.sleep(3600)


def flush_each_commit(connection, _) -> None:  # noqa: ANN001 - SQLAlchemy's own
    """Be as durable as the others."""
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


async def main() -> None:
    """Measure one thing and print it."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{FOLDER / 'aps.db'}")
    event.listen(engine.sync_engine, "connect", flush_each_commit)
    async with AsyncScheduler(
        SQLAlchemyDataStore(engine), max_concurrent_jobs=CALLERS
    ) as scheduler:
        await scheduler.configure_task("noop", func=noop)
        await scheduler.configure_task("hang", func=hang)
        if MODE == "hold":
            await scheduler.add_job("hang")
        count = int(sys.argv[3]) if len(sys.argv) > 3 else 0
        left = {"jobs": 0}
        over = asyncio.Event()

        def note(_: JobReleased) -> None:
            left["jobs"] -= 1
            if left["jobs"] <= 0:
                over.set()

        scheduler.subscribe(note, {JobReleased})
        await scheduler.start_in_background()
        if MODE in {"hold", "again"}:
            await asyncio.sleep(3600)
        taken = []
        for _ in range(1 if MODE == "rate" else count):
            over.clear()
            left["jobs"] = count if MODE == "rate" else 1
            at = time.perf_counter()
            await asyncio.gather(*[scheduler.add_job("noop") for _ in range(left["jobs"])])
            await over.wait()
            taken.append(time.perf_counter() - at)
        taken.sort()
        print(count / taken[0] if MODE == "rate" else taken[len(taken) // 2] * 1e3, flush=True)


asyncio.run(main())
