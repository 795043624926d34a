"""P8: from the start of the process to ready, beside a long history and after a crash.

The server is a process of its own, as an operator starts it. Its 10,000 unfinished jobs are
paused, so that each round begins with the same. BENCH_HISTORY asks for another number of jobs.

Everything is compiled before, as it is where a package was installed; the environment here may
forbid Python to keep what it compiles, and then each start of a checkout takes 0.3 s more.
"""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench.harness import Bench
from bench.history import FEW, MANY, UNFINISHED, fill
from cidx_jobs.clock import SystemClock
from cidx_jobs.model.limits import Pauses
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.commit.connection import connect_for_start
from cidx_jobs.store.sqlite.persistence import JobPersistence

WAL_BYTES = 64_000_000
LONGEST_SECONDS = 30.0
_REWRITE = "UPDATE jobs SET message = hex(randomblob(32)) WHERE row BETWEEN ? AND ?"
_ROWS = 20_000


def main() -> None:
    """Measure the starts in turn, in one run."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench(
            "start", settings={"stored": MANY, "unfinished": UNFINISHED, "wal": WAL_BYTES}
        ) as bench,
    ):
        python = Python(Path(folder) / "bytecode")
        empty = DataDirectory(Path(folder) / "empty")
        few = _prepared(Path(folder) / "few", FEW)
        many = _prepared(Path(folder) / "many", MANY)
        starts = {
            "empty": lambda: ready(empty, python),
            "few": lambda: ready(few, python),
            "many": lambda: ready(many, python),
            "after a crash": lambda: _after_a_crash(many, python),
        }
        processor: dict[str, list[float]] = {name: [] for name in starts}

        def measured(name: str) -> Callable[[], float]:
            def measure() -> float:
                seconds, busy = starts[name]()
                processor[name].append(busy)
                return seconds

            return measure

        taken = bench.paired(
            {
                **{f"ready, {name}": measured(name) for name in starts},
                "python and its imports": lambda: python.seconds("cidx_jobs.web.server"),
                "python and aiohttp alone": lambda: python.seconds("aiohttp.web"),
            },
            unit="s",
        )
        for name, goal in (("empty", 0.3), ("many", 0.45), ("after a crash", 0.8)):
            values = taken[f"ready, {name}"].values
            bench.figure(f"ready, {name}, goal", values, unit="s", at_most=goal)
        bench.ratio("ready, many / few", taken["ready, many"], taken["ready, few"])
        # The first of each was the warm-up.
        busy = {
            name: bench.figure(f"processor time, {name}", values[1:], unit="s").values
            for name, values in processor.items()
        }
        each = [
            (few - none) / UNFINISHED * 1e6
            for few, none in zip(busy["few"], busy["empty"], strict=True)
        ]
        bench.figure("processor time of an unfinished job", each, unit="us", at_most=15)


class Python:
    """Starts Python as where its modules are installed: compiled, and kept so."""

    def __init__(self, bytecode: Path) -> None:
        """Keep what is compiled in the directory *bytecode*; compile the server at once."""
        forbidden = "PYTHONDONTWRITEBYTECODE"
        kept = {name: value for name, value in os.environ.items() if name != forbidden}
        self.environment = kept | {"PYTHONPYCACHEPREFIX": str(bytecode)}
        self.seconds("cidx_jobs.cli.actions.serve")

    def seconds(self, module: str) -> float:
        """Give what starting Python and importing the module takes."""
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", f"import {module}"], env=self.environment, check=True
        )
        return time.perf_counter() - began


def ready(directory: DataDirectory, python: Python) -> tuple[float, float]:
    """Give the seconds from the start of the process to the first 200 of ``/readyz``.

    The second number is how many of them its threads kept processors busy, in hundredths.
    """
    address = directory.root / "bench.sock"
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "cidx_jobs", "serve"],
        env={
            **python.environment,
            "CIDX_JOBS_DATA_DIR": str(directory.root),
            "CIDX_JOBS_UNIX_SOCKET": str(address),
            "CIDX_JOBS_LOG_LEVEL": "warning",
        },
    )
    try:
        while not _is_ready(address):
            if time.perf_counter() - began > LONGEST_SECONDS or server.poll() is not None:
                message = "the server did not become ready"
                raise RuntimeError(message)
            time.sleep(0.002)
        return time.perf_counter() - began, _busy_seconds(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=LONGEST_SECONDS)


def _busy_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _after_a_crash(directory: DataDirectory, python: Python) -> tuple[float, float]:
    subprocess.run([sys.executable, "-m", "bench.start", str(directory.root)], check=True)
    wal = directory.database.with_name(directory.database.name + "-wal")
    size = wal.stat().st_size
    if size < WAL_BYTES:
        message = f"the crash left a log of {size} bytes"
        raise RuntimeError(message)
    return ready(directory, python)


def crash(root: Path) -> None:
    """Leave a database with a long write-ahead log behind, as a server that is killed does."""
    directory = DataDirectory(root)
    wal = directory.database.with_name(directory.database.name + "-wal")
    with closing(connect_for_start(directory.database, "NORMAL")) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        for first in itertools.cycle(range(1, MANY, _ROWS)):
            db.execute(_REWRITE, (first, first + _ROWS))
            if wal.stat().st_size >= WAL_BYTES:
                break
        # Nothing is closed: closing the last connection would empty the log.
        os._exit(0)


def _prepared(root: Path, count: int) -> DataDirectory:
    directory = fill(root, count)
    asyncio.run(_pause(directory))
    return directory


async def _pause(directory: DataDirectory) -> None:
    jobs = JobPersistence(directory, clock=SystemClock())
    await jobs.open()
    await jobs.controls.save_controls(None, Pauses(everything=True))
    await jobs.close()


def _is_ready(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect(str(address))
            one.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b" 200 " in one.recv(100)
        except OSError:
            return False


if __name__ == "__main__":
    if len(sys.argv) > 1:
        crash(Path(sys.argv[1]))
    else:
        main()
