"""`ConcurrencyController`: the slots under the names of the design, for those who embed it."""

from collections.abc import Mapping

from cidx_jobs.engine.run.scheduler import Scheduler
from cidx_jobs.engine.state.board import Board
from cidx_jobs.model.ids import JobId, UserId


class ConcurrencyController:
    """Takes slots and gives them back; knows positions, and starts what may start."""

    def __init__(self, board: Board, scheduler: Scheduler) -> None:
        """Take the memory, which holds the slots, and the scheduler."""
        self._board = board
        self._scheduler = scheduler

    async def acquire_slot(self, user_id: UserId, job_id: JobId) -> bool:
        """Take a slot for the job; False when the user's or the total limit is reached.

        Raises:
            SlotError: the job holds a slot already.
        """
        slots = self._board.slots
        if not slots.holds(job_id) and not slots.has_room(user_id):
            return False
        slots.take(job_id, user_id)
        self._board.gates.refresh_user(user_id)
        return True

    async def release_slot(self, job_id: JobId) -> None:
        """Give the job's slot back, once.

        Raises:
            SlotError: the job holds none.
        """
        self._board.give_back(job_id)
        self._board.look_again.set()

    async def check_limits(self, user_id: UserId) -> bool:
        """Tell whether one more job of the user could run now."""
        return self._board.slots.has_room(user_id)

    async def get_queue_position(self, job_id: JobId) -> int | None:
        """Return the job's rank among all waiting jobs, from 1; None when it does not wait."""
        return self._board.find_position(job_id)

    async def promote_queued_jobs(self) -> int:
        """Start the waiting jobs that may run now, in their order; return how many."""
        return await self._scheduler.promote()

    def count_running(self, user_id: UserId | None = None) -> int:
        """Count the slots that the user holds, or all."""
        return self._board.slots.count_running(user_id)

    def holders(self) -> Mapping[JobId, UserId]:
        """Return who holds a slot, and whose they are."""
        return self._board.slots.holders()
