"""The five beats of every change: load, rule, one transaction, publish, return.

Nobody else writes jobs. A change that somebody else beat to the row is decided again on the
row as it is now.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.errors import JobNotFoundError, StaleVersionError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.events import Enqueue, Event, Revise
from cidx_jobs.model.job.job import Job, Place, Transition
from cidx_jobs.model.job.lifecycle import advance
from cidx_jobs.model.listing import Change, IdempotencyRecord, Project

STORE_AGAIN_SECONDS = 0.5
"""How often the engine tries again what it owes and the store could not take."""

Decision = tuple[Job, Sequence[Event]]
"""The job (with members that are no edge's business already set) and the edges to take."""


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

    async def record(self, job_id: JobId, decide: Callable[[Job], Decision | None]) -> Job:
        """Take the job along the edges that *decide* chooses, in one transaction; tell of it.

        *decide* may be called more than once, each time with the job as it is then, and may
        raise; with None nothing is changed.

        Raises:
            JobNotFoundError: there is no such job.
            InvalidTransitionError: the job's status has no such edge; nothing is changed.
        """
        while True:
            job = await self.load(job_id)
            decision = decide(job)
            if decision is None:
                return job
            change = self.advance(job, *decision)
            changes = self.with_promotion([change], job)
            try:
                await self.commit(changes)
            except StaleVersionError:
                for each in changes:
                    await self.reload(each.job.job_id)
                continue
            return change.job

    def advance(
        self, before: Job | None, job: Job, events: Sequence[Event], now: datetime | None = None
    ) -> Change:
        """Return the change that takes *job* along the events, at this moment if *now* is None.

        *before* is what the row holds now (*job* may have other members set already); None for
        a job that is not stored yet.
        """
        at = now or self._board.clock.now()
        rows: list[Transition] = []
        for event in events:
            job, row = advance(job, event, at)
            rows.append(row)
        return Change(
            job=job,
            base_version=0 if before is None else before.version,
            transitions=tuple(rows),
            before=before,
            drops_checkpoint=bool(before and before.checkpoint and not job.checkpoint),
        )

    def with_promotion(self, changes: list[Change], head: Job) -> list[Change]:
        """Add the promotion of who follows *head*, if the changes end it.

        It is part of the same transaction, so that a project's line never stands without a
        head while somebody waits in it.
        """
        if head.place is not Place.HEAD or not changes[0].job.done:
            return changes
        follower = self._board.live.in_place(head.user_id, head.project_id, Place.FOLLOWER)
        if follower is None or any(change.job.job_id == follower.job_id for change in changes):
            return changes
        return [*changes, self.advance(follower, follower, [self.promotion(follower)])]

    async def commit(
        self,
        changes: Sequence[Change],
        idempotency: IdempotencyRecord | None = None,
        project: Project | None = None,
        *,
        on_commit: Callable[[], None] | None = None,
        on_refuse: Callable[[], None] | None = None,
    ) -> None:
        """Store the changes in one transaction; memory and waiters follow after the commit.

        *on_commit* is called once the memory has followed, or *on_refuse* once nothing was
        stored: one of the two, once, also when the caller is cancelled meanwhile.

        Raises:
            StaleVersionError: somebody else was first; nothing is changed.
        """
        jobs = [change.job for change in changes]

        def tell(rows: Sequence[Transition]) -> None:
            try:
                self._board.apply(jobs, rows)
            finally:
                if on_commit is not None:
                    on_commit()

        await self._store.save_changes(
            changes, idempotency=idempotency, project=project, on_commit=tell, on_refuse=on_refuse
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
        """Return the event by which a follower becomes the head of its project's line."""
        due = follower.start_at is not None and follower.start_at > self._board.clock.now()
        if follower.hold or due:
            return Revise(place=Place.HEAD, reason="first in line")
        key = self._board.make_key(follower)
        return Enqueue(key=key, place=Place.HEAD, reason="first in line")
