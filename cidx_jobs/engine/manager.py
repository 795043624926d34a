"""`SyncJobManager`: all that is asked of jobs in the process that runs them."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from cidx_jobs.engine.follow.long_poll import WaitingRoom
from cidx_jobs.engine.queue.slots import SlotUse
from cidx_jobs.engine.run.run_record import Broke, Ending, RunRecorder, Succeeded
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.notifier import Subscription
from cidx_jobs.engine.state.record import Decision, JobLedger
from cidx_jobs.engine.submit.admission import Admission
from cidx_jobs.engine.submit.checks import check_priority
from cidx_jobs.engine.upkeep.retention import Cleanup, Retention
from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.interfaces.store.controls import ControlStore
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.error_codes import make_error
from cidx_jobs.model.errors import (
    AlreadyFinishedError,
    DrainingError,
    InvalidTransitionError,
    OptionsRemovedError,
    ProjectBusyError,
    StoppingError,
    ValidationError,
    VersionMismatchError,
)
from cidx_jobs.model.foreign import plain_text
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.events import Cancel, RequestCancel, Retry, Revise
from cidx_jobs.model.job.job import Job, JobStatus, Place, Transition
from cidx_jobs.model.job.key_limits import host_of
from cidx_jobs.model.job.labels import check_labels
from cidx_jobs.model.job.queue_status import HostDown, QueueStatus, SuspectRun
from cidx_jobs.model.job.submit import Submission, SubmitRequest
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import ChildCounts, EventQuery, JobPage, JobQuery
from cidx_jobs.model.redact import redact_secrets
from cidx_jobs.model.schedules.settlement import Firing

_CATCH_UP_SECONDS = 2.0
"""More than the moment between a commit and its arrival in memory."""

_STARTED = "started on request"
_ENDS_OF_RUNS = (JobStatus.COMPLETED, JobStatus.FAILED)
_ASK_AGAIN_SECONDS = 1.0


class SyncJobManager:
    """Creates jobs, reads them, steers them, and lets callers wait for what becomes of them.

    Every change is stored in one transaction before it is told to anybody.
    """

    def __init__(
        self, *, store: JobStore, controls: ControlStore, board: Board, ledger: JobLedger,
        admission: Admission,
        waiting_room: WaitingRoom, job_types: JobTypes, retention: Retention,
        recorder: RunRecorder,
    ) -> None:  # fmt: skip
        """Take the parts of the engine."""
        self._store = store
        self._kept_controls = controls
        self._board = board
        self._ledger = ledger
        self._admission = admission
        self._waiting_room = waiting_room
        self._job_types = job_types
        self._retention = retention
        self._recorder = recorder
        self._controls = asyncio.Lock()

    async def create_job(self, request: SubmitRequest, firing: Firing | None = None) -> Submission:
        """Store the job that is asked for, or find the one that serves the request already.

        Where a schedule is run by hand, its *firing* is stored in the same transaction.

        Raises:
            StoppingError, DrainingError: nothing new is taken now.
            ValidationError: a member is wrong (`UnknownJobTypeError` for the type).
            ProjectBusyError: another exclusive job is in the way.
            IdempotencyKeyReusedError: the key was used for another request.
            UserQueueFullError, QueueFullError: too many wait.
        """
        # First: whoever asks again after a lost answer asks for nothing new.
        if request.request_key is not None:
            replay = await self._admission.find_replay(request)
            if replay is not None:
                return replay
        if self._board.reasons.is_stopping:
            raise StoppingError
        if self._board.pauses.draining:
            raise DrainingError
        return await self._admission.admit(request, firing)

    async def create_child(self, request: SubmitRequest) -> Submission:
        """Store the child that a running job asks for, also while the server drains.

        Raises:
            StoppingError: nothing new is taken now.
            ValidationError: a member is wrong (`UnknownJobTypeError` for the type).
        """
        self._refuse_when_stopping()
        return await self._admission.admit(request)

    async def create_jobs(self, requests: Sequence[SubmitRequest]) -> Sequence[Submission]:
        """Store the jobs that are asked for in one transaction: all of them, or none.

        Raises: what `create_job` raises; pointers begin with the number of the request.
        """
        if self._board.reasons.is_stopping:
            raise StoppingError
        if self._board.pauses.draining:
            raise DrainingError
        return await self._admission.admit_all(requests)

    async def get_job(self, job_id: JobId) -> Job:
        """Return the job as it was last committed.

        Raises:
            JobNotFoundError: there is none.
        """
        job = await self._ledger.load(job_id)
        if job.has_children:
            await self._know_children([job])
        return job

    def count_children(self, job: Job) -> ChildCounts | None:
        """Return how many children the job has, and how many are done; None without any."""
        return self._board.families.count(job.job_id) if job.has_children else None

    async def _know_children(self, jobs: Sequence[Job]) -> None:
        known = self._board.families.is_known
        lacking = [job.job_id for job in jobs if job.has_children and not known(job.job_id)]
        if lacking:
            self._board.families.note_stored(await self._store.load_children(lacking))

    async def list_user_jobs(self, user_id: UserId, limit: int = 50) -> Sequence[Job]:
        """Return the user's newest jobs, newest first."""
        return (await self.query_jobs(JobQuery(user_id=user_id, limit=limit))).jobs

    async def query_jobs(self, query: JobQuery) -> JobPage:
        """Return one page of the jobs that fit."""
        page = await self._store.query_jobs(query)
        for job in page.jobs:
            await self._catch_up(job.job_id, job.version)
        await self._know_children(page.jobs)
        return page

    async def query_events(self, query: EventQuery) -> Sequence[Transition]:
        """Return rows of the transition log, oldest first."""
        rows = await self._store.query_events(query)
        for row in rows:
            await self._catch_up(row.job_id, row.version)
        return rows

    async def _catch_up(self, job_id: JobId, version: int) -> None:
        """Wait until memory has the version that a query found in the store.

        A commit is in the file a moment before it is here. Whoever was told of it by a list must
        not be told an older state by the next read, which is answered from memory.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CATCH_UP_SECONDS
        notifier = self._board.notifier
        while self._is_behind(job_id, version) and (left := deadline - loop.time()) > 0:
            waiter = notifier.expect(job_id, lambda job: job.version >= version, left)
            try:
                await waiter
            finally:
                notifier.forget(job_id, waiter)

    def _is_behind(self, job_id: JobId, version: int) -> bool:
        known = self._board.live.find(job_id)
        return known is not None and known.version < version

    async def cancel_job(
        self, job_id: JobId, reason: str | None = None, *, actor: UserId | None = None
    ) -> Job:
        """Cancel a job that waits, at once; tell one that runs to stop. Idempotent.

        When this returns a waiting job will never start, and the request to a running one is
        durable (guarantees.md, G6). Asked again for one that still runs, it is told again: its
        handler may have swallowed the first request.
        *actor* is who asks; None for the server itself.

        Raises:
            JobNotFoundError: there is none.
            AlreadyFinishedError: it is completed or failed.
        """
        # It becomes the text of the job's error, in which no secret may stand.
        reason = None if reason is None else plain_text(redact_secrets(reason))

        def decide(job: Job) -> Decision | None:
            if job.status is JobStatus.CANCELLED:
                return None
            if job.status is JobStatus.RUNNING and job.cancel_requested_at is not None:
                # The request is stored; a handler that swallowed it is asked once more.
                self._board.stop_run(job, again=True)
                return None
            if job.done:
                raise AlreadyFinishedError(job_id=job_id, status=job.status)
            if job.status is JobStatus.RUNNING:
                return job, [RequestCancel(reason=reason)]
            text = reason or "cancelled on request"
            error = make_error("CANCELLED", text, at=self._board.clock.now())
            return job, [Cancel(error=error, reason=reason)]

        return await self._ledger.record(job_id, decide, actor)

    async def retry_job(
        self, job_id: JobId, *, from_start: bool = False, actor: UserId | None = None
    ) -> Job:
        """Queue a failed or cancelled job again, from its checkpoint unless *from_start*.

        Raises:
            JobNotFoundError: there is none.
            InvalidTransitionError: it is neither failed nor cancelled.
            OptionsRemovedError: its options are no longer kept.
            ProjectBusyError: another exclusive job of its project is active.
        """
        self._refuse_when_stopping()
        return await self._ledger.record(
            job_id, lambda job: self._retried(job, from_start=from_start), actor
        )

    async def start_job(self, job_id: JobId, *, actor: UserId | None = None) -> Job:
        """Release a held job, one whose start time has not come, or one in its back-off, now.

        Where the line of an exclusive type is full, the job is released and waits for a place.

        Raises:
            JobNotFoundError: there is none.
            InvalidTransitionError: it waits for none of these, or follows a running job.
        """
        return await self._ledger.record(job_id, self._released, actor)

    async def revise_job(
        self,
        job_id: JobId,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        if_version: int | None = None,
        actor: UserId | None = None,
    ) -> Job:
        """Change the priority or the labels (replaced whole) of a job that waits.

        Raises:
            JobNotFoundError: there is none.
            VersionMismatchError: it is not at *if_version*.
            InvalidTransitionError: it does not wait.
            ValidationError: the new value is wrong.
        """

        def decide(job: Job) -> Decision:
            if if_version is not None and job.version != if_version:
                raise VersionMismatchError(job_id, job.version)
            faults = list(check_labels(labels or {}))
            if priority is not None:
                faults += check_priority(job.user_id, priority, self._board.slots.limits)
            if faults:
                raise ValidationError(faults)
            moves = priority is not None and job.status is JobStatus.QUEUED
            key = self._board.make_key(job, priority) if moves else None
            return job, [Revise(priority=priority, labels=labels, key=key)]

        return await self._ledger.record(job_id, decide, actor)

    async def update_job_status(self, job_id: JobId, status: JobStatus) -> Job:
        """Take the one edge that leads from the job's status to *status*.

        Running is refused: only the scheduler starts jobs, since every run has to win a slot.
        A job that runs is told to stop, and is completed or failed once its task has ended; until
        then this waits, so that nothing starts beside it.

        Raises:
            JobNotFoundError: there is none.
            InvalidTransitionError: there is no such edge, or it is not the caller's to take; or
                a run that was to end so ended otherwise.
            ProjectBusyError: another exclusive job of its project is active.
            StoppingError: the server stops before the task has ended.
        """
        wanted = JobStatus(status)

        def decide(job: Job) -> Decision:
            if (decision := self._decision_for(job, wanted)) is None:
                raise _no_way(job, wanted)
            return decision

        job = await self._ledger.load(job_id)
        if job.status is JobStatus.RUNNING and wanted in _ENDS_OF_RUNS:
            return await self._end_run(job, wanted)
        if job.status is JobStatus.RUNNING and wanted is JobStatus.CANCELLED:
            return await self.cancel_job(job_id)
        return await self._ledger.record(job_id, decide)

    async def clean_up_jobs(
        self, older_than_seconds: float, statuses: frozenset[JobStatus], *, dry_run: bool = False
    ) -> Cleanup:
        """Delete the final jobs that finished so long ago, with their log; or only count them.

        It goes by batches, each a transaction, and ends early when the server stops.
        """
        return await self._retention.clean_up(
            older_than_seconds,
            statuses,
            dry_run=dry_run,
            is_stopping=lambda: self._board.reasons.is_stopping,
        )

    def wait(
        self, job_id: JobId, until: Callable[[Job], bool], timeout: float
    ) -> Coroutine[Any, Any, Job]:
        """Return the job once *until* holds for it, or it is done, or the time is up.

        Returns at once when that is so already, and when the server is stopping.

        Raises:
            JobNotFoundError: there is none.
        """
        # No coroutine of its own: ten thousand who wait would each pay for its frame.
        return self._waiting_room.wait(job_id, until, timeout)

    def queue_status(self, job: Job) -> QueueStatus | None:
        """Say where a waiting job stands and why it waits; None for one that does not wait."""
        return self._waiting_room.status(job)

    def place(self, job: Job) -> tuple[int, int | None, tuple[str, ...]] | None:
        """Return how many wait, a waiting job's rank among them and its reasons, as they are now.

        It may be ahead of the tag, which moves on at most once a second. None for a job that
        does not wait.
        """
        if not job.status.is_waiting:
            return None
        return (len(self._board.queue), *self._waiting_room.place(job))

    def tag(self, job: Job) -> str:
        """Return what identifies the job's document: its version, and the queue's revision.

        The second part is there while the job waits: its place and reasons change without it.
        """
        return self._waiting_room.tag(job)

    def subscribe(self, wants: Callable[[Job], bool]) -> Subscription:
        """Open a stream of the committed changes of the jobs that *wants* accepts."""
        return self._board.notifier.subscribe(wants)

    @property
    def slots(self) -> SlotUse:
        """Who holds what now."""
        return self._board.slots.snapshot()

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._board.slots.limits

    @property
    def pauses(self) -> Pauses:
        """What is paused, and whether the server drains."""
        return self._board.pauses

    @property
    def suspect_run(self) -> SuspectRun | None:
        """The suspect of a crash that keeps all others waiting; None where there is none."""
        return self._board.reasons.find_suspect_run()

    def list_hosts_down(self, user_id: UserId | None = None) -> Sequence[HostDown]:
        """List the code hosts that do not answer, the longest first.

        With *user_id* only those that queued jobs of the user wait for, and these jobs counted.
        """
        board = self._board
        found = []
        for outage in board.outages:
            jobs = board.find_waiting(outage.key)
            waiting = sum(user_id in {None, job.user_id} for job in jobs)
            if waiting or user_id is None:
                found.append(
                    HostDown(
                        host=outage.host,
                        code=outage.code,
                        since=outage.since,
                        until=outage.until,
                        waiting=waiting,
                    )
                )
        return found

    def list_hosts(self) -> dict[str, bool]:
        """Return the code hosts that unfinished jobs ask, and whether each answers."""
        keys = {each.key for job in self._board.live for each in job.limits}
        hosts = {host: True for key in keys if (host := host_of(key)) is not None}
        return hosts | {outage.host: False for outage in self._board.outages}

    def find_longest_wait(self) -> float:
        """Return how many seconds the job waits that was queued first; 0 where none does."""
        queued = [
            job.queued_at
            for job in self._board.live
            if job.status is JobStatus.QUEUED and job.queued_at is not None
        ]
        if not queued:
            return 0.0
        return max(0.0, (self._board.clock.now() - min(queued)).total_seconds())

    async def set_controls(
        self,
        *,
        limits: Limits | Callable[[Limits], Limits] | None = None,
        pauses: Pauses | Callable[[Pauses], Pauses] | None = None,
    ) -> None:
        """Put other limits or pauses in force, and keep them over restarts.

        A function is called with those in force when its turn has come: of two changes at a time
        neither is lost. What it raises is raised, and nothing is changed.
        """
        async with self._controls:
            board = self._board
            new_limits = limits(board.slots.limits) if callable(limits) else limits
            new_pauses = pauses(board.pauses) if callable(pauses) else pauses
            kept, _ = await self._kept_controls.load_controls()
            await self._kept_controls.save_controls(new_limits or kept, new_pauses or board.pauses)
            if new_limits is not None:
                board.set_limits(new_limits)
            if new_pauses is not None:
                board.set_pauses(new_pauses)

    def begin_stop(self) -> None:
        """Refuse new work and wake everybody who waits."""
        self._board.begin_stop()

    def _refuse_when_stopping(self) -> None:
        if self._board.reasons.is_stopping:
            raise StoppingError

    def _released(self, job: Job) -> Decision:
        if job.status is JobStatus.CREATED and job.place is Place.FOLLOWER:
            raise InvalidTransitionError(
                job_id=job.job_id, status="waiting for the running job", event="start"
            )
        if job.joins and self._board.families.is_waiting(job):
            if job.hold:
                return job, [Revise(release=True, reason=_STARTED)]
            raise InvalidTransitionError(
                job_id=job.job_id, status="waiting for its children", event="start"
            )
        if job.status is JobStatus.CREATED:
            return job, self._ledger.entry(job, _STARTED, on_request=True)
        if job.retry_at is not None and job.status is JobStatus.QUEUED:
            return job, [Revise(end_backoff=True, reason=_STARTED)]
        raise InvalidTransitionError(job_id=job.job_id, status=job.status, event="start")

    def _retried(self, job: Job, *, from_start: bool) -> Decision:
        is_retryable = job.status in {JobStatus.FAILED, JobStatus.CANCELLED}
        if job.lacks_options and is_retryable:
            raise OptionsRemovedError(job.job_id)
        place = Place.HEAD if self._board.is_exclusive(job) else None
        head = self._board.head_of(job)
        if place is not None and head is not None and is_retryable:
            raise ProjectBusyError(job.project_id, head.job_id)
        key = self._board.make_key(job)
        return job, [Retry(key=key, from_start=from_start, place=place)]

    def _decision_for(self, job: Job, status: JobStatus) -> Decision | None:
        match job.status, status:
            case JobStatus.CREATED, JobStatus.QUEUED:
                return self._released(job)
            case JobStatus.CREATED | JobStatus.QUEUED, JobStatus.CANCELLED:
                now = self._board.clock.now()
                return job, [Cancel(error=make_error("CANCELLED", "cancelled on request", at=now))]
            case JobStatus.FAILED | JobStatus.CANCELLED, JobStatus.QUEUED:
                return self._retried(job, from_start=False)
            case _:
                return None

    async def _end_run(self, job: Job, status: JobStatus) -> Job:
        run = ActiveRun(job_id=job.job_id, run=job.run)
        self._recorder.override_end(run, self._ending_for(status))

        def is_over(now: Job) -> bool:
            return now.status is not JobStatus.RUNNING or now.run != run.run

        while not is_over(job):
            self._refuse_when_stopping()
            # Asked again: at first its task may not be there yet.
            self._board.stop_run(job)
            job = await self._waiting_room.wait(job.job_id, is_over, _ASK_AGAIN_SECONDS)
        if job.status is not status:
            raise _no_way(job, status)
        return job

    def _ending_for(self, status: JobStatus) -> Ending:
        if status is JobStatus.COMPLETED:
            return Succeeded({})
        now = self._board.clock.now()
        return Broke(make_error("HANDLER_ERROR", "failed on request", at=now), None)


def _no_way(job: Job, status: JobStatus) -> InvalidTransitionError:
    return InvalidTransitionError(
        job_id=job.job_id, status=job.status, event=f"a change to {status}"
    )
