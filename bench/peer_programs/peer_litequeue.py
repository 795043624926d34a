"""litequeue on SQLite: a queue without workers; what was taken stays locked after a kill."""

import sys
import time
from pathlib import Path

from litequeue import LiteQueue

MODE, FOLDER = sys.argv[1], Path(sys.argv[2])
queue = LiteQueue(str(FOLDER / "lite.db"))
queue.conn.execute("PRAGMA synchronous = FULL")


def work() -> None:
    """Take one message, do nothing, and say that it is done."""
    message = queue.pop()
    if MODE in {"hold", "again"} and message is not None:
        with (FOLDER / "began").open("a") as file:
            file.write("began\n")
        time.sleep(3600)
    if message is not None:
        queue.done(message.message_id)


def main() -> None:
    """Measure one thing and print it."""
    if MODE == "hold":
        queue.put("hang")
    while MODE in {"hold", "again"}:
        work()
        time.sleep(0.01)
    count = int(sys.argv[3])
    taken = []
    for number in range(count):
        at = time.perf_counter()
        queue.put(f"job {number}")
        work()
        taken.append(time.perf_counter() - at)
    print(count / sum(taken) if MODE == "rate" else sorted(taken)[count // 2] * 1e3, flush=True)


main()
