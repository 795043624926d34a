"""huey on SQLite: a claimed task is deleted before it runs, so a kill loses it."""

import os
import sys
import time
from pathlib import Path

from huey import SqliteHuey

MODE, FOLDER = sys.argv[1], Path(sys.argv[2])
huey = SqliteHuey(filename=str(FOLDER / "huey.db"), fsync=True)


@huey.task()
def noop() -> int:
    """End at once; a result of None would not be kept, and nobody hear of the end."""
    return 1


@huey.task()
def hang() -> None:
    """Say that it began, and work for long."""
    with (FOLDER / "began").open("a") as file:
        file.write("began\n")
    time.sleep(3600)


def main() -> None:
    """Measure one thing and print it."""
    if MODE == "hold":
        hang()
    consumer = huey.create_consumer(workers=4)
    consumer.start()
    if MODE in {"hold", "again"}:
        time.sleep(3600)
    count = int(sys.argv[3])
    began = time.perf_counter()
    if MODE == "rate":
        results = [noop() for _ in range(count)]
        for result in results:
            result(blocking=True, backoff=1.0, max_delay=0.01)
        print(count / (time.perf_counter() - began), flush=True)
    else:
        taken = []
        for _ in range(count):
            at = time.perf_counter()
            noop()(blocking=True, backoff=1.0, max_delay=0.001)
            taken.append(time.perf_counter() - at)
        print(sorted(taken)[count // 2] * 1e3, flush=True)
    os._exit(0)


main()
