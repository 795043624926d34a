"""The drain of the server, as the client of CIDX calls it: maintenance."""

from typing import Any

from aiohttp import web

from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.routes.admin.pauses import look_at_drain, set_drain
from cidx_jobs.web.routes.cidx.documents import (
    DrainDocument,
    DrainTimeoutDocument,
    MaintenanceDocument,
)
from cidx_jobs.web.routes.cidx.groups import CIDX
from cidx_jobs.web.routes.jobs.job_list import show_rows
from cidx_jobs.wire.jobs import AdminJobDocument
from cidx_jobs.wire.request_bodies import LenientEmptyBody

_RUNNING = frozenset({JobStatus.RUNNING})
_MOST_SHOWN = 200

_ON = MaintenanceDocument(maintenance_mode=True, drained=False, running_jobs=2, queued_jobs=5)
_OFF = MaintenanceDocument(maintenance_mode=False, drained=False, running_jobs=2, queued_jobs=5)


@route(
    "POST /admin/maintenance/enter",
    CIDX,
    scope="admin",
    body=LenientEmptyBody,
    replies=[Reply(200, "How far it is.", _ON)],
)
async def enter_maintenance_of_cidx(call: Call, _: LenientEmptyBody) -> web.Response:
    """Refuse new jobs, start none, and finish what runs."""
    await set_drain(call, is_draining=True)
    return call.answer(MaintenanceDocument(**await _look(call)))


@route(
    "POST /admin/maintenance/exit",
    CIDX,
    scope="admin",
    body=LenientEmptyBody,
    replies=[Reply(200, "How far it is.", _OFF)],
)
async def exit_maintenance_of_cidx(call: Call, _: LenientEmptyBody) -> web.Response:
    """Take new jobs again."""
    await set_drain(call, is_draining=False)
    return call.answer(MaintenanceDocument(**await _look(call)))


@route(
    "GET /admin/maintenance/status",
    CIDX,
    scope="audit",
    replies=[Reply(200, "How far it is.", _OFF)],
)
async def get_maintenance_of_cidx(call: Call) -> web.Response:
    """Tell whether new jobs are refused."""
    return call.answer(MaintenanceDocument(**await _look(call)))


@route(
    "GET /admin/maintenance/drain-status",
    CIDX,
    scope="audit",
    replies=[
        Reply(
            200,
            "How far it is.",
            DrainDocument(
                maintenance_mode=True, drained=True, running_jobs=0, queued_jobs=5, jobs=()
            ),
        )
    ],
)
async def get_drain_of_cidx(call: Call) -> web.Response:
    """Tell how far the drain is, and what still runs."""
    page = await call.manager.query_jobs(JobQuery(statuses=_RUNNING, limit=_MOST_SHOWN))
    jobs = show_rows(call, page, AdminJobDocument)
    return call.answer(DrainDocument(**await _look(call), jobs=jobs))


@route(
    "GET /admin/maintenance/drain-timeout",
    CIDX,
    scope="audit",
    replies=[
        Reply(
            200,
            "The longest time-out.",
            DrainTimeoutDocument(recommended_drain_timeout_seconds=3_600),
        )
    ],
)
async def get_drain_timeout_of_cidx(call: Call) -> web.Response:
    """Tell how long what runs may take."""
    page = await call.manager.query_jobs(JobQuery(statuses=_RUNNING, limit=_MOST_SHOWN))
    longest = max((job.timeout_seconds for job in page.jobs), default=0)
    return call.answer(DrainTimeoutDocument(recommended_drain_timeout_seconds=int(longest)))


async def _look(call: Call) -> dict[str, Any]:
    now = await look_at_drain(call)
    return {
        "maintenance_mode": now.draining,
        "drained": now.drained,
        "running_jobs": now.running,
        "queued_jobs": now.waiting,
    }
