"""What may not start: pauses of everything, a user or a job type, and the drain."""

from aiohttp import web
from msgspec.structs import replace

from cidx_jobs.engine.operator_rules import apply_pauses
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Pauses
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.request_bodies import PauseBody
from cidx_jobs.wire.server import DrainProgressDocument, PausesDocument

_WAITING = (JobStatus.CREATED, JobStatus.QUEUED)

_NOTHING_PAUSED = PausesDocument.of(Pauses())
_BOB_PAUSED = PausesDocument.of(Pauses(users=frozenset({UserId("bob")})))
_DRAINING = PausesDocument.of(Pauses(draining=True))


@route(
    "POST /admin/pause",
    ADMIN,
    scope="admin",
    body=PauseBody,
    body_example={"user_id": "bob"},
    about="What runs goes on. Without members it is about everything.",
    replies=[Reply(200, "What is paused now.", _BOB_PAUSED)],
)
async def pause(call: Call, body: PauseBody) -> web.Response:
    """Keep everything, a user's jobs, or those of a type from starting."""
    return await _set_pause(call, body, is_paused=True)


@route(
    "POST /admin/resume",
    ADMIN,
    scope="admin",
    body=PauseBody,
    body_example={"user_id": "bob"},
    replies=[Reply(200, "What is still paused.", _NOTHING_PAUSED)],
)
async def resume(call: Call, body: PauseBody) -> web.Response:
    """Let them start again."""
    return await _set_pause(call, body, is_paused=False)


@route(
    "POST /admin/drain",
    ADMIN,
    scope="admin",
    replies=[Reply(202, "It has begun.", _DRAINING)],
)
async def drain(call: Call) -> web.Response:
    """Refuse new jobs, start none, and finish what runs."""
    await set_drain(call, is_draining=True)
    return _answer(call, status=202)


@route(
    "DELETE /admin/drain",
    ADMIN,
    scope="admin",
    replies=[Reply(200, "It is over.", _NOTHING_PAUSED)],
)
async def end_drain(call: Call) -> web.Response:
    """Take new jobs again."""
    await set_drain(call, is_draining=False)
    return _answer(call)


@route(
    "GET /admin/drain",
    ADMIN,
    scope="audit",
    replies=[
        Reply(
            200,
            "How far it is.",
            DrainProgressDocument(draining=True, drained=False, running=2, waiting=5),
        )
    ],
)
async def get_drain(call: Call) -> web.Response:
    """Tell how far the drain is."""
    return call.answer(await look_at_drain(call))


async def set_drain(call: Call, *, is_draining: bool) -> None:
    """Begin or end the drain, and put it into the admin log."""
    await call.manager.set_controls(pauses=lambda now: replace(now, draining=is_draining))
    await call.note_act("drained" if is_draining else "drain_ended")


async def look_at_drain(call: Call) -> DrainProgressDocument:
    """Return how far the drain is; without one, what runs and waits all the same."""
    running = await _count(call, JobStatus.RUNNING)
    is_draining = call.manager.pauses.draining
    return DrainProgressDocument(
        draining=is_draining,
        drained=is_draining and running == 0,
        running=running,
        waiting=await _count(call, *_WAITING),
    )


async def _count(call: Call, *statuses: JobStatus) -> int:
    return (await call.manager.query_jobs(JobQuery(statuses=frozenset(statuses), limit=1))).total


async def _set_pause(call: Call, body: PauseBody, *, is_paused: bool) -> web.Response:
    def change(now: Pauses) -> Pauses:
        return apply_pauses(now, user_id=body.user_id, job_type=body.job_type, is_paused=is_paused)

    parts = (("user", body.user_id), ("type", body.job_type))
    which = " ".join(f"{kind} {name}" for kind, name in parts if name is not None)
    await call.manager.set_controls(pauses=change)
    await call.note_act("paused" if is_paused else "resumed", which or "everything")
    return _answer(call)


def _answer(call: Call, status: int = 200) -> web.Response:
    return call.answer(PausesDocument.of(call.manager.pauses), status=status)
