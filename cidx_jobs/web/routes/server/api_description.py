"""The two routes that describe all routes: the document, and a page to read it."""

from collections.abc import Sequence

import msgspec
from aiohttp import web

from cidx_jobs.job_types import JobType
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.web.http.answer import JSON, answer_headers
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import JSON as JSON_TYPE
from cidx_jobs.web.http.route import Group, Reply, Table, route
from cidx_jobs.web.openapi.document import make_document
from cidx_jobs.web.openapi.page import STYLE_DIGEST, make_page
from cidx_jobs.wire.encode import encode

_HTML = "text/html; charset=utf-8"
_POLICY = (
    "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class _Made(msgspec.Struct, frozen=True):
    """What the routes answer with, as bytes."""

    document: bytes
    page: bytes
    policy: str
    """What the page may load: its style."""


_REFERENCE = Group("reference", "This document.")
_DOCUMENT = route(
    "GET /openapi.json",
    _REFERENCE,
    scope=None,
    replies=[
        Reply(
            200,
            "OpenAPI 3.1.",
            media={JSON_TYPE: ({"type": "object", "required": ["openapi", "paths"]}, None)},
        )
    ],
)
_PAGE = route(
    "GET /docs",
    _REFERENCE,
    scope=None,
    about="The page brings all that it needs, and runs no script.",
    replies=[Reply(200, "HTML.", media={"text/html": ({"type": "string"}, None)})],
)


class Reference:
    """The description of a table of routes, its own two included; made when it is asked for."""

    def __init__(self, table: Table, prefix: str, root: str) -> None:
        """Take what there is to describe.

        Args:
            table: the routes, without these two.
            prefix: what the API's paths begin with in the application.
            root: what the paths of these two begin with.
        """
        own = (_DOCUMENT(self.get_document), _PAGE(self.get_page))
        self.table: Table = (*table, *((root + route.path, route) for route in own))
        self._prefix = prefix
        self._made: _Made | None = None
        self._mount = ""

    async def get_document(self, call: Call) -> web.Response:
        """Read this document."""
        made = await self._make(call)
        headers = answer_headers(JSON, call.request_id)
        return web.Response(body=made.document, headers=headers)

    async def get_page(self, call: Call) -> web.Response:
        """Read this document as a page."""
        made = await self._make(call)
        headers = answer_headers(_HTML, call.request_id) | {"Content-Security-Policy": made.policy}
        return web.Response(body=made.page, headers=headers)

    async def _make(self, call: Call) -> _Made:
        # Where the routes stand for clients is known once the application has started, and a
        # proxy may say where it serves them.
        mount = call.prefix.removesuffix(self._prefix)
        if self._made is None or mount != self._mount:
            # It takes long enough for others to notice.
            known = call.api.jobs.job_types
            types = tuple(known[name] for name in sorted(known) if not known[name].internal)
            made = await in_own_thread(_make, self.table, mount, types)
            self._made, self._mount = made, mount
            return made
        return self._made


def _make(table: Table, mount: str, job_types: Sequence[JobType]) -> _Made:
    document = make_document(table, mount, job_types)
    return _Made(
        document=encode(document),
        page=make_page(document).encode(),
        policy=_POLICY.format(STYLE_DIGEST),
    )
