"""The slot of a run goes back before its end is stored."""

import asyncio
from typing import Any

from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.engine.run.run_record import RunRecorder
from torture.jobs import TYPES

__all__ = ["TYPES"]

_give_back = Slots.give_back
_end = RunRecorder.end


async def _end_late(self: RunRecorder, run: Any, *rest: Any) -> Any:
    board = self._board
    job = board.live.find(run.job_id)
    if job is not None and run.job_id in board.slots.holders():
        _give_back(board.slots, run.job_id)
        board.gates.refresh_user(job.user_id)
        board.look_again.set()
        await asyncio.sleep(0.02)
    return await _end(self, run, *rest)


def _give_back_once(self: Slots, job_id: Any) -> Any:
    return _give_back(self, job_id) if job_id in self.holders() else None


RunRecorder.end = _end_late  # type: ignore[assignment, method-assign]
Slots.give_back = _give_back_once  # type: ignore[method-assign]
