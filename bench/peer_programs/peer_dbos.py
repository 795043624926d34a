"""DBOS on SQLite: each workflow is a row that is written when it begins and when it ends."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dbos import DBOS, DBOSConfig

MODE, FOLDER = sys.argv[1], Path(sys.argv[2])
CALLERS = 20
config: DBOSConfig = {
    "name": "peer",
    "system_database_url": f"sqlite:///{FOLDER / 'dbos.db'}",
    "run_admin_server": False,
    "log_level": "ERROR",
    "application_version": "1",
}
DBOS(config=config)


@DBOS.workflow()
def noop() -> None:
    """End at once."""


@DBOS.workflow()
def hang() -> None:
    """Say that it began, and work for long."""
    with (FOLDER / "began").open("a") as file:
        file.write("began\n")
    time.sleep(3600)


def run(_: int) -> float:
    """Give the seconds of one workflow, called directly."""
    began = time.perf_counter()
    noop()
    return time.perf_counter() - began


def main() -> None:
    """Measure one thing and print it."""
    DBOS.launch()
    if MODE == "hold":
        DBOS.start_workflow(hang)
    if MODE in {"hold", "again"}:
        time.sleep(3600)
    count = int(sys.argv[3])
    began = time.perf_counter()
    with ThreadPoolExecutor(CALLERS if MODE == "rate" else 1) as pool:
        taken = sorted(pool.map(run, range(count)))
    seconds = time.perf_counter() - began
    print(count / seconds if MODE == "rate" else taken[count // 2] * 1e3, flush=True)
    os._exit(0)


main()
