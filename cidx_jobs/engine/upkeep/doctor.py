"""Compares what the engine has in memory with what is stored, and puts the memory right.

The store is the truth. What is found is a fault of ours, and is mended without a restart where the
memory can follow the store again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial

import msgspec

from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.run import Executor
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.queue_status import RECOVERING

LOOKS = 3
"""Jobs change while they are compared: only what is found at every look is told."""

_LOOK_AGAIN_SECONDS = 0.1


class _Fault(msgspec.Struct, frozen=True):
    """What was found, and what puts it right in one step of the loop, if anything does."""

    finding: Finding
    mend: Callable[[], object] | None = None


class MemoryDoctor:
    """Compares jobs, queue, slots and runs of the memory with the store."""

    def __init__(
        self, *, store: JobStore, board: Board, executor: Executor, job_types: JobTypes,
        interrupt: Callable[[Sequence[Job]], Awaitable[object]],
    ) -> None:  # fmt: skip
        """Take the parts; *interrupt* ends the runs of jobs that nothing runs."""
        self._store = store
        self._board = board
        self._executor = executor
        self._job_types = job_types
        self._interrupt = interrupt

    async def examine(self) -> Sequence[Finding]:
        """Return what does not fit together, if anything."""
        return [fault.finding for fault in await self._find()]

    async def mend(self) -> None:
        """Let the memory follow the store again where it does not, and end runs that are lost."""
        # The steps are taken in the same turn of the loop as the last look.
        for fault in await self._find():
            if fault.mend is not None:
                fault.mend()
        lost = [fault.finding.job_id for fault in await self._find() if _is_of_run(fault.finding)]
        running = [job for job_id in lost if job_id and (job := self._board.live.find(job_id))]
        await self._interrupt(running)
        self._board.look_again.set()

    async def _find(self) -> Sequence[_Fault]:
        found = await self._look()
        for _ in range(LOOKS - 1):
            if not found:
                break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            before = {fault.finding for fault in found}
            found = [fault for fault in await self._look() if fault.finding in before]
        return found

    async def _look(self) -> list[_Fault]:
        stored = {job.job_id: job for job in await self._store.load_unfinished_jobs()}
        # From here on nothing awaits: the memory is seen in one state.
        return [
            *_unlike_in_memory(stored, self._board),
            *_wrong_slots(stored, self._board, self._job_types),
            *_wrong_in_queue(stored, self._board),
            *_lost_runs(stored, self._executor),
        ]


def list_notes(board: Board) -> Sequence[Finding]:
    """List what an operator should know of, and what is no fault: a suspect that runs alone."""
    alone = board.reasons.find_suspect_run()
    if alone is None:
        return []
    end = "" if alone.until is None else f", until {alone.until:%Y-%m-%dT%H:%M:%SZ} at the latest"
    message = (
        f"job {alone.job_id} ran at several deaths of the server and runs alone first{end}; "
        f"suspects: {alone.suspects}"
    )
    return [Finding(kind=RECOVERING, message=message, job_id=alone.job_id)]


def _unlike_in_memory(stored: Mapping[JobId, Job], board: Board) -> Iterator[_Fault]:
    for job_id, job in stored.items():
        known = board.live.find(job_id)
        if known is None or known.version < job.version:
            what = "is stored, but the server does not know its state"
            yield _fault("queue", job_id, what, partial(board.apply, [job], []))
    for job in board.live:
        if job.job_id not in stored:
            yield _fault("queue", job.job_id, "waits or runs in memory, but not in the store")


def _wrong_slots(
    stored: Mapping[JobId, Job], board: Board, job_types: JobTypes
) -> Iterator[_Fault]:
    holders = board.slots.holders()
    running = {job_id for job_id, job in stored.items() if job.status is JobStatus.RUNNING}
    for job_id in sorted(running - holders.keys()):
        take = partial(board.slots.restore, [stored[job_id]], job_types.resources_of)
        yield _fault("slots", job_id, "runs without a slot", take)
    for job_id in sorted(holders.keys() - running):
        give_back = partial(board.give_back, job_id)
        yield _fault("slots", job_id, "holds a slot and does not run", give_back)


def _wrong_in_queue(stored: Mapping[JobId, Job], board: Board) -> Iterator[_Fault]:
    holders = board.slots.holders()
    queued = {job_id for job_id, job in stored.items() if job.status is JobStatus.QUEUED}
    # A job whose start is just being stored has left the queue and holds its slot.
    for job_id in sorted(queued - set(board.queue) - holders.keys()):
        put_back = partial(board.requeue, stored[job_id])
        yield _fault("queue", job_id, "is queued, but not in the queue", put_back)
    for job_id in sorted(set(board.queue) - queued):
        take_out = partial(board.queue.remove, job_id)
        yield _fault("queue", job_id, "is in the queue, but not queued", take_out)


def _lost_runs(stored: Mapping[JobId, Job], executor: Executor) -> Iterator[_Fault]:
    running = [job for job in stored.values() if job.status is JobStatus.RUNNING]
    for run in executor.lost(running):
        yield _fault("runs", run.job_id, "is running, but nothing runs it")


def _fault(
    kind: str, job_id: JobId, what: str, mend: Callable[[], object] | None = None
) -> _Fault:
    return _Fault(Finding(kind=kind, message=f"job {job_id} {what}", job_id=job_id), mend)


def _is_of_run(finding: Finding) -> bool:
    return finding.kind == "runs"
