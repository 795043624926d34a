"""Where runs happen by default: asyncio tasks of this process."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from cidx_jobs.engine.run.progress import ProgressTracker
from cidx_jobs.engine.run.runner import Runner, RunningJob
from cidx_jobs.engine.state.record import STORE_AGAIN_SECONDS
from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job

LAST_WORDS_SECONDS = 6.0
"""How long a cancelled handler may take at a stop: its children get TERM, then KILL after 5 s."""


class LocalExecutor:
    """Runs jobs as tasks of the loop that it was started on; decides nothing about them."""

    def __init__(self, runner: Runner) -> None:
        """Take the runner, which knows how a job is run."""
        self._runner = runner
        self._running: dict[JobId, RunningJob] = {}
        self._grace: asyncio.Timeout | None = None

    async def start(self) -> None:
        """Get ready to take runs: there is nothing to do."""

    async def stop(self, grace_seconds: float) -> None:
        """Let the runs end for *grace_seconds*, then interrupt them; stopping twice is fine.

        A handler that ignores its cancellation for `LAST_WORDS_SECONDS` is left behind: its row
        stays running, and the next start gives it back. So it is with a run whose end cannot be
        stored.
        """
        self._grace = asyncio.timeout(grace_seconds)
        try:
            await self._wait(self._grace)
        finally:
            self._grace = None
        self._interrupt_all()
        await self._wait(asyncio.timeout(LAST_WORDS_SECONDS))
        self.give_up()
        await self._wait(asyncio.timeout(2 * STORE_AGAIN_SECONDS))
        self._runner.time_limits.close()

    def dispatch(self, runs: Sequence[ActiveRun]) -> None:
        """Begin the runs, whose jobs are stored as running."""
        for run in runs:
            self._running[run.job_id] = self._runner.begin(run, self._forget)

    def cancel(self, run: ActiveRun, *, again: bool = False) -> None:
        """Ask the run's task to end, or ask it *again*; its end is reported as every end is."""
        running = self._running.get(run.job_id)
        if running is not None and running.run == run:
            running.cancel(again=again)

    def lost(self, held: Sequence[Job]) -> Sequence[ActiveRun]:
        """Return the runs of these running jobs that this process does not hold."""
        return [
            ActiveRun(job_id=job.job_id, run=job.run)
            for job in held
            if job.job_id not in self._running or self._running[job.job_id].run.run != job.run
        ]

    def find(self, run: ActiveRun) -> RunningJob | None:
        """Return the run while its handler is at work."""
        running = self._running.get(run.job_id)
        return (
            running if running is not None and running.run == run and running.is_handling else None
        )

    def trackers(self) -> Iterator[ProgressTracker]:
        """Return the progress of the runs whose handlers are at work."""
        return (running.tracker for running in self._running.values() if running.is_handling)

    def hurry(self) -> None:
        """Interrupt what still runs, and wait no longer for it than without a grace time."""
        self._interrupt_all()
        if self._grace is not None and not self._grace.expired():
            self._grace.reschedule(asyncio.get_running_loop().time())

    def give_up(self) -> None:
        """Let no run wait for a store that cannot write: it is about to be closed."""
        for running in tuple(self._running.values()):
            running.give_up()

    def _interrupt_all(self) -> None:
        for running in tuple(self._running.values()):
            running.interrupt()

    async def _wait(self, limit: asyncio.Timeout) -> None:
        tasks = [running.task for running in self._running.values()]
        with contextlib.suppress(TimeoutError):
            async with limit:
                if tasks:
                    # It leaves the tasks alone when the time is up, as `gather` does not.
                    await asyncio.wait(tasks)

    def _forget(self, running: RunningJob) -> None:
        if self._running.get(running.run.job_id) is running:
            del self._running[running.run.job_id]
