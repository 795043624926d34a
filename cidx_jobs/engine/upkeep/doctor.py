"""Compares what the engine has in memory with what is stored."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.run import Executor
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.wait_reasons import RECOVERING

LOOKS = 3
"""Jobs change while they are compared: only what is found at every look is told."""

_LOOK_AGAIN_SECONDS = 0.1


async def examine_memory(store: JobStore, board: Board, executor: Executor) -> Sequence[Finding]:
    """Return what does not fit together of jobs, queue, slots and runs, if anything."""
    found = await _look(store, board, executor)
    for _ in range(LOOKS - 1):
        if not found:
            break
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        again = set(await _look(store, board, executor))
        found = [finding for finding in found if finding in again]
    return found


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


async def _look(store: JobStore, board: Board, executor: Executor) -> list[Finding]:
    stored = {job.job_id: job for job in await store.load_unfinished_jobs()}
    # From here on nothing awaits: the memory is seen in one state.
    return [
        *_unlike_in_memory(stored, board),
        *_wrong_slots(stored, board),
        *_wrong_in_queue(stored, board),
        *_lost_runs(stored, executor),
    ]


def _unlike_in_memory(stored: Mapping[JobId, Job], board: Board) -> Iterator[Finding]:
    for job_id, job in stored.items():
        known = board.live.find(job_id)
        if known is None or known.version < job.version:
            yield _finding("queue", job_id, "is stored, but the server does not know its state")
    for job in board.live:
        if job.job_id not in stored:
            yield _finding("queue", job.job_id, "waits or runs in memory, but not in the store")


def _wrong_slots(stored: Mapping[JobId, Job], board: Board) -> Iterator[Finding]:
    holders = board.slots.holders()
    running = {job_id for job_id, job in stored.items() if job.status is JobStatus.RUNNING}
    for job_id in sorted(running - holders.keys()):
        yield _finding("slots", job_id, "runs without a slot")
    for job_id in sorted(holders.keys() - running):
        yield _finding("slots", job_id, "holds a slot and does not run")


def _wrong_in_queue(stored: Mapping[JobId, Job], board: Board) -> Iterator[Finding]:
    holders = board.slots.holders()
    queued = {job_id for job_id, job in stored.items() if job.status is JobStatus.QUEUED}
    # A job whose start is just being stored has left the queue and holds its slot.
    for job_id in sorted(queued - set(board.queue) - holders.keys()):
        yield _finding("queue", job_id, "is queued, but not in the queue")
    for job_id in sorted(set(board.queue) - queued):
        yield _finding("queue", job_id, "is in the queue, but not queued")


def _lost_runs(stored: Mapping[JobId, Job], executor: Executor) -> Iterator[Finding]:
    running = [job for job in stored.values() if job.status is JobStatus.RUNNING]
    for run in executor.lost(running):
        yield _finding("runs", run.job_id, "is running, but nothing runs it")


def _finding(kind: str, job_id: JobId, what: str) -> Finding:
    return Finding(kind=kind, message=f"job {job_id} {what}", job_id=job_id)
