"""The server itself: its queue, its job types, and whether it is alive and ready."""

from aiohttp import web

from cidx_jobs.job_types import JobType
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.observe.health import find_reasons
from cidx_jobs.web.http.call import Api, Call
from cidx_jobs.web.http.problems import NotReadyError
from cidx_jobs.web.http.request import Query
from cidx_jobs.wire.job_parts import QueueDocument, plain
from cidx_jobs.wire.server import (
    AliveDocument,
    JobTypeDocument,
    JobTypeListDocument,
    LimitsDocument,
    QueueOverviewDocument,
    ReadyDocument,
    SlotsDocument,
    WaitingJobDocument,
)

MAX_WAITING_SHOWN = 1_000
_WAITING = frozenset({JobStatus.CREATED, JobStatus.QUEUED})
_LAST = 2**63


async def get_queue(call: Call) -> web.Response:
    """Give limits, slots in use, and the caller's waiting jobs with their positions."""
    Query(call.request, ())
    manager = call.manager
    own = JobQuery(user_id=call.user_id, statuses=_WAITING, limit=MAX_WAITING_SHOWN)
    waiting = (await manager.query_jobs(own)).jobs
    queued = JobQuery(statuses=frozenset({JobStatus.QUEUED}), limit=1)
    total = (await manager.query_jobs(queued)).total
    jobs = sorted((_waiting_job(call, job) for job in waiting), key=_rank)
    return call.answer(
        QueueOverviewDocument(
            limits=_own_limits(call), running=_own_slots(call), queued=total, jobs=tuple(jobs)
        )
    )


async def list_job_types(call: Call) -> web.Response:
    """Give the registered job types."""
    Query(call.request, ())
    types = call.api.jobs.job_types
    return call.answer(
        JobTypeListDocument(
            job_types=tuple(_job_type(call.api, types[name]) for name in sorted(types))
        )
    )


async def get_livez(call: Call) -> web.Response:
    """Say that the loop turns."""
    return call.answer(AliveDocument(status="alive"))


async def get_readyz(call: Call) -> web.Response:
    """Say whether the server takes work, and if not, why."""
    jobs = call.api.jobs
    reasons = find_reasons(
        is_open=jobs.is_open,
        is_stopping=jobs.is_stopping,
        is_draining=jobs.is_open and jobs.manager.pauses.draining,
        can_write=jobs.persistence.can_write,
    )
    if reasons:
        raise NotReadyError(reasons)
    warnings = tuple(warning.code for warning in await jobs.find_warnings())
    return call.answer(ReadyDocument(status="ready", reasons=(), warnings=warnings))


def _waiting_job(call: Call, job: Job) -> WaitingJobDocument:
    place = call.manager.queue_status(job)
    return WaitingJobDocument(
        job_id=job.job_id,
        job_type=job.job_type,
        project_id=job.project_id,
        status=job.status,
        priority=job.priority,
        queue=QueueDocument.of(place) if place else None,
    )


def _rank(waiting: WaitingJobDocument) -> tuple[int, str]:
    position = waiting.queue.position if waiting.queue else None
    return _LAST if position is None else position, waiting.job_id


def _own_limits(call: Call) -> LimitsDocument:
    limits = call.manager.limits
    return LimitsDocument(
        max_running_per_user=limits.max_running_per_user,
        max_running_total=limits.max_running_total,
        max_queued_per_user=limits.max_queued_per_user,
        max_queued_total=limits.max_queued_total,
        resources=dict(limits.resources),
        max_priority=limits.user_max_priorities.get(call.user_id, limits.max_priority),
        user_max_priorities={},
    )


def _own_slots(call: Call) -> SlotsDocument:
    use = call.manager.slots
    return SlotsDocument(
        user=use.users.get(call.user_id, 0),
        total=use.running,
        resources={name: one.used for name, one in use.resources.items()},
    )


def _job_type(api: Api, job_type: JobType) -> JobTypeDocument:
    settings = api.jobs.settings
    return JobTypeDocument(
        name=job_type.name,
        exclusive=job_type.exclusive,
        max_attempts=job_type.max_attempts or settings.default_max_attempts,
        timeout_seconds=plain(job_type.timeout_seconds or settings.default_timeout_seconds),
        on_interrupt=job_type.on_interrupt,
        resources=job_type.resources,
        options_schema=dict(job_type.describe_options()),
    )
