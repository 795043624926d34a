"""Backups: made on request, and listed."""

from aiohttp import web

from cidx_jobs.model.errors import BackupFailedError
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.admin.backups import BackupDocument, BackupListDocument

_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_EXAMPLE = BackupDocument(
    file=f"/var/lib/cidx-jobs/backups/jobs-20260131T120000.000000Z-manual-{_SHA256}.db",
    bytes=1_048_576,
    sha256=_SHA256,
    sequence=1022,
    database_id=examples.DATABASE_ID,
    kind="manual",
    created_at=examples.at(0, 0),
)


@route(
    "GET /admin/backups",
    ADMIN,
    scope="audit",
    replies=[Reply(200, "All of them.", BackupListDocument(backups=(_EXAMPLE,)))],
)
async def list_backups(call: Call) -> web.Response:
    """List the backups, newest first."""
    found = await call.api.jobs.backups.list()
    return call.answer(BackupListDocument(backups=tuple(map(BackupDocument.of, found))))


@route(
    "POST /admin/backup",
    ADMIN,
    scope="admin",
    about="Everything goes on meanwhile. It holds all that was committed when it began, is on "
    "the disk and was checked when the answer comes. Copies and indexes of repositories are "
    "not in it: the next syncs make them again.",
    replies=[Reply(200, "The backup.", _EXAMPLE)],
    errors=[BackupFailedError],
)
async def make_backup(call: Call) -> web.Response:
    """Make a backup of the database now."""
    made = await call.api.jobs.backups.make()
    await call.note_act("backup_made", made.file)
    return call.answer(BackupDocument.of(made))
