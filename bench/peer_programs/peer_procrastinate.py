"""Procrastinate on PostgreSQL with synchronous_commit on."""

import asyncio
import os
import sys
import time
from pathlib import Path

import procrastinate

MODE, FOLDER = sys.argv[1], Path(sys.argv[2])
CALLERS = 50
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["PEER_POSTGRES"], max_size=20)
)
ends: dict[str, "asyncio.Future[None]"] = {}


@app.task(name="noop")
async def noop(name: str) -> None:
    """Say that it is over."""
    if name in ends:
        ends.pop(name).set_result(None)


@app.task(name="hang", retry=10)
async def hang() -> None:
    """Say that it began, and work for long."""
    with (FOLDER / "began").open("a") as file:
        file.write("began\n")
    await asyncio.sleep(3600)


async def run(name: str) -> float:
    """Give the seconds of one job, to the end of its function."""
    at = time.perf_counter()
    ends[name] = asyncio.get_running_loop().create_future()
    over = ends[name]
    await noop.defer_async(name=name)
    await over
    return time.perf_counter() - at


async def main() -> None:
    """Measure one thing and print it."""
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        if MODE == "hold":
            await hang.defer_async()
        working = asyncio.create_task(
            app.run_worker_async(concurrency=CALLERS, install_signal_handlers=False)
        )
        if MODE in {"hold", "again"}:
            await working
        count = int(sys.argv[3])
        began = time.perf_counter()
        if MODE == "rate":
            for first in range(0, count, CALLERS):
                last = min(first + CALLERS, count)
                await asyncio.gather(*[run(f"r{number}") for number in range(first, last)])
            print(count / (time.perf_counter() - began), flush=True)
        else:
            taken = sorted([await run(f"i{number}") for number in range(count)])
            print(taken[count // 2] * 1e3, flush=True)
        os._exit(0)


asyncio.run(main())
