"""The caller's projects: listed, read, removed."""

from typing import Annotated

from aiohttp import web

from cidx_jobs.model.errors import (
    ProjectBusyError,
    ValidationError,
)
from cidx_jobs.model.listing import Project
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.projects.project_path import (
    PROJECTS,
    OfUserQuery,
    ReadOfUserQuery,
    load_project,
    read_project_id,
)
from cidx_jobs.wire.member_rules import about
from cidx_jobs.wire.projects import ChangeProjectBody, ProjectDocument, ProjectListDocument

_EXAMPLE = ProjectDocument.like(examples.PROJECT, files_skipped={"binary": 12, "link": 1})


class ProjectsQuery(Query, frozen=True, kw_only=True):
    """Whose projects to list."""

    user_id: Annotated[
        str | None,
        about(
            "Whose projects, if not the caller's; `*` is everybody's. For "
            "administrators and auditors."
        ),
    ] = None


@route(
    "GET /projects",
    PROJECTS,
    scope="read",
    query=ProjectsQuery,
    replies=[Reply(200, "All of them, by id.", ProjectListDocument(projects=(_EXAMPLE,)))],
    errors=[ValidationError],
)
async def list_projects(call: Call, query: ProjectsQuery) -> web.Response:
    """List the caller's projects, or those of other users."""
    owner = call.list_for(query.user_id)
    projects = await call.api.jobs.persistence.projects.list_projects(owner)
    return call.answer(
        ProjectListDocument(projects=tuple([await _describe(call, some) for some in projects]))
    )


@route(
    "GET /projects/{project_id}",
    PROJECTS,
    scope="read",
    query=ReadOfUserQuery,
    replies=[Reply(200, "The project.", _EXAMPLE)],
    errors=[ValidationError],
)
async def get_project(call: Call, query: ReadOfUserQuery) -> web.Response:
    """Read what is known of one of the caller's projects."""
    return call.answer(await _describe(call, await load_project(call, query.user_id)))


@route(
    "PATCH /projects/{project_id}",
    PROJECTS,
    scope="write",
    query=OfUserQuery,
    body=ChangeProjectBody,
    body_example={"sync_every_seconds": 600},
    about="It is asked for the commit of the project's branch, and a sync is submitted "
    "when it is not that of the last good sync.",
    replies=[Reply(200, "The project.", _EXAMPLE)],
)
async def change_project(call: Call, query: OfUserQuery, body: ChangeProjectBody) -> web.Response:
    """Keep a project fresh: say how often its remote is asked for news.

    Raises:
        StoppingError: the server is closing.
    """
    project = await load_project(call, query.user_id)
    jobs = call.open_jobs
    if "sync_every_seconds" in call.members:
        project = await jobs.change_project(
            project.user_id, project.project_id, sync_every_seconds=body.sync_every_seconds
        )
        await call.note_act_for(project.user_id, "project_changed", project.project_id)
    return call.answer(await _describe(call, project))


@route(
    "DELETE /projects/{project_id}",
    PROJECTS,
    scope="write",
    query=OfUserQuery,
    about="Its jobs stay until their time is over. A later sync, with the URL, begins anew.",
    replies=[Reply(204, "It is gone.")],
    errors=[ProjectBusyError],
)
async def remove_project(call: Call, query: OfUserQuery) -> web.Response:
    """Remove one of the caller's projects: its copy, its index, what is known of it.

    Raises:
        StoppingError: the server is closing.
    """
    project_id = read_project_id(call)
    owner = call.act_for(query.user_id)
    await call.open_jobs.remove_project(owner, project_id)
    await call.note_act_for(owner, "project_removed", project_id)
    return call.answer_nothing()


async def _describe(call: Call, project: Project) -> ProjectDocument:
    copy_id = project.copy_id
    state = None if copy_id is None else await call.api.jobs.indexer.load_state(copy_id)
    return ProjectDocument.of(project, state)
