"""The life of a run in the store: its start, progress, checkpoints, and its one end.

Every write names its run and is refused once the job's row has moved on (guarantees.md, G4).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from cidx_jobs.engine.run.progress import ProgressSnapshot
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import STORE_AGAIN_SECONDS, Decision, JobLedger
from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.job_types import OnInterrupt
from cidx_jobs.model.error_codes import make_error
from cidx_jobs.model.errors import (
    StaleRunError,
    StaleVersionError,
    StorageFullError,
    StorageUnavailableError,
    UnavailableError,
)
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.events import (
    Cancel,
    Complete,
    Event,
    Fail,
    Hold,
    Interrupt,
    RetryLater,
    Start,
    Suspend,
)
from cidx_jobs.model.job.job import (
    QUEUED,
    RUNNING,
    CheckpointInfo,
    Job,
    JobError,
    JsonObject,
    Place,
)
from cidx_jobs.model.job.key_limits import LimitKey, host_of
from cidx_jobs.model.job.lifecycle import advance, record_progress
from cidx_jobs.model.listing import Change, Checkpoint

_HELD = "it was held while it ran"


class Succeeded(msgspec.Struct, frozen=True):
    """The handler returned a result."""

    result: JsonObject


class Broke(msgspec.Struct, frozen=True):
    """The attempt failed: after *retry_after* seconds it may be tried again, or never (None)."""

    error: JobError
    retry_after: float | None


class Interrupted(msgspec.Struct, frozen=True):
    """The run was ended by the server's stop, or died with the server."""

    on_interrupt: OnInterrupt
    is_clean: bool = True
    reason: str | None = None
    """Why, where it is neither."""


class FoundDown(msgspec.Struct, frozen=True):
    """The run found its code host down: no blame, unless the job has waited long enough."""

    host: LimitKey
    error: JobError
    on_interrupt: OnInterrupt


class Suspended(msgspec.Struct, frozen=True):
    """The run waits for children, without a slot and without blame."""

    joins: tuple[JobId, ...]


Ending = Succeeded | Broke | Interrupted | FoundDown | Suspended


class RunRecorder:
    """Stores what happens to runs."""

    def __init__(self, store: JobStore, board: Board, ledger: JobLedger, epoch: int) -> None:
        """Take the parts, and the epoch that the starts of this server bear."""
        self._store = store
        self._board = board
        self._ledger = ledger
        self._epoch = epoch
        self._overrides: dict[ActiveRun, Ending] = {}
        self._began: dict[ActiveRun, float] = {}
        """The monotonic second of each run's `started_at`."""

    def override_end(self, run: ActiveRun, ending: Ending) -> None:
        """Let the run end as this, however its task ends: somebody else has decided it.

        The row still moves only once the task has ended, so that nothing starts beside it.
        """
        self._overrides[run] = ending

    async def start_runs(self, job_ids: Sequence[JobId]) -> Sequence[ActiveRun]:
        """Store that these queued jobs run, in one transaction; return those that now do.

        A job that changed meanwhile is left out; the caller gives its slot back.
        """
        jobs = [job for job_id in job_ids if (job := self._startable(job_id)) is not None]
        try:
            return await self._start(jobs)
        except StaleVersionError:
            return await self._start_one_by_one(jobs)

    def with_start(self, submit: Change) -> Change:
        """Return a submit that stores the start of its job, too, in the same transaction."""
        # Not the submit's moment: a run's length counts from here on, and is added to this time.
        job, row = advance(submit.job, Start(epoch=self._epoch), self._board.clock.now())
        return replace(submit, job=job, transitions=(*submit.transitions, row))

    def note_began(self, run: ActiveRun, began: float) -> None:
        """Learn at which monotonic second a run began whose start was stored elsewhere."""
        self._began[run] = began

    def job_of(self, run: ActiveRun) -> Job:
        """Return the job whose run begins now.

        Raises:
            RuntimeError: it is not in memory: nobody stored its start.
        """
        job = self._board.live.find(run.job_id)
        if job is None:
            message = f"job {run.job_id} was dispatched and is not in memory"
            raise RuntimeError(message)
        return job

    def began_at(self, run: ActiveRun) -> float:
        """Return the monotonic second that is the run's `started_at`."""
        return self._began[run]

    async def end(
        self, run: ActiveRun, ending: Ending, progress: ProgressSnapshot | None, elapsed: float
    ) -> Job | None:
        """Store the one end of a run; None when the run was over already.

        A job whose cancel was asked for ends as cancelled, however its task ended: the request
        was acknowledged.
        """

        def decide(job: Job) -> Decision | None:
            if job.run != run.run or job.status is not RUNNING:
                return None
            prepared = job if progress is None else replace(job, **progress.members())
            chosen = self._overrides.get(run, ending)
            event = self._ending_event(job, chosen, elapsed)
            # Of a restore: what ran is not to go on by itself.
            is_held = job.hold and isinstance(event, Interrupt | RetryLater)
            return prepared, [event, Hold(reason=_HELD)] if is_held else [event]

        job = await self._ledger.record(run.job_id, decide)
        self._overrides.pop(run, None)
        self._began.pop(run, None)
        return job if job.run == run.run and job.status is not RUNNING else None

    def give_up(self, job: Job, host: LimitKey) -> Decision | None:
        """Return how a job fails that has waited for its host as long as it may; None if not yet.

        It passes through a run that has no handler, no slot and no time: started and ended in one
        commit.
        """
        outage = self._board.outages.find(host)
        is_waiting = job.status is QUEUED and job.job_id not in self._board.starting
        is_over = self._board.outages.is_over(host, job.queued_at)
        if outage is None or not is_waiting or not is_over:
            return None
        text = f"the host {outage.host} has been down for as long as a job waits for one"
        error = make_error(outage.code, text, at=self._board.clock.now(), retryable=True)
        return job, [Start(epoch=self._epoch), Fail(error=error, elapsed_seconds=0.0)]

    async def save_progress(self, reports: Sequence[tuple[ActiveRun, ProgressSnapshot]]) -> None:
        """Store progress reports in one transaction; those of runs that are over fall away."""
        changed = []
        for run, snapshot in reports:
            job = self._board.live.find(run.job_id)
            if job is not None and job.run == run.run and job.status is RUNNING:
                now = self._board.clock.now()
                changed.append(record_progress(job, now, **snapshot.members()))
        if changed:
            await self._store.save_progress(
                changed, on_commit=lambda stored: self._board.apply(stored, [])
            )

    async def save_checkpoint(self, run: ActiveRun, data: Any, progress: ProgressSnapshot) -> None:
        """Store a checkpoint and the progress so far; durable when this returns.

        While the store cannot write, this waits, as long as the run may take.

        Raises:
            StaleRunError: the run is over.
        """
        while True:
            job = await self._ledger.load(run.job_id)
            if job.run != run.run or job.status is not RUNNING:
                raise StaleRunError(run.job_id, run.run)
            now = max(self._board.clock.now(), job.updated_at)
            changed = record_progress(
                job,
                now,
                **progress.members(),
                checkpoint=CheckpointInfo(phase=progress.phase, saved_at=now),
            )
            try:
                await self._store.save_checkpoint(
                    Change(job=changed, base_version=job.version, before=job),
                    data,
                    on_commit=partial(self._board.apply, [changed], []),
                )
            except StaleVersionError:
                await self._ledger.reload(run.job_id)
                continue
            except (StorageFullError, StorageUnavailableError):
                # That the disk is full is not the job's fault: the run waits for it.
                await asyncio.sleep(STORE_AGAIN_SECONDS)
                continue
            return

    def load_checkpoint(self, job_id: JobId) -> Awaitable[Checkpoint | None]:
        """Return what the job's next run goes on from."""
        return self._store.load_checkpoint(job_id)

    def _startable(self, job_id: JobId) -> Job | None:
        job = self._board.live.find(job_id)
        return job if job is not None and job.status is QUEUED else None

    async def _start(self, jobs: Sequence[Job]) -> Sequence[ActiveRun]:
        if not jobs:
            return []
        events = [Start(epoch=self._epoch)]
        now, began = self._board.clock.now(), self._board.clock.monotonic()
        changes = [self._ledger.advance(job, job, events, now) for job in jobs]
        await self._ledger.commit(changes)
        runs = [ActiveRun(job_id=change.job.job_id, run=change.job.run) for change in changes]
        self._began.update(dict.fromkeys(runs, began))
        return runs

    async def _start_one_by_one(self, jobs: Sequence[Job]) -> Sequence[ActiveRun]:
        runs: list[ActiveRun] = []
        for job in jobs:
            try:
                runs += await self._start([job])
            except StaleVersionError:
                # Else a memory that is behind the store would have it tried for ever. Those that
                # have started must be told of, also where nothing can be read.
                with contextlib.suppress(UnavailableError):
                    await self._ledger.reload(job.job_id)
            except UnavailableError:
                # Those before it do run; that it was not stored is met again at the next try.
                break
        return runs

    def _ending_event(self, job: Job, ending: Ending, elapsed: float) -> Event:
        if job.cancel_requested_at is not None:
            text = job.cancel_reason or "cancelled on request"
            error = make_error("CANCELLED", text, at=self._board.clock.now(), phase=job.phase)
            return Cancel(error=error, elapsed_seconds=elapsed, reason=job.cancel_reason)
        match ending:
            case Succeeded():
                return Complete(result=ending.result, elapsed_seconds=elapsed)
            case Broke():
                return self._failure(job, ending, elapsed)
            case Interrupted():
                return self._interruption(job, ending, elapsed)
            case Suspended():
                return Suspend(
                    joins=ending.joins,
                    elapsed_seconds=elapsed,
                    reason="it waits for its children",
                )
            case FoundDown():
                return self._wait_for_host(job, ending, elapsed)
            case _:
                assert_never(ending)

    def _failure(self, job: Job, ending: Broke, elapsed: float) -> Event:
        if ending.retry_after is None or job.attempt >= job.max_attempts:
            return Fail(error=ending.error, elapsed_seconds=elapsed)
        return RetryLater(
            error=ending.error,
            retry_at=self._board.clock.now() + timedelta(seconds=ending.retry_after),
            key=self._board.make_key(job),
            elapsed_seconds=elapsed,
            place=self._place_after_failure(job),
        )

    def _wait_for_host(self, job: Job, ending: FoundDown, elapsed: float) -> Event:
        # Also where the job may run but once: it has not begun what must not be done twice.
        if self._board.outages.is_over(ending.host, job.queued_at):
            return Fail(error=ending.error, elapsed_seconds=elapsed)
        return Interrupt(
            elapsed_seconds=elapsed,
            is_clean=True,
            drop_checkpoint=ending.on_interrupt is OnInterrupt.RESTART,
            error=ending.error,
            place=self._place_after_failure(job),
            reason=f"the host {host_of(ending.host)} is down",
        )

    def _place_after_failure(self, job: Job) -> Place | None:
        # Who was asked for later does not wait for this one's back-off: they change places.
        follower = self._board.follower_of(job) if job.has_place else None
        if follower is None or follower.is_between_attempts:
            return None
        return Place.FOLLOWER

    def _interruption(self, job: Job, ending: Interrupted, elapsed: float) -> Event:
        # A job may ask for one attempt where its type does not (guarantees.md, G4).
        is_single = job.attempts_granted == 1 and ending.on_interrupt is OnInterrupt.RESUME
        if is_single or ending.on_interrupt is OnInterrupt.FAIL:
            error = make_error(
                "INTERRUPTED",
                "the server stopped while the job ran, and it must not run twice",
                at=self._board.clock.now(),
                phase=job.phase,
            )
            return Fail(error=error, elapsed_seconds=elapsed)
        return Interrupt(
            elapsed_seconds=elapsed,
            is_clean=ending.is_clean,
            drop_checkpoint=ending.on_interrupt is OnInterrupt.RESTART,
            reason=ending.reason
            or ("the server stopped" if ending.is_clean else "the server died"),
        )
