"""The chapter of the document about projects, and who finds one."""

from typing import Annotated

from cidx_jobs.model.errors import ProjectNotFoundError
from cidx_jobs.model.ids import ProjectId, is_project_id
from cidx_jobs.model.listing import Project
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Group
from cidx_jobs.wire.member_rules import about

PROJECTS = Group("projects", "What is known of projects, and the search of their index.")


class OfUserQuery(Query, frozen=True, kw_only=True):
    """Whose project it is."""

    user_id: Annotated[
        str | None, about("Whose project it is, if not the caller's; for administrators.")
    ] = None


class ReadOfUserQuery(Query, frozen=True, kw_only=True):
    """Whose project to read."""

    user_id: Annotated[
        str | None,
        about("Whose project it is, if not the caller's; for administrators and auditors."),
    ] = None


def read_project_id(call: Call) -> ProjectId:
    """Return the project id in the path.

    Raises:
        ProjectNotFoundError: it is none.
    """
    text = call.request.match_info["project_id"]
    if not is_project_id(text):
        raise ProjectNotFoundError(text)
    return ProjectId(text)


async def load_project(call: Call, user_id: str | None, scope: str | None = None) -> Project:
    """Return the project that the path names: the user's, or the caller's own.

    Args:
        call: the request.
        user_id: whose it is, as the request says.
        scope: what the caller needs to name another user, as of `Call.act_for`.

    Raises:
        ForbiddenError: they have it not.
        ProjectNotFoundError: there is no such project.
    """
    project_id = read_project_id(call)
    owner = call.act_for(user_id, scope)
    project = await call.api.jobs.persistence.projects.load_project(owner, project_id)
    if project is None:
        raise ProjectNotFoundError(project_id)
    return project
