"""The examination of a running server."""

from typing import Annotated

from aiohttp import web
from msgspec import Meta

from cidx_jobs.model.errors import StoppingError
from cidx_jobs.model.findings import Finding
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Contract, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.findings import DoctorDocument


class DoctorQuery(Query, frozen=True, kw_only=True):
    """How closely to look."""

    deep: Annotated[
        bool,
        Meta(
            description="Also compare every index of the database, which takes longer.",
            examples=[True],
        ),
    ] = False


@route(
    "GET /admin/doctor",
    scope="audit",
    query=DoctorQuery,
    contract=Contract(
        name="examine",
        group=ADMIN,
        summary="Compare rows, log, slots, queue, runs and children.",
        about="The answer is 200 whatever is found; only what is found at every look is told.",
        replies=(
            Reply(
                status=200,
                about="What does not fit together.",
                document=DoctorDocument,
                example=DoctorDocument(
                    ok=False,
                    database_id=examples.DATABASE_ID,
                    findings=(
                        Finding(
                            kind="children",
                            message="process 4711 of server start 12 has no run",
                        ),
                    ),
                    notes=(),
                ),
            ),
        ),
    ),
)
async def examine(call: Call, query: DoctorQuery) -> web.Response:
    """Compare rows, log, slots, queue, runs and children; the answer is 200 whatever is found.

    Raises:
        StoppingError: the server is closing, and what is compared goes away.
    """
    jobs = call.api.jobs
    if not jobs.is_open:
        raise StoppingError
    findings = await jobs.examine(deep=query.deep)
    warnings = await jobs.find_warnings()
    notes = [*jobs.list_notes(), *await jobs.push_hooks.find_lost_secrets()]
    return call.answer(DoctorDocument.of(findings, jobs.identity.uuid, warnings, notes))
