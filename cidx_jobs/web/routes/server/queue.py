"""The queue as a caller sees it: limits, slots in use, and their waiting jobs."""

from aiohttp import web
from msgspec.structs import replace

from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Group, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.wire.job_parts import QueueDocument
from cidx_jobs.wire.server import (
    HostDownDocument,
    LimitsDocument,
    QueueOverviewDocument,
    RecoveringDocument,
    SlotsDocument,
    WaitingJobDocument,
)

QUEUE = Group("queue", "Limits, places in the queue, and job types.")

MAX_WAITING_SHOWN = 1_000
_WAITING = frozenset({JobStatus.CREATED, JobStatus.QUEUED})
_LAST = 2**63


_EXAMPLE = QueueOverviewDocument(
    limits=examples.LIMITS,
    running=SlotsDocument(user=10, total=12, resources={"git": 3, "indexing": 9}),
    queued=10,
    jobs=(
        WaitingJobDocument(
            job_id=examples.JOB_ID,
            job_type="repository_sync",
            project_id=examples.PROJECT_ID,
            status=JobStatus.QUEUED,
            priority=5,
            queue=QueueDocument.of(examples.PLACE),
        ),
    ),
)


@route(
    "GET /queue",
    QUEUE,
    scope="read",
    replies=[Reply(200, "The queue as the caller sees it.", _EXAMPLE)],
)
async def get_queue(call: Call) -> web.Response:
    """Read the limits, the slots in use, and the caller's waiting jobs."""
    manager = call.manager
    own = JobQuery(user_id=call.user_id, statuses=_WAITING, limit=MAX_WAITING_SHOWN)
    waiting = (await manager.query_jobs(own)).jobs
    queued = JobQuery(statuses=frozenset({JobStatus.QUEUED}), limit=1)
    total = (await manager.query_jobs(queued)).total
    jobs = sorted((_waiting_job(call, job) for job in waiting), key=_rank)
    return call.answer(
        QueueOverviewDocument(
            limits=_own_limits(call),
            running=_own_slots(call),
            queued=total,
            jobs=tuple(jobs),
            recovering=_recovering(call),
            hosts_down=tuple(map(HostDownDocument.like, manager.list_hosts_down(call.user_id))),
        )
    )


def _waiting_job(call: Call, job: Job) -> WaitingJobDocument:
    place = call.manager.queue_status(job)
    return WaitingJobDocument.like(job, queue=QueueDocument.of(place) if place else None)


def _rank(waiting: WaitingJobDocument) -> tuple[int, str]:
    position = waiting.queue.position if waiting.queue else None
    return _LAST if position is None else position, waiting.job_id


def _own_limits(call: Call) -> LimitsDocument:
    limits = call.manager.limits
    own = limits.user_max_priorities.get(call.user_id, limits.max_priority)
    return replace(LimitsDocument.of(limits), max_priority=own, user_max_priorities={})


def _own_slots(call: Call) -> SlotsDocument:
    use = call.manager.slots
    return SlotsDocument(
        user=use.users.get(call.user_id, 0),
        total=use.running,
        resources={name: one.used for name, one in use.resources.items()},
    )


def _recovering(call: Call) -> RecoveringDocument | None:
    alone = call.manager.suspect_run
    if alone is None:
        return None
    may_see = call.caller.sees_everybody or alone.user_id == call.user_id
    return RecoveringDocument(
        until=alone.until, suspects=alone.suspects, job_id=alone.job_id if may_see else None
    )
