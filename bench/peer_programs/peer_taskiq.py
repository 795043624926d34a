"""taskiq on Redis streams, whose append-only file is flushed with each write."""

import asyncio
import os
import sys
import time
from pathlib import Path

from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

MODE, FOLDER = sys.argv[1], Path(sys.argv[2])
URL = os.environ["PEER_REDIS"]
CALLERS = 100
broker = RedisStreamBroker(URL, idle_timeout=5_000).with_result_backend(
    RedisAsyncResultBackend(URL)
)


@broker.task
async def noop() -> int:
    """End at once."""
    return 1


@broker.task
async def hang() -> None:
    """Say that it began, and work for long."""
    with (FOLDER / "began").open("a") as file:
        file.write("began\n")
    await asyncio.sleep(3600)


async def run() -> float:
    """Give the seconds of one task."""
    at = time.perf_counter()
    task = await noop.kiq()
    await task.wait_result(check_interval=0.002)
    return time.perf_counter() - at


async def main() -> None:
    """Measure one thing and print it."""
    await broker.startup()
    working = asyncio.create_task(run_receiver_task(broker, run_startup=False))
    if MODE == "hold":
        await hang.kiq()
    if MODE in {"hold", "again"}:
        await working
    count = int(sys.argv[3])
    began = time.perf_counter()
    if MODE == "rate":
        for first in range(0, count, CALLERS):
            await asyncio.gather(*[run() for _ in range(min(CALLERS, count - first))])
        print(count / (time.perf_counter() - began), flush=True)
    else:
        taken = sorted([await run() for _ in range(count)])
        print(taken[count // 2] * 1e3, flush=True)
    os._exit(0)


asyncio.run(main())
