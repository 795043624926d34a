"""The search of what was indexed of a project."""

from typing import Annotated

from aiohttp import web
from msgspec import Meta

from cidx_jobs.model.errors import (
    NotIndexedError,
    ProjectNotFoundError,
    UnavailableError,
    ValidationError,
)
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Contract, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.projects.project_path import PROJECT_ID, PROJECTS, load_project
from cidx_jobs.wire.projects import SearchDocument, SearchHitDocument

MAX_CHARACTERS = 200

PathBeginning = Annotated[str, Meta(max_length=1_000)]


class SearchQuery(Query, frozen=True, kw_only=True):
    """What to look for, and where."""

    q: Annotated[
        str,
        Meta(
            description="The text to find, 3 characters or more.",
            # Told, not checked: a text that is too short or too long is a 422.
            extra_json_schema={"minLength": 3, "maxLength": MAX_CHARACTERS},
            examples=["def main"],
        ),
    ]
    limit: Annotated[int, Meta(description="How many lines at most.", ge=1, le=200)] = 50
    path: Annotated[
        PathBeginning | None,
        Meta(description="Only files whose path begins with this.", examples=["src/"]),
    ] = None


@route(
    "GET /projects/{project_id}/search",
    scope="read",
    query=SearchQuery,
    contract=Contract(
        name="searchProject",
        group=PROJECTS,
        summary="Search the lines of what was indexed.",
        about=(
            "The answer is in the order of path, then line. Letter case does not count. A search "
            "that takes longer than 5 seconds is refused as `invalid_parameter`: it asks for too "
            "much, and would again. Of the searches of one user two run at a time, and one that "
            "waits for them for 5 seconds is refused as `unavailable`."
        ),
        parameters=(PROJECT_ID,),
        replies=(
            Reply(
                status=200,
                about="The lines that hold the text.",
                document=SearchDocument,
                example=SearchDocument(
                    project_id=examples.PROJECT_ID,
                    query="def main",
                    hits=(
                        SearchHitDocument(
                            path="src/api.py", line_number=42, line="def main() -> None:"
                        ),
                    ),
                    limit=50,
                ),
            ),
        ),
        errors=(ProjectNotFoundError, NotIndexedError, ValidationError, UnavailableError),
    ),
)
async def search(call: Call, query: SearchQuery) -> web.Response:
    """Answer with the lines of the project that hold the text, by path, then line."""
    if len(query.q) > MAX_CHARACTERS:
        raise ValidationError.at("/q", f"it has at most {MAX_CHARACTERS} characters")
    project = await load_project(call)
    hits = await call.api.jobs.indexer.search(
        call.user_id,
        project.project_id,
        query.q,
        limit=query.limit,
        path_prefix=query.path or "",
    )
    return call.answer(
        SearchDocument(
            project_id=project.project_id,
            query=query.q,
            hits=tuple(
                SearchHitDocument(path=hit.path, line_number=hit.line_number, line=hit.line)
                for hit in hits
            ),
            limit=query.limit,
        )
    )
