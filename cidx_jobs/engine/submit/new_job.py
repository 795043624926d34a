"""A new job, made of a request: its id, the defaults of its type and of the server."""

import os
from datetime import datetime

from msgspec.structs import replace

from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import JobLedger
from cidx_jobs.engine.submit.checks import highest_priority
from cidx_jobs.job_types import JobType
from cidx_jobs.model.ids import JobId, make_job_id
from cidx_jobs.model.job.events import Enqueue, Event, Submit
from cidx_jobs.model.job.job import CREATED, Job, Place
from cidx_jobs.model.job.key_limits import KeyLimits, make_key_limits
from cidx_jobs.model.job.packed import pack
from cidx_jobs.model.job.submit import SubmitRequest
from cidx_jobs.model.listing import Change
from cidx_jobs.model.schedules.settlement import Firing
from cidx_jobs.settings import Settings


class NewJobs:
    """Makes jobs of requests that were checked; nothing is stored here."""

    def __init__(self, settings: Settings, board: Board, ledger: JobLedger) -> None:
        """Take the defaults, and what makes versions of jobs."""
        self._settings = settings
        self._board = board
        self._ledger = ledger
        self._ids = 0

    def make(
        self,
        request: SubmitRequest,
        job_type: JobType,
        place: Place | None,
        firing: Firing | None,
        *,
        waits: bool,
    ) -> Change:
        """Return the change that creates the job, and queues it where it *waits* for nothing else.

        Args:
            request: what was asked for.
            job_type: of what type.
            place: where it stands in the line of its project, if in one.
            firing: of the schedule that asks, if one does.
            waits: it is held, or its time is yet to come.
        """
        now = self._board.clock.now()
        settings = self._settings
        attempts = request.max_attempts or job_type.max_attempts or settings.default_max_attempts
        job = Job(
            job_id=self._make_id(now),
            job_type=job_type.name,
            user_id=request.user_id,
            project_id=request.project_id,
            status=CREATED,
            version=1,
            priority=self.priority_of(request),
            labels=request.labels,
            options=pack(request.options),
            limits=self.limits_of(request, job_type),
            notify=request.urls,
            max_attempts=attempts,
            attempts_granted=attempts,
            timeout_seconds=request.timeout_seconds
            or job_type.timeout_seconds
            or settings.default_timeout_seconds,
            place=place,
            hold=request.hold,
            schedule=firing.state.schedule.name if firing else None,
            scheduled_at=firing.scheduled_at if firing else None,
            parent_id=request.parent_id,
            child_key=request.child_key,
            traceparent=request.traceparent,
            start_at=request.start_at,
            created_at=now,
            updated_at=now,
        )
        events: list[Event] = [Submit()]
        has_place = not job_type.exclusive or place is Place.HEAD
        if not waits and has_place:
            events.append(Enqueue(key=self._board.make_key(job)))
        change = self._ledger.advance(None, job, events, now, request.actor)
        return replace(change, max_user_bytes=settings.max_stored_bytes_per_user)

    def priority_of(self, request: SubmitRequest) -> int:
        """Return the priority that the request asks for, or its user's usual one."""
        if request.priority is not None:
            return request.priority
        own = self._settings.user_priorities.get(request.user_id)
        usual = self._settings.default_priority if own is None else own
        return min(usual, highest_priority(request.user_id, self._board.slots.limits))

    def limits_of(self, request: SubmitRequest, job_type: JobType) -> KeyLimits:
        """Return the limits by key: the request's own are its user's, its type's everybody's."""
        own, shared = request.limits, job_type.find_limits(request.options)
        if not own and not shared:
            return ()
        now = self._board.engine_clock.seconds()
        return (
            *make_key_limits(own, request.user_id, now),
            *make_key_limits(shared, None, now),
        )

    def _make_id(self, now: datetime) -> JobId:
        # The count keeps ids of one millisecond in the order in which they were made.
        self._ids += 1
        milliseconds = int(now.timestamp() * 1000)
        return make_job_id(milliseconds, self._ids, int.from_bytes(os.urandom(8)))
