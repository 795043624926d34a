"""How long do people wait for the command line, for the news of an end, and at what idle cost?

The command line is measured as processes, in turn with a bare interpreter. The news of an end is
the time from when somebody in the server's process knows of it to when a watcher over HTTP does.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import Bench
from cidx_jobs import JobSystem, Settings, create_app, serve
from cidx_jobs.client import JobPollingEngine, JobsClient
from cidx_jobs.testing import Gate

WATCHERS = 100
IDLE_SECONDS = 5.0
ENDS = 20
QUIET_SECONDS = 1.2
"""Long enough for the watcher to have parked and to be free to ask again."""
HASTY_SECONDS = 0.1
"""Short enough for the watcher to have used up its two requests of this second."""
START_SECONDS = 30.0
CLI = (sys.executable, "-m", "cidx_jobs")


def main() -> None:
    """Measure in turn, in one run."""
    with (
        Bench("people", settings={"watchers": WATCHERS}) as bench,
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as url,
    ):
        os.environ["CIDX_JOBS_SERVER"] = url
        job_id = asyncio.run(submit_held(url))
        measure_commands(bench, job_id)
        asyncio.run(measure_ends(bench, Path(folder) / "ends"))
        bench.figure(
            f"CPU of {WATCHERS} idle watchers",
            [asyncio.run(idle_share(url, job_id)) for _ in range(bench.rounds)],
            unit="% of a core",
            at_most=5,
        )


def measure_commands(bench: Bench, job_id: str) -> None:
    """Time processes: their wall time, with the load of the moment, and their CPU time alone."""
    commands = {
        "bare python": (sys.executable, "-c", "pass"),
        "import aiohttp": (sys.executable, "-c", "import aiohttp"),
        "--help": (*CLI, "--help"),
        "status": (*CLI, "status", job_id),
    }
    sides = {name: timed(command) for name, command in commands.items()}
    taken = bench.paired(sides, unit="s")
    bench.ratio("status / import aiohttp", taken["status"], taken["import aiohttp"], at_most=2)
    for name, goal in {"--help": 0.2, "status": 0.6}.items():
        cpu = [cpu_seconds(commands[name]) for _ in range(bench.rounds)]
        bench.figure(f"CPU of {name}", cpu, unit="s", at_most=goal)


def timed(command: tuple[str, ...]) -> Callable[[], float]:
    """Give a call that runs the command and gives its wall time in seconds."""

    def run() -> float:
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return run


def cpu_seconds(command: tuple[str, ...]) -> float:
    """Run the command and give its CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def measure_ends(bench: Bench, folder: Path) -> None:
    """Let jobs end while somebody watches over HTTP and somebody else in the process."""
    gate = Gate("ends")
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with JobSystem.open(Settings(data_dir=folder, auth="none"), [gate.job_type]) as jobs:
        serving = asyncio.create_task(serve(create_app(jobs), port=0, on_ready=ready.set_result))
        async with JobsClient(await ready) as client:
            delays = {
                quiet: [await end_delay(jobs, client, gate, quiet) * 1_000 for _ in range(ENDS)]
                for quiet in (QUIET_SECONDS, HASTY_SECONDS)
            }
        serving.cancel()
        await asyncio.wait([serving])
    bench.figure("end to its watcher", delays[QUIET_SECONDS], unit="ms", at_most=20)
    name = "end to its watcher, just after a change"
    bench.figure(name, delays[HASTY_SECONDS], unit="ms", at_most=20)


async def end_delay(jobs: JobSystem, client: JobsClient, gate: Gate, quiet: float) -> float:
    """Give the seconds by which a watcher over HTTP learns of the end after one in the process.

    Between the job's last change and its end *quiet* seconds pass.
    """
    gate.close()
    number = len(gate.contexts)
    job = await jobs.submit("local", f"p{number}", job_type="ends")
    watching = asyncio.create_task(JobPollingEngine(client).start_polling(job.job_id))
    await gate.arrived(number + 1)
    await asyncio.sleep(quiet)
    gate.open()
    await jobs.wait(job.job_id)
    known = time.perf_counter()
    assert (await watching).status == "completed"
    return time.perf_counter() - known


async def submit_held(url: str) -> str:
    """Submit a job that does not start, and give its id."""
    async with JobsClient(url) as client:
        job = await client.submit(
            "repository_sync",
            "held",
            options={"repository_url": "https://example.org/a/b.git"},
            hold=True,
        )
    return job.job_id


async def idle_share(url: str, job_id: str) -> float:
    """Watch a job that does nothing, many times over; give this process's CPU share in percent."""
    async with JobsClient(url) as client:
        watchers = [
            asyncio.create_task(JobPollingEngine(client).start_polling(job_id))
            for _ in range(WATCHERS)
        ]
        # Until all have parked: what connecting costs is not what waiting costs.
        await asyncio.sleep(2)
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(IDLE_SECONDS)
        share = (time.process_time() - cpu) / (time.perf_counter() - wall) * 100
        assert not any(watcher.done() for watcher in watchers)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.wait(watchers)
    return share


@contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """Start a server on a free port and give its url."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CIDX_")}
    rules = {
        "CIDX_JOBS_DATA_DIR": str(folder / "data"),
        "CIDX_JOBS_PORT": "0",
        "CIDX_JOBS_MAX_WAITERS_PER_USER": "1000",
    }
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen([*CLI, "serve"], env=env | rules, stderr=log) as server,
    ):
        try:
            yield wait_for_url(server, folder / "data" / "server.json")
        finally:
            server.terminate()
            server.wait(START_SECONDS)


def wait_for_url(server: "subprocess.Popen[bytes]", file: Path) -> str:
    """Wait until the server says where it is."""
    until = time.monotonic() + START_SECONDS
    while not file.exists():
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < until, "the server was not ready in time"
        time.sleep(0.02)
    return str(json.loads(file.read_text("utf-8"))["url"])


if __name__ == "__main__":
    main()
