"""The chapter of the document about projects, what their paths name, and who finds one."""

from cidx_jobs.model.errors import ProjectNotFoundError
from cidx_jobs.model.ids import PROJECT_ID_PATTERN, ProjectId, is_project_id
from cidx_jobs.model.listing import Project
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Group, Parameter
from cidx_jobs.web.openapi import examples

PROJECTS = Group("projects", "What is known of projects, and the search of their index.")

PROJECT_ID = Parameter(
    "project_id",
    "The project, one of the caller's.",
    {"type": "string", "pattern": f"^{PROJECT_ID_PATTERN}$"},
    place="path",
    example=examples.PROJECT_ID,
)


def read_project_id(call: Call) -> ProjectId:
    """Return the project id in the path.

    Raises:
        ProjectNotFoundError: it is none.
    """
    text = call.request.match_info["project_id"]
    if not is_project_id(text):
        raise ProjectNotFoundError(text)
    return ProjectId(text)


async def load_project(call: Call) -> Project:
    """Return the caller's project that the path names.

    Raises:
        ProjectNotFoundError: there is none.
    """
    project_id = read_project_id(call)
    project = await call.api.jobs.persistence.projects.load_project(call.user_id, project_id)
    if project is None:
        raise ProjectNotFoundError(project_id)
    return project
