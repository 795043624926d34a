"""How every change of a job is stored: load, rule, one transaction, publish, return.

Nobody else writes jobs. A change that somebody else beat to the row is decided again on the
row as it is now.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from operator import attrgetter

import msgspec
from msgspec.structs import replace

from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.errors import JobNotFoundError, StaleVersionError
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.events import Enqueue, Event, Revise
from cidx_jobs.model.job.job import QUEUED, Job, Place, Transition
from cidx_jobs.model.job.lifecycle import advance
from cidx_jobs.model.listing import Change, IdempotencyRecord, Project
from cidx_jobs.model.schedules.schedule import ScheduleState

STORE_AGAIN_SECONDS = 0.5
"""How often the engine tries again what it owes and the store could not take."""

Decision = tuple[Job, Sequence[Event]]
"""The job (with members that are no edge's business already set) and the edges to take."""


_job_of = attrgetter("job")
_status_of = attrgetter("status")


class _Publishing(msgspec.Struct, frozen=True):
    """What is told of a commit: of its two ends one, once."""

    board: Board
    jobs: Sequence[Job]
    arriving: int
    schedule: ScheduleState | None
    on_commit: Callable[[], None] | None
    on_refuse: Callable[[], None] | None

    def tell(self, rows: Sequence[Transition]) -> None:
        """Let the memory follow what is stored."""
        try:
            self.board.apply(self.jobs, rows)
            if self.schedule is not None:
                self.board.schedules.put(self.schedule)
        finally:
            self.board.arriving -= self.arriving
            if self.on_commit is not None:
                self.on_commit()

    def give_up(self) -> None:
        """Nothing is stored."""
        self.board.arriving -= self.arriving
        if self.on_refuse is not None:
            self.on_refuse()


class JobLedger:
    """Loads jobs, takes them along edges of the state machine, and stores that."""

    def __init__(self, store: JobStore, board: Board) -> None:
        """Take the store, which is the truth, and the board, which follows it."""
        self._store = store
        self._board = board

    async def load(self, job_id: JobId) -> Job:
        """Return the job as it was last committed.

        Raises:
            JobNotFoundError: there is none.
        """
        job = self._board.live.find(job_id) or await self._store.load_job(job_id)
        if job is None:
            raise JobNotFoundError(job_id)
        return job

    async def record(
        self,
        job_id: JobId,
        decide: Callable[[Job], Decision | None],
        actor: UserId | None = None,
    ) -> Job:
        """Take the job along the edges that *decide* chooses, in one transaction; tell of it.

        *decide* may be called more than once, each time with the job as it is then, and may
        raise; with None nothing is changed. *actor* is who asks; None for the server itself.

        Raises:
            JobNotFoundError: there is no such job.
            InvalidTransitionError: the job's status has no such edge; nothing is changed.
        """
        while True:
            job = self._board.live.find(job_id) or await self.load(job_id)
            decision = decide(job)
            if decision is None:
                return job
            change = self.advance(job, *decision, actor=actor)
            changes = self.with_line(change, job)
            try:
                await self.commit(changes)
            except StaleVersionError:
                for each in changes:
                    await self.reload(each.job.job_id)
                continue
            return change.job

    def advance(
        self,
        before: Job | None,
        job: Job,
        events: Sequence[Event],
        now: datetime | None = None,
        actor: UserId | None = None,
    ) -> Change:
        """Return the change that takes *job* along the events, at this moment if *now* is None.

        *before* is what the row holds now (*job* may have other members set already); None for
        a job that is not stored yet. *actor* is who asks; None for the server itself.
        """
        at = now or self._board.clock.now()
        rows: list[Transition] = []
        for event in events:
            job, row = advance(job, event, at, actor)
            rows.append(row)
        return Change(
            job=job,
            base_version=0 if before is None else before.version,
            transitions=tuple(rows),
            before=before,
            drops_checkpoint=bool(before and before.checkpoint and not job.checkpoint),
        )

    def with_line(self, change: Change, before: Job) -> list[Change]:
        """Return the change with what it means for the others in the line of its job.

        It is part of the same transaction, so that a line never stands without a head while
        somebody waits in it.
        """
        job = change.job
        if before.place is None and job.place is None:
            return [change]
        head, follower = self._board.head_of(before), self._board.follower_of(before)
        if before.place is Place.HEAD and job.place is not Place.HEAD and follower is not None:
            moved_up = self.advance(follower, follower, [self.promotion(follower)])
            if job.done:
                return [change, moved_up]
            return [moved_up, replace(change, leaves_place=True)]
        if job.place is Place.HEAD and head is not None and head.job_id != job.job_id:
            moved_back = self.move_back(head)
            if before.place is Place.FOLLOWER:
                return [change, replace(moved_back, leaves_place=True)]
            return [moved_back, change]
        return [change]

    def move_back(self, head: Job) -> Change:
        """Return the change by which a head between two attempts lets a newer job go first."""
        event = Revise(place=Place.FOLLOWER, reason="a newer one goes first")
        return self.advance(head, head, [event])

    def entry(self, job: Job, reason: str, *, on_request: bool = False) -> Sequence[Event]:
        """Return how a created job that is due comes into the queue, or into its line.

        A line that is full is left as it is: without a place the job waits for one. *On request*
        its hold and its start time are taken off.
        """
        place, head, follower = None, None, None
        if self._board.is_exclusive(job):
            place = Place.HEAD
            head, follower = self._board.head_of(job), self._board.follower_of(job)
        if head is None or (head.is_between_attempts and follower is None):
            return [Enqueue(key=self._board.make_key(job), place=place, reason=reason)]
        if follower is None:
            return [Revise(place=Place.FOLLOWER, release=on_request, reason=reason)]
        return [Revise(release=True, reason=reason)] if on_request else []

    def commit(
        self,
        changes: Sequence[Change],
        idempotency: IdempotencyRecord | None = None,
        project: Project | None = None,
        schedule: ScheduleState | None = None,
        *,
        projects: Sequence[Project] = (),
        on_commit: Callable[[], None] | None = None,
        on_refuse: Callable[[], None] | None = None,
    ) -> Awaitable[object]:
        """Store the changes in one transaction; memory and waiters follow after the commit.

        What several requests say of their *projects* is given in place of one's *project*.

        *on_commit* is called once the memory has followed, or *on_refuse* once nothing was
        stored: one of the two, once, also when the caller is cancelled meanwhile.

        Raises:
            StaleVersionError: somebody else was first; nothing is changed.
            StaleScheduleError: the same, of the schedule.
        """
        jobs = tuple(map(_job_of, changes))
        arriving = [*map(_status_of, jobs)].count(QUEUED)
        publishing = _Publishing(self._board, jobs, arriving, schedule, on_commit, on_refuse)
        self._board.arriving += arriving
        return self._store.save_changes(
            changes,
            idempotency=idempotency,
            projects=projects if project is None else [project],
            schedule=schedule,
            on_commit=publishing.tell,
            on_refuse=publishing.give_up,
        )

    async def reload(self, job_id: JobId) -> None:
        """Bring the memory up to the store, which was ahead of what a change was made from.

        The writer's commits reach the memory in their order before a refusal reaches its
        caller, so that this finds something new only after a fault; it costs one read.
        """
        job = await self._store.load_job(job_id)
        if job is not None:
            self._board.apply([job], [])

    def promotion(self, follower: Job) -> Event:
        """Return the event by which a follower becomes the head of its line."""
        if follower.status is QUEUED:
            return Revise(place=Place.HEAD, reason="first in line")
        key = self._board.make_key(follower)
        return Enqueue(key=key, place=Place.HEAD, reason="first in line")
