"""Counts over everything stored, and what is in use now."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from aiohttp import web

from cidx_jobs import __version__
from cidx_jobs.engine.operator_rules import FINAL
from cidx_jobs.engine.upkeep.disk import free_bytes_of
from cidx_jobs.engine.upkeep.retention import RetentionTimes
from cidx_jobs.model.findings import Recovery
from cidx_jobs.model.limits import Pauses
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.system import JobSystem
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.admin.retention import ExpiringProjectDocument, RetentionDocument
from cidx_jobs.wire.server import (
    HostDownDocument,
    PausesDocument,
    QuantilesDocument,
    ResourceUseDocument,
    SlotUseDocument,
    StatsDocument,
    UserBytesDocument,
)

_SAMPLE = 200
"""How many finished jobs the waits and durations are made of."""

_EXAMPLE = StatsDocument(
    database_id=examples.DATABASE_ID,
    version=__version__,
    by_status={"completed": 120, "running": 12, "queued": 10},
    by_type={"repository_sync": 142},
    by_user={"alice": 100, "bob": 42},
    wait_seconds=QuantilesDocument(p50=0.4, p95=31.0),
    run_seconds=QuantilesDocument(p50=12.5, p95=180.0),
    sample=120,
    slots=SlotUseDocument(
        running=12,
        max_running_total=50,
        max_running_per_user=10,
        users={"alice": 10, "bob": 2},
        resources={"git": ResourceUseDocument(used=3, limit=5, waiting=0)},
    ),
    pauses=PausesDocument.of(Pauses()),
    hosts_down=(
        HostDownDocument(
            host="git.example.org",
            code="NET-002",
            since=examples.at(0, 0),
            until=examples.at(0, 5),
            waiting=3,
        ),
    ),
    oldest_wait_seconds=31.5,
    waiters=4,
    bytes_by_user={"alice": UserBytesDocument(projects=52_428_800, jobs=409_600)},
    disk_free_bytes=107_374_182_400,
    database_bytes=1_048_576,
    wal_bytes=65_536,
    last_seq=1022,
    recovery=Recovery(),
    last_backup_at=examples.at(0, 0),
    retention=RetentionDocument(
        seconds_by_status={"completed": 604_800, "failed": 1_209_600, "cancelled": 604_800},
        seconds_by_type={"repository_sync": 86_400},
        payload_seconds=86_400,
        project_seconds=7_776_000,
        projects_expiring=1,
        expiring=(
            ExpiringProjectDocument(
                user_id=examples.ALICE, project_id=examples.PROJECT_ID, bytes=1_048_576
            ),
        ),
    ),
)


@route("GET /admin/stats", ADMIN, scope="audit", replies=[Reply(200, "The counts.", _EXAMPLE)])
async def get_stats(call: Call) -> web.Response:
    """Count what is stored and what is in use."""
    jobs, manager = call.api.jobs, call.manager
    stats = await jobs.persistence.jobs.collect_stats()
    finished = JobQuery(statuses=FINAL, limit=_SAMPLE)
    ended = (await manager.query_jobs(finished)).jobs
    return call.answer(
        StatsDocument(
            database_id=stats.database_id,
            version=__version__,
            by_status=dict(stats.by_status),
            by_type=dict(stats.by_type),
            by_user=dict(stats.by_user),
            wait_seconds=_quantiles([_seconds(job.queued_at, job.started_at) for job in ended]),
            run_seconds=_quantiles([_seconds(job.started_at, job.finished_at) for job in ended]),
            sample=len(ended),
            slots=_slots(call),
            pauses=PausesDocument.of(manager.pauses),
            hosts_down=tuple(map(HostDownDocument.like, manager.list_hosts_down())),
            oldest_wait_seconds=manager.find_longest_wait(),
            waiters=call.api.waiters.count,
            bytes_by_user=await _bytes_by_user(jobs, stats.bytes_by_user),
            disk_free_bytes=await in_own_thread(free_bytes_of, jobs.settings.data_dir),
            database_bytes=stats.database_bytes,
            wal_bytes=stats.wal_bytes,
            last_seq=stats.last_sequence,
            recovery=jobs.recovery,
            last_backup_at=await jobs.backups.find_newest(),
            retention=await _retention(jobs),
        )
    )


async def _bytes_by_user(
    jobs: JobSystem, of_jobs: Mapping[str, int]
) -> dict[str, UserBytesDocument]:
    taken: Counter[str] = Counter()
    for project in await jobs.persistence.projects.list_projects(None):
        taken[project.user_id] += (project.repository_bytes or 0) + (project.index_bytes or 0)
    return {
        user_id: UserBytesDocument(projects=taken[user_id], jobs=of_jobs.get(user_id, 0))
        for user_id in sorted({*+taken, *of_jobs})
    }


async def _retention(jobs: JobSystem) -> RetentionDocument:
    times = RetentionTimes.of(jobs.settings)
    return RetentionDocument.of(
        by_status={status.value: each for status, each in times.by_status.items()},
        by_type=times.by_type,
        payload_seconds=times.payload_seconds,
        project_seconds=jobs.settings.project_retention_seconds,
        expiring=await jobs.list_expiring_projects(),
    )


def _slots(call: Call) -> SlotUseDocument:
    use = call.manager.slots
    return SlotUseDocument(
        running=use.running,
        max_running_total=use.max_running_total,
        max_running_per_user=use.max_running_per_user,
        users={str(user_id): held for user_id, held in use.users.items()},
        resources={name: ResourceUseDocument.like(one) for name, one in use.resources.items()},
    )


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    if begin is None or end is None:
        return None
    return max(0.0, (end - begin).total_seconds())


def _quantiles(values: Sequence[float | None]) -> QuantilesDocument:
    known = sorted(value for value in values if value is not None)
    if not known:
        return QuantilesDocument(p50=None, p95=None)
    last = len(known) - 1
    return QuantilesDocument(p50=known[last // 2], p95=known[round(last * 0.95)])
