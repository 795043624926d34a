"""The examination of a running server."""

from typing import Annotated

from aiohttp import web
from msgspec import Meta

from cidx_jobs.model.findings import Finding
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.admin.findings import DoctorDocument, MendDocument


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
    ADMIN,
    scope="audit",
    query=DoctorQuery,
    about="The answer is 200 whatever is found; only what is found at every look is told.",
    replies=[
        Reply(
            200,
            "What does not fit together.",
            DoctorDocument(
                ok=False,
                database_id=examples.DATABASE_ID,
                findings=(
                    Finding(kind="children", message="process 4711 of server start 12 has no run"),
                ),
                notes=(),
            ),
        )
    ],
)
async def examine(call: Call, query: DoctorQuery) -> web.Response:
    """Compare rows, log, slots, queue, runs and children.

    Raises:
        StoppingError: the server is closing, and what is compared goes away.
    """
    jobs = call.open_jobs
    findings = await jobs.examine(deep=query.deep)
    warnings = await jobs.find_warnings()
    notes = [
        *jobs.list_notes(),
        *await jobs.push_hooks.find_lost_secrets(),
        *await jobs.end_notices.find_lost_secrets(),
    ]
    return call.answer(DoctorDocument.of(findings, jobs.identity.uuid, warnings, notes))


@route(
    "POST /admin/doctor",
    ADMIN,
    scope="admin",
    query=DoctorQuery,
    about="The memory follows the store again, runs that nothing runs are interrupted, stray "
    "processes are killed, files of no project go, and counts are made anew. What cannot be "
    "mended is told with what helps against it.",
    replies=[
        Reply(
            200,
            "What is mended, and what is left.",
            MendDocument(
                ok=True,
                database_id=examples.DATABASE_ID,
                mended=(
                    Finding(
                        kind="runs",
                        message=f"job {examples.JOB_ID} is running, but nothing runs it",
                        job_id=examples.JOB_ID,
                    ),
                ),
                findings=(),
                advice=(),
            ),
        )
    ],
)
async def mend(call: Call, query: DoctorQuery) -> web.Response:
    """Put right what does not fit together.

    Raises:
        StoppingError: the server is closing, and what is mended goes away.
    """
    jobs = call.open_jobs
    mended = await jobs.mend(deep=query.deep)
    await call.note_act("doctor_mended", f"{len(mended.mended)} findings, {len(mended.left)} left")
    return call.answer(MendDocument.of(mended, jobs.identity.uuid))
