"""SAQ on Redis, whose append-only file is flushed with each write."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from saq import Queue, Worker

MODE, FOLDER = sys.argv[1], Path(sys.argv[2])
QUEUE = Queue.from_url(os.environ["PEER_REDIS"])
CALLERS = 100


async def noop(_: Any) -> int:
    """End at once."""
    return 1


async def hang(_: Any) -> None:
    """Say that it began, and work for long."""
    with (FOLDER / "began").open("a") as file:
        file.write("began\n")
    await asyncio.sleep(3600)


async def main() -> None:
    """Measure one thing and print it."""
    worker = Worker(QUEUE, functions=[noop, hang], concurrency=CALLERS)
    working = asyncio.create_task(worker.start())
    if MODE == "hold":
        await QUEUE.enqueue("hang", timeout=3600, heartbeat=2, retries=3)
    if MODE in {"hold", "again"}:
        await working
    count = int(sys.argv[3])
    taken = []
    began = time.perf_counter()
    if MODE == "rate":
        for first in range(0, count, CALLERS):
            wanted = min(CALLERS, count - first)
            await asyncio.gather(*[QUEUE.apply("noop") for _ in range(wanted)])
        print(count / (time.perf_counter() - began), flush=True)
    else:
        for _ in range(count):
            at = time.perf_counter()
            await QUEUE.apply("noop")
            taken.append(time.perf_counter() - at)
        print(sorted(taken)[count // 2] * 1e3, flush=True)
    os._exit(0)


asyncio.run(main())
