"""P9, P11: what fifty reporting jobs cost the others, and how long the loop is held at load.

P9: fifty jobs report a hundred times a second each; first alone, to see what of the writer's time
that takes, then beside submits, to see how long those wait. P11: a hundred users submit no-op
jobs at half the rate that the engine reaches when they do not wait for each other.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from bench.harness import Bench
from cidx_jobs import JobContext, JobSystem, JobType, Settings
from cidx_jobs.store.sqlite.commit import committer
from cidx_jobs.store.sqlite.commit.transaction import run_batch

REPORTING = 50
REPORTS_A_SECOND = 100
SECONDS = 4.0
SUBMIT_EVERY_SECONDS = 0.02
USERS = 100
JOBS = 2_000
_LOOK_SECONDS = 0.002


def main() -> None:
    """Measure both, round by round, in one run."""
    settings = {"reporting": REPORTING, "reports a second": REPORTS_A_SECOND, "seconds": SECONDS}
    with Bench("running", settings=settings) as bench:
        reports = [asyncio.run(_with_reports()) for _ in range(bench.rounds)]
        bench.figure("P9 reports", [one["reports"] for one in reports], unit="1/s")
        bench.figure(
            "P9 the writer is busy", [one["busy"] for one in reports], unit="%", at_most=20
        )
        bench.figure(
            "P9 longest submit", [one["longest"] for one in reports], unit="ms", at_most=50
        )
        loads = [asyncio.run(_with_load()) for _ in range(bench.rounds)]
        bench.figure("P11 jobs", [one["rate"] for one in loads], unit="1/s")
        bench.figure("P11 lag, p50", [one["p50"] for one in loads], unit="ms")
        bench.figure("P11 lag, p99.9", [one["p99.9"] for one in loads], unit="ms", at_most=50)


async def _with_reports() -> dict[str, float]:
    """Give the reports a second, the writer's busy share and the longest submit."""
    reported = 0
    is_over = asyncio.Event()

    async def report(context: JobContext) -> None:
        nonlocal reported
        while not is_over.is_set():
            reported += 1
            await context.report(done=reported, message="working")
            await asyncio.sleep(1 / REPORTS_A_SECOND)

    writer = _BusyWriter()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(committer, "run_batch", writer.run),
    ):
        kinds = [JobType("report", report), JobType("noop", _noop)]
        async with JobSystem.open(_settings(folder), kinds) as jobs:
            for number in range(REPORTING):
                await jobs.submit(f"u{number}", "p", job_type="report")
            reported, began = 0, time.perf_counter()
            writer.seconds = 0.0
            await asyncio.sleep(SECONDS)
            took = time.perf_counter() - began
            rate, busy = reported / took, writer.seconds / took
            waits = await _submit_now_and_then(jobs)
            is_over.set()
    return {"reports": rate, "busy": busy * 100, "longest": max(waits) * 1e3}


async def _submit_now_and_then(jobs: JobSystem) -> list[float]:
    waits = []
    until = time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < until:
        await jobs.submit("other", "p", job_type="noop")
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(SUBMIT_EVERY_SECONDS)
    return waits


async def _with_load() -> dict[str, float]:
    """Give the rate that was held, and how late the loop was beside it."""
    with tempfile.TemporaryDirectory() as folder:
        async with JobSystem.open(_settings(folder), [JobType("noop", _noop)]) as jobs:
            began = time.perf_counter()
            await asyncio.gather(*(_user(jobs, f"u{n}", 0.0) for n in range(USERS)))
            full = JOBS / (time.perf_counter() - began)
            pause = USERS / (full / 2)
            lags: list[float] = []
            watch = asyncio.create_task(_watch_lag(lags))
            began = time.perf_counter()
            await asyncio.gather(
                *(_user(jobs, f"u{n}", pause, n / USERS * pause) for n in range(USERS))
            )
            rate = JOBS / (time.perf_counter() - began)
            watch.cancel()
    ranks = statistics.quantiles(lags, n=1_000)
    return {"rate": rate, "p50": ranks[499] * 1e3, "p99.9": ranks[998] * 1e3}


async def _user(jobs: JobSystem, user: str, pause: float, delay: float = 0.0) -> None:
    """Submit at a steady pace, whatever becomes of it; without a pause one after the other."""
    due = time.perf_counter() + delay
    for _ in range(JOBS // USERS):
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        due += pause
        job = await jobs.submit(user, "p", job_type="noop")
        await jobs.wait(job.job_id)


async def _watch_lag(lags: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(_LOOK_SECONDS)
        lags.append(max(0.0, time.perf_counter() - began - _LOOK_SECONDS))


class _BusyWriter:
    """Adds up how long the writer's thread works at transactions."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._run: Callable[..., Any] = run_batch

    def run(self, *arguments: Any) -> Any:
        """Run a batch, and count its time."""
        began = time.perf_counter()
        try:
            return self._run(*arguments)
        finally:
            self.seconds += time.perf_counter() - began


def _settings(folder: str) -> Settings:
    return Settings(data_dir=Path(folder), max_running_total=USERS, max_queued_per_user=10_000)


async def _noop(_: JobContext) -> None:
    return None


if __name__ == "__main__":
    main()
