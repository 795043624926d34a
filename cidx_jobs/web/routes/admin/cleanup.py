"""The deletion of old finished jobs on request."""

from aiohttp import web

from cidx_jobs.engine.operator_rules import FINAL, check_cleanup
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.request_bodies import CleanupBody
from cidx_jobs.wire.server import CleanupDocument


@route(
    "POST /admin/cleanup",
    ADMIN,
    scope="admin",
    body=CleanupBody,
    body_example={"older_than_seconds": 86_400, "statuses": ["completed"], "dry_run": True},
    about="It deletes in batches, each a transaction: submits go on meanwhile.",
    replies=[
        Reply(
            200,
            "How many there were, and how many are gone.",
            CleanupDocument(matched=120, deleted=120, dry_run=False),
        )
    ],
)
async def clean_up(call: Call, body: CleanupBody) -> web.Response:
    """Delete finished jobs that are old enough, with their events."""
    check_cleanup(body.older_than_seconds, body.statuses or ())
    found = await call.manager.clean_up_jobs(
        body.older_than_seconds,
        FINAL if body.statuses is None else frozenset(body.statuses),
        dry_run=body.dry_run,
    )
    if not body.dry_run:
        await call.note_act("jobs_cleaned_up", f"{found.deleted} jobs")
    return call.answer(
        CleanupDocument(matched=found.matched, deleted=found.deleted, dry_run=body.dry_run)
    )
