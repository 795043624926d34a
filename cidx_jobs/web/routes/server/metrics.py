"""Metrics of the server, for Prometheus and whatever reads its text."""

import platform

from aiohttp import web

from cidx_jobs import __version__
from cidx_jobs.engine.upkeep.disk import free_bytes_of
from cidx_jobs.model.errors import ExtraMissingError
from cidx_jobs.model.late_imports import import_late
from cidx_jobs.observe.figures import Figures
from cidx_jobs.observe.logs import count_dropped_lines
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.meters import MAX_VALUES, OTHER
from cidx_jobs.web.http.answer import answer_headers
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.routes.server.health import HEALTH

_PLAIN = "text/plain"
_OPEN = "application/openmetrics-text"
_ALL_SLOTS = "jobs"
_EXAMPLE = 'cidx_jobs_jobs{job_type="repository_sync",status="running"} 3.0\n'


@route(
    "GET /metrics",
    HEALTH,
    scope="audit",
    about="Open to everybody where the setting `metrics_open` says so. No user is named in them.",
    replies=[
        Reply(
            200,
            "The metrics.",
            media={
                _PLAIN: ({"type": "string"}, _EXAMPLE),
                _OPEN: ({"type": "string"}, _EXAMPLE + "# EOF\n"),
            },
        )
    ],
    errors=[ExtraMissingError],
)
async def get_metrics(call: Call) -> web.Response:
    """Read the server's metrics, in the text of Prometheus or of OpenMetrics.

    Raises:
        ExtraMissingError: the extra ``metrics`` is not installed.
        StoppingError: the server is closing, and what is counted goes away.
    """
    writer = import_late("cidx_jobs.observe.exposition")
    figures = await _collect(call)
    is_open = _OPEN in call.request.headers.get("Accept", "")
    # The text of many series takes long enough for others to notice.
    body, kind = await in_own_thread(
        writer.write_metrics, call.api.jobs.meters, figures, is_open=is_open
    )
    return web.Response(body=body, headers=answer_headers(kind, call.request_id))


async def _collect(call: Call) -> Figures:
    jobs, manager = call.open_jobs, call.manager
    stats = await jobs.persistence.jobs.collect_stats()
    slots = manager.slots
    now = jobs.clock.now()
    newest = jobs.backups.newest
    return Figures(
        jobs=dict(stats.by_status_and_type),
        oldest_seconds=manager.find_longest_wait(),
        slots={
            _ALL_SLOTS: (slots.running, slots.max_running_total),
            **{name: (one.used, one.limit) for name, one in slots.resources.items()},
        },
        hosts=bounded_hosts(manager.list_hosts()),
        waiters=call.api.waiters.count,
        database_bytes=stats.database_bytes,
        wal_bytes=stats.wal_bytes,
        free_bytes=await in_own_thread(free_bytes_of, jobs.settings.data_dir),
        backup_age_seconds=None if newest is None else max(0.0, (now - newest).total_seconds()),
        backup_failures=jobs.backups.failures,
        lines_dropped=count_dropped_lines(),
        info={
            "version": __version__,
            "python": platform.python_version(),
            "database_id": stats.database_id,
        },
    )


def bounded_hosts(hosts: dict[str, bool]) -> dict[str, bool]:
    """Return the hosts; beyond so many, one word for the rest, which is up if all of it is."""
    names = sorted(hosts)
    shown = {name: hosts[name] for name in names[:MAX_VALUES]}
    rest = [hosts[name] for name in names[MAX_VALUES:]]
    return {**shown, OTHER: all(rest)} if rest else shown
