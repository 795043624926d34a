"""Two processes share one store: when the one that runs a job is killed, the other goes on."""

import asyncio
import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event

from cidx_jobs import JobContext, JobSystem, Settings, job_type


@job_type("print")
async def print_page(_: JobContext) -> dict[str, bool]:
    """Kill the process in which it runs, if that is the worker."""
    if multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    return {"printed": True}


async def work(ready: Event) -> None:
    """Open the store first, and thereby run its jobs."""
    async with JobSystem.open(Settings(data_dir="data"), [print_page], shared=True):
        ready.set()
        await asyncio.sleep(3600)


def run_worker(ready: Event) -> None:
    """Be the worker."""
    asyncio.run(work(ready))


async def main() -> None:
    """Submit a job of which the worker dies, and wait for its end."""
    async with JobSystem.open(Settings(data_dir="data"), [print_page], shared=True) as jobs:
        print(await jobs.run("me", "books", job_type=print_page))


if __name__ == "__main__":
    processes = multiprocessing.get_context("spawn")
    is_ready = processes.Event()
    processes.Process(target=run_worker, args=(is_ready,)).start()
    is_ready.wait()
    asyncio.run(main())
