"""The chapter of the document about what the client of CIDX asks, and its projects."""

from cidx_jobs.model.errors import RepositoryNotFoundError, ValidationError
from cidx_jobs.model.ids import PROJECT_ID_RULE, ProjectId, is_project_id
from cidx_jobs.model.listing import Project
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Group

CIDX = Group("cidx", "What the command line of CIDX asks; others have the routes above.")


async def load_repository(call: Call, alias: str, pointer: str = "/alias") -> Project:
    """Return the caller's project of this name.

    Raises:
        ValidationError: the alias can name no project.
        RepositoryNotFoundError: there is none.
    """
    if not is_project_id(alias):
        raise ValidationError.at(pointer, PROJECT_ID_RULE)
    store = call.api.jobs.persistence.projects
    project = await store.load_project(call.user_id, ProjectId(alias))
    if project is None:
        raise RepositoryNotFoundError(alias)
    return project
