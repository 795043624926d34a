"""The line of an exclusive job type in a project: its head, its follower, and who comes next.

At most one job is the head: it waits, runs, or is between two attempts. At most one follows it.
Whoever is held, or has its time yet to come, stands in no line.
"""

import msgspec

from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import JobLedger
from cidx_jobs.job_types import JobType
from cidx_jobs.model.error_codes import make_error
from cidx_jobs.model.errors import ProjectBusyError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.events import Cancel, RequestCancel
from cidx_jobs.model.job.job import Job, JobStatus, Place
from cidx_jobs.model.job.submit import OnConflict, SubmitRequest
from cidx_jobs.model.listing import Change


class Line(msgspec.Struct, frozen=True):
    """Who stands in the line of a type in a project."""

    head: Job | None
    follower: Job | None

    @property
    def is_between_attempts(self) -> bool:
        """True while the head waits for its back-off."""
        return self.head is not None and self.head.is_between_attempts


_NOBODY_IN_LINE = Line(None, None)


class ProjectLines:
    """Finds the line that a request comes to, and its place in it (api.md 1.3)."""

    def __init__(self, board: Board, ledger: JobLedger) -> None:
        """Take the memory that knows who stands where."""
        self._board = board
        self._ledger = ledger

    def find(self, request: SubmitRequest, job_type: JobType) -> Line:
        """Return the line as it is now; nobody stands in that of a type which is not exclusive."""
        if not job_type.exclusive:
            return _NOBODY_IN_LINE
        key = (request.user_id, request.project_id, request.job_type)
        live = self._board.live
        return Line(live.in_place(*key, Place.HEAD), live.in_place(*key, Place.FOLLOWER))

    def waits_outside(self, request: SubmitRequest) -> bool:
        """Return whether the request's job stands in no line yet: it is held, or not yet due."""
        start_at = request.start_at
        return request.hold or (start_at is not None and start_at > self._board.clock.now())

    def choose_joined(self, request: SubmitRequest, line: Line) -> Job | None:
        """Return the job in the line that serves the request, too, if one does.

        Raises:
            ProjectBusyError: the request is to be refused where one is active.
        """
        head = line.head
        if head is None or request.on_conflict is OnConflict.REPLACE:
            return None
        if request.on_conflict is OnConflict.REJECT:
            raise ProjectBusyError(request.project_id, head.job_id)
        # One that has run may have read what has changed since: only its follower serves.
        return head if head.has_never_started else line.follower

    def choose_place(
        self, request: SubmitRequest, job_type: JobType, line: Line, *, waits: bool
    ) -> tuple[list[Change], Place | None]:
        """Return a new job's place in its line, and what becomes of those that are in it."""
        head = line.head
        if head is not None and request.on_conflict is OnConflict.REPLACE:
            changes = self._make_way(head, line.follower, request.actor)
            place = Place.FOLLOWER if head.status is JobStatus.RUNNING else Place.HEAD
            return changes, None if waits else place
        if not job_type.exclusive or waits:
            return [], None
        if head is None:
            return [], Place.HEAD
        if request.parent_id is not None and line.follower is not None:
            # A child joins nobody: where the line is full it waits outside, as one that is due.
            return [], None
        if head.is_between_attempts:
            # A corrected request does not wait for the back-off of the broken one.
            return [self._ledger.move_back(head)], Place.HEAD
        return [], Place.FOLLOWER

    def _make_way(self, head: Job, follower: Job | None, actor: UserId | None) -> list[Change]:
        reason = "replaced by a newer request"
        changes = []
        if head.status is not JobStatus.RUNNING:
            changes.append(self._cancel_waiting(head, reason, actor))
        elif head.cancel_requested_at is None:
            event = RequestCancel(reason=reason)
            changes.append(self._ledger.advance(head, head, [event], actor=actor))
        else:
            # Its cancel is stored already; a handler that swallowed it is asked once more.
            self._board.stop_run(head, again=True)
        if follower is not None:
            changes.append(self._cancel_waiting(follower, reason, actor))
        return changes

    def _cancel_waiting(self, job: Job, reason: str, actor: UserId | None) -> Change:
        error = make_error("CANCELLED", reason, at=self._board.clock.now())
        event = Cancel(error=error, reason=reason)
        return self._ledger.advance(job, job, [event], actor=actor)
