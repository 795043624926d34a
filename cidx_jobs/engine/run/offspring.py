"""Children of a run: made once for each key, and joined without a slot."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs
from msgspec.structs import replace

from cidx_jobs.calls.arguments import read_submit
from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.model.errors import Fault, RunSuspended, StaleRunError, ValidationError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.outcome import find_result
from cidx_jobs.model.job.submit import JobTypeLike, Submission, SubmitRequest, name_of_type

MAX_DEPTH = 32
"""How many generations there may be."""
MAX_KEY_CHARACTERS = 255

_MEMBERS = frozenset(
    {
        "options",
        "priority",
        "max_attempts",
        "timeout_seconds",
        "start_at",
        "hold",
        "labels",
        "limits",
    }
)
"""What a run may say of a child."""


class Manager(Protocol):
    """What children are made and read by."""

    async def create_child(self, request: SubmitRequest) -> Submission:
        """Store a child."""

    async def get_job(self, job_id: JobId) -> Job:
        """Return the job as it was last committed."""


@attrs.define(eq=False)
class Offspring:
    """Makes and joins the children of one run."""

    _run: ActiveRun
    _job: Job
    _board: Board
    _find_manager: Callable[[], Manager]
    _max_children: int
    _making: dict[str, asyncio.Task[Job]] = attrs.field(factory=dict)

    async def submit(
        self, job_type: str | JobTypeLike[Any], project_id: str, *, key: Any, **members: Any
    ) -> Job:
        """Return the child of this key: made now, or before by this job.

        Raises:
            ValidationError: an argument is wrong, or there are too many children already.
            StaleRunError: the run is over.
        """
        if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARACTERS:
            raise ValidationError.at("/key", f"it is 1 to {MAX_KEY_CHARACTERS} characters")
        known = self._board.families.find(self._job.job_id, key)
        if known is not None:
            return await self._find_manager().get_job(known)
        making = self._making.get(key)
        if making is None:
            request = self._read(job_type, project_id, key, members)
            making = asyncio.create_task(self._make(request), name=f"child-{self._job.job_id}")
            self._making[key] = making
            making.add_done_callback(lambda _: self._making.pop(key, None))
        return await asyncio.shield(making)

    async def join(self, job_ids: Sequence[str]) -> Sequence[Job]:
        """Return these children, all of them if none is named, once all of them are done.

        Raises:
            RunSuspended: one is not done: the run ends, and begins again when they are.
            ValidationError: one is no child of this job.
        """
        own = self._board.families.list_children(self._job.job_id)
        wanted = own if not job_ids else [JobId(job_id) for job_id in job_ids]
        if strangers := set(wanted) - set(own):
            message = f"{min(strangers)} is no child of this job"
            raise ValidationError.at("/job_ids", message)
        unfinished = set(self._board.families.list_unfinished(self._job.job_id))
        if not unfinished.isdisjoint(wanted):
            raise RunSuspended(wanted)
        manager = self._find_manager()
        return [await manager.get_job(job_id) for job_id in wanted]

    async def map(
        self,
        job_type: str | JobTypeLike[Any],
        children: Mapping[str, object],
        *,
        project_id: str,
        **members: Any,
    ) -> list[Any]:
        """Return the results of the children of these keys, once all of them are done.

        Raises:
            RunSuspended: one is not done.
            JobFailedError: one failed; `JobCancelledError` where it was cancelled.
            ValidationError: an argument is wrong, or there are too many children already.
            StaleRunError: the run is over.
        """
        if not isinstance(children, Mapping):
            raise ValidationError.at("/children", "they are options by key")
        # The stages of a pipeline go through the same keys: each type has its own.
        name = name_of_type(job_type)
        made = await asyncio.gather(
            *(
                self.submit(name, project_id, key=f"{name}:{key}", options=options, **members)
                for key, options in children.items()
            ),
            return_exceptions=True,
        )
        job_ids = []
        for child in made:
            if isinstance(child, BaseException):
                raise child
            job_ids.append(child.job_id)
        # Without ids, it would be all that the job has.
        joined = await self.join(job_ids) if job_ids else ()
        return [find_result(child, job_type) for child in joined]

    def _read(
        self,
        job_type: str | JobTypeLike[Any],
        project_id: str,
        key: str,
        members: dict[str, Any],
    ) -> SubmitRequest:
        if unknown := members.keys() - _MEMBERS:
            raise ValidationError(Fault(f"/{name}", "there is no such member") for name in unknown)
        self._check_number()
        request = read_submit(
            user_id=self._job.user_id, project_id=project_id, job_type=job_type, **members
        )
        priority = self._job.priority if request.priority is None else request.priority
        return replace(
            request,
            priority=priority,
            parent_id=self._job.job_id,
            child_key=key,
            # That of the span of the run, where it has one; else the one it came with.
            traceparent=request.traceparent or self._job.traceparent,
        )

    def _check_number(self) -> None:
        counts = self._board.families.count(self._job.job_id)
        known = 0 if counts is None else counts.total
        if known + len(self._making) >= self._max_children:
            message = f"a job has at most {self._max_children} children (max_children)"
            raise ValidationError.at("/key", message)
        depth, above = 0, self._job.parent_id
        while above is not None:
            depth += 1
            parent = self._board.live.find(above)
            above = None if parent is None else parent.parent_id
        if depth >= MAX_DEPTH:
            raise ValidationError.at("/key", f"there are {MAX_DEPTH} generations already")

    async def _make(self, request: SubmitRequest) -> Job:
        now = self._board.live.find(self._job.job_id)
        if now is None or now.run != self._run.run or now.status is not JobStatus.RUNNING:
            raise StaleRunError(self._job.job_id, self._run.run)
        return (await self._find_manager().create_child(request)).job


def find_suspension(error: BaseException) -> RunSuspended | None:
    """Return the suspension that a run raised, also out of a task group; None for another end."""
    if isinstance(error, RunSuspended):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    found = [find_suspension(one) for one in error.exceptions]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    return RunSuspended(dict.fromkeys(job_id for one in known for job_id in one.joins))
