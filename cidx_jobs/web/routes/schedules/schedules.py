"""Schedules: made, listed, read, changed, removed, and run by hand (api.md 1.10)."""

from typing import Annotated

from aiohttp import web

from cidx_jobs.model.errors import (
    DrainingError,
    QueueFullError,
    ScheduleDeclaredError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    TooManySchedulesError,
    UnknownJobTypeError,
    UserQueueFullError,
)
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.schedules.schedule import CatchUp, Schedule, is_schedule_name
from cidx_jobs.model.schedules.view import MEMBERS
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.cursors import (
    Cursor,
    PageLimit,
    cut_page,
    make_text_cursor,
    read_text_cursor,
)
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Group, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.jobs.job_watch import encode_job
from cidx_jobs.web.routes.jobs.submit import check_submittable, submitted
from cidx_jobs.wire.member_rules import about
from cidx_jobs.wire.schedules import (
    ChangeScheduleBody,
    ScheduleBody,
    ScheduleDocument,
    ScheduleListDocument,
)

SCHEDULES = Group("schedules", "Jobs that are submitted by themselves, at their times.")

_EXAMPLE = ScheduleDocument(
    name="nightly",
    user_id=examples.ALICE,
    project_id=examples.PROJECT_ID,
    job_type="repository_sync",
    options={},
    priority=None,
    labels={"origin": "nightly"},
    max_attempts=None,
    timeout_seconds=None,
    cron="30 2 * * *",
    every_seconds=None,
    timezone="Europe/Berlin",
    jitter_seconds=300,
    catch_up=CatchUp.ONCE,
    enabled=True,
    declared=False,
    created_at=examples.at(0, 0),
    updated_at=examples.at(0, 0),
    next_at=(examples.at(30, 0),),
    last_at=examples.at(2, 0),
    last_job_id=examples.JOB_ID,
    last_status=JobStatus.COMPLETED,
    last_error=None,
    missed=0,
)


class ScheduleQuery(Query, frozen=True, kw_only=True):
    """Whose schedule is meant."""

    user_id: Annotated[str | None, about("Whose it is, if not the caller's own.")] = None


class ScheduleListQuery(Query, frozen=True, kw_only=True):
    """Whose schedules to list, and how many at a time."""

    user_id: Annotated[
        str | None,
        about(
            "Whose, if not the caller's own; `*` is everybody's. For administrators and auditors."
        ),
    ] = None
    limit: PageLimit = 50
    cursor: Cursor | None = None


@route(
    "POST /schedules",
    SCHEDULES,
    scope="write",
    body=ScheduleBody,
    body_example={
        "name": "nightly",
        "project_id": examples.PROJECT_ID,
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
    },
    about="A time and its job are stored in one transaction: a time is served once, whatever "
    "happens. Where an exclusive job of the project is active, it is joined or followed.",
    replies=[Reply(201, "The schedule.", _EXAMPLE, headers=("Location",))],
    errors=[ScheduleExistsError, TooManySchedulesError, UnknownJobTypeError],
)
async def create_schedule(call: Call, body: ScheduleBody) -> web.Response:
    """Make a schedule: it submits a job at each of its times."""
    owner = call.submit_for(body.user_id)
    check_submittable(call, body.job_type)
    members = {name: getattr(body, name) for name in MEMBERS if name != "user_id"}
    view = await call.open_jobs.schedules.add(Schedule(**members, user_id=owner))
    await call.note_act_for(owner, "schedule_created", view.name)
    location = f"{call.prefix}/schedules/{view.name}"
    return call.answer(ScheduleDocument.like(view), status=201, headers={"Location": location})


@route(
    "GET /schedules",
    SCHEDULES,
    scope="read",
    query=ScheduleListQuery,
    about="The caller's own, unless `user_id` says whose.",
    replies=[
        Reply(200, "One page.", ScheduleListDocument(schedules=(_EXAMPLE,), next_cursor=None))
    ],
)
async def list_schedules(call: Call, query: ScheduleListQuery) -> web.Response:
    """List schedules, by user and name."""
    owner = call.list_for(query.user_id)
    listing = ("schedules", owner)
    after = None
    if query.cursor is not None:
        name, _, user_id = read_text_cursor(query.cursor, *listing).partition("/")
        after = (user_id, name)
    found = await call.open_jobs.schedules.list(owner, after=after, limit=query.limit + 1)
    # A name holds no slash, and whose it is may hold whatever it likes.
    page, more = cut_page(
        found, query.limit, lambda last: make_text_cursor(f"{last.name}/{last.user_id}", *listing)
    )
    return call.answer(
        ScheduleListDocument(schedules=tuple(map(ScheduleDocument.like, page)), next_cursor=more)
    )


@route(
    "GET /schedules/{name}",
    SCHEDULES,
    scope="read",
    query=ScheduleQuery,
    replies=[Reply(200, "The schedule.", _EXAMPLE)],
)
async def get_schedule(call: Call, query: ScheduleQuery) -> web.Response:
    """Read a schedule: its next times, and what became of the last."""
    owner = call.act_for(query.user_id)
    view = await call.open_jobs.schedules.get(owner, _read_name(call))
    return call.answer(ScheduleDocument.like(view))


@route(
    "PATCH /schedules/{name}",
    SCHEDULES,
    scope="write",
    query=ScheduleQuery,
    body=ChangeScheduleBody,
    body_example={"enabled": False},
    about="Of `cron` and `every_seconds` the one that is given takes the place of the other. "
    "An even interval counts from this change on.",
    replies=[Reply(200, "The schedule.", _EXAMPLE)],
    errors=[ScheduleDeclaredError, UnknownJobTypeError],
)
async def change_schedule(
    call: Call, query: ScheduleQuery, body: ChangeScheduleBody
) -> web.Response:
    """Change what a schedule says; what is not named stays."""
    owner, name = call.act_for(query.user_id), _read_name(call)
    changes = {member: getattr(body, member) for member in call.members}
    if "job_type" in changes:
        check_submittable(call, body.job_type)
    view = await call.open_jobs.schedules.change(owner, name, **changes)
    await call.note_act_for(owner, "schedule_changed", name)
    return call.answer(ScheduleDocument.like(view))


@route(
    "DELETE /schedules/{name}",
    SCHEDULES,
    scope="write",
    query=ScheduleQuery,
    replies=[Reply(204, "It is gone.")],
    errors=[ScheduleDeclaredError],
)
async def remove_schedule(call: Call, query: ScheduleQuery) -> web.Response:
    """Remove a schedule; its jobs stay."""
    owner, name = call.act_for(query.user_id), _read_name(call)
    await call.open_jobs.schedules.remove(owner, name)
    await call.note_act_for(owner, "schedule_removed", name)
    return call.answer_nothing()


@route(
    "POST /schedules/{name}/run",
    SCHEDULES,
    scope="write",
    query=ScheduleQuery,
    replies=[
        Reply(
            202,
            "The job, or the waiting one that it joined.",
            examples.JOB_QUEUED,
            headers=("Location", "ETag", "Retry-After"),
        )
    ],
    errors=[UnknownJobTypeError, UserQueueFullError, QueueFullError, DrainingError],
)
async def run_schedule(call: Call, query: ScheduleQuery) -> web.Response:
    """Submit the job of a schedule now, also of one that is disabled."""
    owner, name = call.act_for(query.user_id), _read_name(call)
    job = await call.open_jobs.schedules.run(owner, name, actor=call.user_id)
    await call.note_act_for(owner, "schedule_run", name)
    return call.answer_bytes(encode_job(call, job), status=202, headers=submitted(call, job))


def _read_name(call: Call) -> str:
    name = call.request.match_info["name"]
    if not is_schedule_name(name):
        raise ScheduleNotFoundError(name)
    return name
