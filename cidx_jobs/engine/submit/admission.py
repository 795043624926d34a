"""How a submit becomes a job: checked, put in line or joined to a waiting one, and stored."""

from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial

from cidx_jobs.engine.run.scheduler import Scheduler
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import JobLedger
from cidx_jobs.engine.submit.batch import Batch, faults_of
from cidx_jobs.engine.submit.checked_request import CheckedRequest, RequestChecks
from cidx_jobs.engine.submit.idempotency import IdempotencyKeys
from cidx_jobs.engine.submit.joined_job import JoinedJobs
from cidx_jobs.engine.submit.new_job import NewJobs
from cidx_jobs.engine.submit.project_line import Line, ProjectLines
from cidx_jobs.engine.submit.queue_room import QueueRoom
from cidx_jobs.interfaces.store.end_notices import EndNoticeStore
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.errors import (
    IdempotencyKeyReusedError,
    StaleVersionError,
)
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import QUEUED, Job
from cidx_jobs.model.job.lifecycle import record_progress
from cidx_jobs.model.job.submit import Submission, SubmitRequest
from cidx_jobs.model.listing import Change, IdempotencyRecord, Project
from cidx_jobs.model.schedules.schedule import ScheduleState
from cidx_jobs.model.schedules.settlement import Firing
from cidx_jobs.settings import Settings


class Admission:
    """Takes submits: each is answered with a stored job, or refused with nothing stored."""

    def __init__(
        self, *, settings: Settings, store: JobStore, projects: ProjectStore, board: Board,
        ledger: JobLedger, scheduler: Scheduler,
        job_types: JobTypes, notices: EndNoticeStore,
    ) -> None:  # fmt: skip
        """Take the parts."""
        self._board = board
        self._ledger = ledger
        self._scheduler = scheduler
        self._keys = IdempotencyKeys(store, ledger, board)
        self._checks = RequestChecks(
            settings=settings, job_types=job_types, board=board, projects=projects, notices=notices
        )
        self._lines = ProjectLines(board, ledger)
        self._new_jobs = NewJobs(settings, board, ledger)
        self._joined_jobs = JoinedJobs(job_types, board, ledger, self._new_jobs)
        self._room = QueueRoom(board)

    async def find_replay(self, request: SubmitRequest) -> Submission | None:
        """Return the job that was stored when the request's key came for the first time.

        Raises:
            IdempotencyKeyReusedError: it came with another request.
            JobExpiredError: the job was deleted since.
        """
        return await self._keys.find_replay(request)

    async def check(self, request: SubmitRequest, *, as_of_now: bool = True) -> None:
        """Check a request as `admit` does, and store nothing: a schedule will make it later.

        Args:
            request: what it will submit.
            as_of_now: also hold it against what may be otherwise by then: what is known of its
                project, and its user's secret for notices.

        Raises:
            ValidationError: a member is wrong (`UnknownJobTypeError` for the type).
        """
        if as_of_now:
            await self._checks.check(request)
        else:
            await self._checks.check_ahead(request)

    async def admit(self, request: SubmitRequest, firing: Firing | None = None) -> Submission:
        """Store the job that the request asks for, or find the one that serves it already.

        The request is no replay, as far as `find_replay` could tell a moment ago. The *firing* of
        the schedule that asks is stored in the same transaction.

        Raises:
            StaleScheduleError: the schedule has changed meanwhile; nothing is stored.
        """
        checked = await self._checks.check(request)
        while True:
            try:
                return await self._store_once(checked, firing)
            except StaleVersionError:
                # Somebody else moved the line of the project, or took the key, first.
                continue
            except IdempotencyKeyReusedError:
                # The same request was stored in the same moment.
                replay = await self._keys.find_replay(checked.request)
                if replay is None:
                    raise
                return replay

    async def admit_all(self, requests: Sequence[SubmitRequest]) -> Sequence[Submission]:
        """Store the jobs of all requests in one transaction, or none of them.

        Of requests for the same line of an exclusive type the later ones join the first, as they
        would one after the other.

        Raises: what `admit` raises; pointers begin with the number of the request.
        """
        checked = [await self._check(request, place) for place, request in enumerate(requests)]
        batch = Batch(checked, self._new_jobs.priority_of)
        while True:
            try:
                return await self._store_all(batch)
            except StaleVersionError:
                # Somebody else moved the line of a project first.
                continue

    async def _check(self, request: SubmitRequest, place: int) -> CheckedRequest:
        with faults_of(place):
            return await self._checks.check(request)

    async def _store_all(self, batch: Batch) -> Sequence[Submission]:
        made: list[Submission] = []
        changes: list[Change] = []
        new: list[UserId] = []
        for each in batch.merged:
            line = self._lines.find(each.request, each.job_type)
            waits = self._lines.waits_outside(each.request)
            joined = None if waits else self._lines.choose_joined(each.request, line)
            if joined is not None:
                job, joining = self._join(joined, each.request, line)
                changes += joining
                made.append(Submission(job=job, is_joined=True))
                continue
            moved, place = self._lines.choose_place(each.request, each.job_type, line, waits=waits)
            change = self._new_jobs.make(each.request, each.job_type, place, None, waits=waits)
            self._room.check(each.request.user_id, new)
            new.append(each.request.user_id)
            changes += [*moved, change]
            made.append(Submission(job=change.job))
        job_ids = [one.job.job_id for one in made if not one.is_joined]
        for job_id in job_ids:
            self._keep_origin(job_id)
        try:
            give_room = self._take_room(new)
            await self._ledger.commit(
                changes, projects=batch.projects, on_commit=give_room, on_refuse=give_room
            )
        except BaseException:
            for job_id in job_ids:
                self._forget_origin(job_id)
            raise
        return [made[number] for number in batch.numbers]

    async def _store_once(self, checked: CheckedRequest, firing: Firing | None) -> Submission:
        request, job_type, project = checked.request, checked.job_type, checked.project
        line = self._lines.find(request, job_type)
        waits = self._lines.waits_outside(request)
        is_child = request.parent_id is not None
        # Who has its time to come neither joins nor is joined: no acknowledged time is lost. Nor
        # does a child, which its parent knows by a key.
        joined = None if waits or is_child else self._lines.choose_joined(request, line)
        if joined is not None:
            job, changes = self._join(joined, request, line)
            record = self._keys.make_record(request, joined.job_id)
            served = firing.end(joined.job_id, is_joined=True) if firing else None
            await self._ledger.commit(changes, record, project, served)
            return Submission(job=job, is_joined=True)
        if not is_child:
            # A parent that waited for room, in a slot, could keep its own children from running.
            self._room.check(request.user_id)
        changes, place = self._lines.choose_place(request, job_type, line, waits=waits)
        changes += self._mark_parent(request)
        change = self._new_jobs.make(request, job_type, place, firing, waits=waits)
        job_id = change.job.job_id
        record = self._keys.make_record(request, job_id)
        served = firing.end(job_id, is_joined=False) if firing else None
        # What becomes of others is stored first: a job that moves them is not the next to start.
        may_start = not changes and change.job.status is QUEUED
        self._keep_origin(job_id)
        try:
            start = self._scheduler.start_with_submit(change) if may_start else None
            if start is None:
                changes = [*changes, change]
                await self._store_waiting(request.user_id, changes, record, project, served)
            else:
                # It takes no room in the queue: it has its slot already.
                await self._ledger.commit(
                    [start.change],
                    record,
                    project,
                    served,
                    on_commit=start.stored,
                    on_refuse=start.refused,
                )
        except BaseException:
            self._forget_origin(job_id)
            raise
        return Submission(job=change.job)

    async def _store_waiting(
        self,
        user_id: UserId,
        changes: list[Change],
        record: IdempotencyRecord | None,
        project: Project | None,
        served: ScheduleState | None,
    ) -> None:
        give_room = self._take_room([user_id])
        await self._ledger.commit(
            changes, record, project, served, on_commit=give_room, on_refuse=give_room
        )

    def _take_room(self, user_ids: Sequence[UserId]) -> Callable[[], None]:
        """Take room for a new job of each user; return what gives it back."""
        # It gives its room back in the moment in which the memory counts it, or nobody ever will:
        # whoever waits for the answer goes on later, and would count it twice until then.
        self._room.take(user_ids)
        return partial(self._room.give_back, user_ids)

    def _join(self, job: Job, request: SubmitRequest, line: Line) -> tuple[Job, list[Change]]:
        """Return a waiting job as it serves the request, too, and what is stored for that."""
        # A follower that was corrected need not wait for the back-off of the one before it.
        goes_first = job is line.follower and line.is_between_attempts
        change = self._joined_jobs.join(job, request, goes_first=goes_first)
        return change.job, self._ledger.with_line(change, job)

    def _mark_parent(self, request: SubmitRequest) -> list[Change]:
        """Return the change by which a running job is known to have children, at the first."""
        parent = None if request.parent_id is None else self._board.live.find(request.parent_id)
        if parent is None or parent.has_children:
            return []
        marked = record_progress(parent, self._board.clock.now(), has_children=True)
        return [Change(job=marked, base_version=parent.version, before=parent)]

    def _keep_origin(self, job_id: JobId) -> None:
        """Keep the caller's context variables for the job's runs."""
        # Before it is stored: its run may begin before the caller hears of it.
        self._board.origins[job_id] = copy_context()

    def _forget_origin(self, job_id: JobId) -> None:
        """Keep nothing for a job that is not stored."""
        self._board.origins.pop(job_id, None)
