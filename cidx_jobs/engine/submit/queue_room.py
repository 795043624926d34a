"""Room in the queue: how many jobs may wait, those that are being stored among them."""

from collections import Counter
from collections.abc import Sequence

from cidx_jobs.engine.counts import decrease
from cidx_jobs.engine.state.board import Board
from cidx_jobs.model.errors import QueueFullError, UserQueueFullError
from cidx_jobs.model.ids import UserId


class QueueRoom:
    """Counts the jobs that are being stored beside those that wait already.

    Many submits at once cannot overfill the queue: each takes its room before it is stored.
    """

    def __init__(self, board: Board) -> None:
        """Begin with nothing under way."""
        self._board = board
        self._taken: Counter[UserId] = Counter()
        self._taken_total = 0

    def check(self, user_id: UserId, before: Sequence[UserId] = ()) -> None:
        """Check that one more job of the user may wait.

        Args:
            user_id: whose job it is.
            before: of jobs that come together, whose are those that come before this one.

        Raises:
            UserQueueFullError: the user has as many as a user may have.
            QueueFullError: all have as many as may wait in all.
        """
        limits = self._board.slots.limits
        live = self._board.live
        taken = self._taken.get(user_id, 0) + before.count(user_id)
        if live.count_waiting(user_id) + taken >= limits.max_queued_per_user:
            raise UserQueueFullError(limits.max_queued_per_user)
        if live.waiting_total + self._taken_total + len(before) >= limits.max_queued_total:
            raise QueueFullError(limits.max_queued_total)

    def take(self, user_ids: Sequence[UserId]) -> None:
        """Take room for a job of each; `give_back` follows exactly once."""
        self._taken.update(user_ids)
        self._taken_total += len(user_ids)

    def give_back(self, user_ids: Sequence[UserId]) -> None:
        """Give the room back: the jobs are stored and count as waiting, or are refused."""
        self._taken_total -= len(user_ids)
        for user_id in user_ids:
            decrease(self._taken, user_id)
