"""Puts things right at the start, and clears away what is old while the server runs."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from cidx_jobs.engine.background import Background
from cidx_jobs.engine.queue.suspects import is_suspect
from cidx_jobs.engine.run.run_record import Broke, Ending, Interrupted, RunRecorder
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.effects import CancelChildren
from cidx_jobs.engine.upkeep.retention import Retention
from cidx_jobs.interfaces.run import Executor
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.job_types import JobTypes, OnInterrupt
from cidx_jobs.model.error_codes import make_error
from cidx_jobs.model.errors import StoreError, UnavailableError
from cidx_jobs.model.findings import Recovery
from cidx_jobs.model.job.job import Job, JobStatus, seconds_between
from cidx_jobs.model.job.lifecycle import has_progressed
from cidx_jobs.runtime.log import get_logger

_CLEANUP_PAUSE_SECONDS = 60.0
"""How often it is looked for jobs whose time is over."""

_log = get_logger("engine")


class Janitor(Background):
    """Recovery before the start, and retention ever after."""

    task_name: ClassVar[str] = "janitor"

    def __init__(
        self, *, store: JobStore, board: Board, recorder: RunRecorder, executor: Executor,
        job_types: JobTypes, retention: Retention,
        poison_after: int, stopped_epoch: int,
    ) -> None:  # fmt: skip
        """Take the parts."""
        self._store = store
        self._retention = retention
        self._board = board
        self._recorder = recorder
        self._executor = executor
        self._job_types = job_types
        self._poison_after = poison_after
        self._stopped_epoch = stopped_epoch

    async def recover(self, before: Recovery) -> Recovery:
        """Load what is unfinished, and resolve every run that died with an older server.

        Returns the counts, with those of *before*, which was done until now.

        Done before the first new job starts. A running row whose run this process does not hold
        is an orphan by definition: there is no lease to wait for (architecture.md).
        """
        jobs = await self._store.load_for_recovery()
        whole = [job for job in jobs if isinstance(job, Job)]
        await self._know_children(whole)
        self._board.restore(jobs)
        await self._cancel_left_over(whole)
        running = [job for job in whole if job.status is JobStatus.RUNNING]
        ends = await self._resolve(running)
        # As they are now: who ran is queued again, or has ended.
        found = (self._board.live.find(job.job_id) for job in whole)
        self._board.suspects.line_up([job for job in found if job is not None])
        recovery = replace(before, unfinished=len(jobs), **ends)
        _log.info("recovery_finished", **msgspec.structs.asdict(recovery))
        return recovery

    async def _know_children(self, jobs: Sequence[Job]) -> None:
        parents = [job.job_id for job in jobs if job.has_children]
        if parents:
            self._board.families.note_stored(await self._store.load_children(parents))

    async def _cancel_left_over(self, jobs: Sequence[Job]) -> None:
        # The server may have died between the end of a cancelled job and that of its children.
        here = {job.job_id for job in jobs}
        for parent_id in {job.parent_id for job in jobs if job.parent_id} - here:
            parent = await self._store.load_job(parent_id)
            if parent is not None and parent.status is JobStatus.CANCELLED:
                self._board.effects.put_nowait(CancelChildren(parent_id))

    async def interrupt_lost(self, running: Sequence[Job]) -> None:
        """End the runs of these running jobs that nothing runs, without blame: each goes on.

        A fault of ours has lost them: the server lives, and they did not kill it.
        """
        lost = {run.job_id: run for run in self._executor.lost(running)}
        for job in running:
            if job.job_id in lost:
                ending = Interrupted(self._on_interrupt(job), reason="nothing ran it any more")
                await self._recorder.end(lost[job.job_id], ending, None, _last_seen_seconds(job))

    async def _resolve(self, running: Sequence[Job]) -> Mapping[str, int]:
        by_id = {job.job_id: job for job in running}
        lost = [(run, by_id[run.job_id]) for run in self._executor.lost(running)]
        endings = [self._ending(job, was_alone=len(running) == 1) for _, job in lost]
        # All at once, so that they share a transaction: somebody waits for the start.
        await asyncio.gather(
            *(
                self._recorder.end(run, ending, None, _last_seen_seconds(job))
                for (run, job), ending in zip(lost, endings, strict=True)
            )
        )
        return Counter(
            _name_of_end(job, ending) for (_, job), ending in zip(lost, endings, strict=True)
        )

    def _ending(self, job: Job, *, was_alone: bool) -> Ending:
        # Killed after it had been told to stop, as where a container's patience is shorter than
        # the grace time, the server was not brought down by what ran.
        was_stopped = 0 < self._stopped_epoch == job.epoch
        is_blamed = was_alone and not was_stopped and not has_progressed(job)
        if is_blamed and is_suspect(job, self._poison_after):
            text = f"the server died {job.losses + 1} times while this job ran, alone at the last"
            error = make_error("POISONED", text, at=self._board.clock.now(), phase=job.phase)
            return Broke(error, retry_after=None)
        return Interrupted(self._on_interrupt(job), is_clean=was_stopped)

    def _on_interrupt(self, job: Job) -> OnInterrupt:
        known = self._job_types.get(job.job_type)
        return known.on_interrupt if known else OnInterrupt.RESUME

    async def _go_on(self) -> None:
        while True:
            try:
                expired = await self._retention.expire()
            except (StoreError, UnavailableError) as error:
                _log.warning("expired_jobs_not_deleted", code=error.code)
            else:
                if any(msgspec.structs.astuple(expired)):
                    _log.info("jobs_expired", **msgspec.structs.asdict(expired))
            await asyncio.sleep(_CLEANUP_PAUSE_SECONDS)


def _name_of_end(job: Job, ending: Ending) -> str:
    # A cancel that was asked for comes before everything else (`RunRecorder.end`).
    if job.cancel_requested_at is not None:
        return "cancelled"
    return "poisoned" if isinstance(ending, Broke) else "interrupted"


def _last_seen_seconds(job: Job) -> float:
    # The monotonic clock of the server that died is gone; the last stored change is the last
    # moment at which the run is known to have lived.
    return seconds_between(job.started_at, job.updated_at)
