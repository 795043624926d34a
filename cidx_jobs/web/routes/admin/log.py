"""The admin log: what administrators did, and which logins and tokens were refused."""

from aiohttp import web

from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.cursors import PageQuery, cut_page, make_cursor, read_cursor
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.admin.log import AdminEntryDocument, AdminLogDocument

_LISTING = "admin log"


@route(
    "GET /admin/log",
    ADMIN,
    scope="audit",
    query=PageQuery,
    about="The newest 100,000 acts and the newest 10,000 refused logins and tokens are kept.",
    replies=[
        Reply(
            200,
            "One page.",
            AdminLogDocument(
                entries=(
                    AdminEntryDocument(
                        at=examples.at(0, 0),
                        actor="root",
                        action="paused",
                        target="user bob",
                        address="192.0.2.7",
                    ),
                ),
                next_cursor=None,
            ),
        )
    ],
)
async def list_admin_log(call: Call, query: PageQuery) -> web.Response:
    """Read what administrators did and who was refused, newest first."""
    before = None if query.cursor is None else read_cursor(query.cursor, _LISTING)
    entries = await call.api.jobs.admin_log.list_entries(limit=query.limit + 1, before=before)
    page, more = cut_page(entries, query.limit, lambda last: make_cursor(last.number, _LISTING))
    return call.answer(
        AdminLogDocument(entries=tuple(map(AdminEntryDocument.like, page)), next_cursor=more)
    )
