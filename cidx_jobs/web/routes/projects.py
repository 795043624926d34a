"""The caller's projects, and the search of what was indexed."""

from aiohttp import web

from cidx_jobs.model.errors import (
    InvalidParameterError,
    ProjectNotFoundError,
    StoppingError,
    ValidationError,
)
from cidx_jobs.model.ids import ProjectId, is_project_id
from cidx_jobs.model.listing import Project
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.request import Query
from cidx_jobs.wire.projects import (
    ProjectDocument,
    ProjectListDocument,
    SearchDocument,
    SearchHitDocument,
)

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_CHARACTERS = 200
MAX_PATH_CHARACTERS = 1_000


async def list_projects(call: Call) -> web.Response:
    """Give what is known of the caller's projects."""
    Query(call.request, ())
    projects = await call.api.jobs.persistence.list_projects(call.user_id)
    return call.answer(ProjectListDocument(projects=tuple(map(ProjectDocument.of, projects))))


async def get_project(call: Call) -> web.Response:
    """Give what is known of one of the caller's projects."""
    Query(call.request, ())
    return call.answer(ProjectDocument.of(await _load_project(call)))


async def remove(call: Call) -> web.Response:
    """Remove one of the caller's projects: its copy, its index, and what is known of it."""
    Query(call.request, ())
    text = call.request.match_info["project_id"]
    if not is_project_id(text):
        raise ProjectNotFoundError(text)
    if not call.api.jobs.is_open:
        raise StoppingError
    await call.api.jobs.remove_project(call.user_id, text)
    return call.answer_nothing()


async def search(call: Call) -> web.Response:
    """Give the lines of the project that hold the text, by path, then line."""
    parameters = Query(call.request, ("q", "limit", "path"))
    text = parameters.text("q")
    if text is None:
        raise InvalidParameterError("q", "it is required")
    limit = parameters.whole("limit", 1, MAX_LIMIT) or DEFAULT_LIMIT
    path = parameters.text("path")
    if path is not None and len(path) > MAX_PATH_CHARACTERS:
        message = f"at most {MAX_PATH_CHARACTERS} characters"
        raise InvalidParameterError("path", message, limit=MAX_PATH_CHARACTERS)
    if len(text) > MAX_CHARACTERS:
        raise ValidationError.at("/q", f"it has at most {MAX_CHARACTERS} characters")
    project = await _load_project(call)
    hits = await call.api.jobs.indexer.search(
        call.user_id, project.project_id, text, limit=limit, path_prefix=path or ""
    )
    return call.answer(
        SearchDocument(
            project_id=project.project_id,
            query=text,
            hits=tuple(
                SearchHitDocument(path=hit.path, line_number=hit.line_number, line=hit.line)
                for hit in hits
            ),
            limit=limit,
        )
    )


async def _load_project(call: Call) -> Project:
    text = call.request.match_info["project_id"]
    project = None
    if is_project_id(text):
        store = call.api.jobs.persistence
        project = await store.load_project(call.user_id, ProjectId(text))
    if project is None:
        raise ProjectNotFoundError(text)
    return project
