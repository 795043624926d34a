"""The search of what was indexed of a project, and what was not."""

import re
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from cidx_jobs.model.errors import (
    ForbiddenError,
    IndexDamagedError,
    InvalidCursorError,
    NotIndexedError,
    UnavailableError,
    ValidationError,
)
from cidx_jobs.model.index import SearchPlace, SearchRequest
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.cursors import Cursor, cut_page, make_text_cursor, read_text_cursor
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.projects.project_path import (
    PROJECTS,
    OfUserQuery,
    ReadOfUserQuery,
    load_project,
)
from cidx_jobs.wire.projects import (
    SearchDocument,
    SearchHitDocument,
    SkippedFileDocument,
    SkippedListDocument,
)

MAX_CHARACTERS = 200

_LINE_NUMBER = re.compile(r"[0-9]{1,15}")

PathBeginning = Annotated[str, Meta(max_length=1_000)]


class SearchQuery(OfUserQuery, frozen=True, kw_only=True):
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
    limit: Annotated[int, Meta(description="How many lines at most.", ge=1, le=1_000)] = 50
    path: Annotated[
        PathBeginning | None,
        Meta(description="Only files whose path begins with this.", examples=["src/"]),
    ] = None
    cursor: Cursor | None = None


@route(
    "GET /projects/{project_id}/search",
    PROJECTS,
    scope="read",
    query=SearchQuery,
    about="The answer is in the order of path, then line. Letter case does not count. A search "
    "that takes longer than 5 seconds is refused as `invalid_parameter`: it asks for too "
    "much, and would again. A page may have 1,000 lines; `truncated` says that there are "
    "more, and `next_cursor` brings them. Of the searches of one user two run at a time, "
    "and one that waits for them for 5 seconds is refused as `unavailable`.",
    replies=[
        Reply(
            200,
            "The lines that hold the text.",
            SearchDocument(
                project_id=examples.PROJECT_ID,
                query="def main",
                hits=(
                    SearchHitDocument(
                        path="src/api.py", line_number=42, line="def main() -> None:"
                    ),
                ),
                limit=50,
                commit=examples.COMMIT,
                truncated=False,
                next_cursor=None,
            ),
        )
    ],
    errors=[NotIndexedError, IndexDamagedError, ValidationError, UnavailableError],
)
async def search_project(call: Call, query: SearchQuery) -> web.Response:
    """Search the lines of what was indexed."""
    if not call.caller.reads_code:
        message = "an auditor reads no code: this needs a token with the scope read"
        raise ForbiddenError(message, scope="read")
    if len(query.q) > MAX_CHARACTERS:
        raise ValidationError.at("/q", f"it has at most {MAX_CHARACTERS} characters")
    project = await load_project(call, query.user_id, "admin")
    listing = (project.user_id, project.project_id, query.q, query.path or "")
    page = await call.api.jobs.indexer.search(
        SearchRequest(
            copy_id=project.readable_copy_id,
            text=query.q,
            user_id=call.user_id,
            project_id=project.project_id,
            limit=query.limit,
            path_prefix=query.path or "",
            after=None if query.cursor is None else _read_place(query.cursor, listing),
        )
    )
    cursor = None
    if page.is_truncated:
        last = page.hits[-1]
        cursor = make_text_cursor(f"{last.line_number}:{last.path}", *listing)
    return call.answer(
        SearchDocument(
            project_id=project.project_id,
            query=query.q,
            hits=tuple(map(SearchHitDocument.like, page.hits)),
            limit=query.limit,
            commit=page.commit,
            truncated=page.is_truncated,
            next_cursor=cursor,
        )
    )


def _read_place(cursor: str, listing: tuple[str, ...]) -> SearchPlace:
    number, _, path = read_text_cursor(cursor, *listing).partition(":")
    if not _LINE_NUMBER.fullmatch(number):
        raise InvalidCursorError
    return SearchPlace(path, int(number))


class SkippedQuery(ReadOfUserQuery, frozen=True, kw_only=True):
    """Which page of the list."""

    limit: Annotated[int, Meta(description="How many at most.", ge=1, le=1_000)] = 200
    cursor: Cursor | None = None


@route(
    "GET /projects/{project_id}/skipped",
    PROJECTS,
    scope="read",
    query=SkippedQuery,
    about="By path. Nothing of these can be found by a search.",
    replies=[
        Reply(
            200,
            "The paths.",
            SkippedListDocument(
                skipped=(SkippedFileDocument(path="logo.png", reason="binary", bytes=20_480),),
                next_cursor=None,
            ),
        )
    ],
    errors=[ValidationError],
)
async def list_skipped_files(call: Call, query: SkippedQuery) -> web.Response:
    """List what of the last synced commit is not in the index, and why."""
    project = await load_project(call, query.user_id)
    listing = (project.user_id, project.project_id)
    after = "" if query.cursor is None else read_text_cursor(query.cursor, *listing)
    try:
        found = await call.api.jobs.indexer.list_skipped(
            project.readable_copy_id, limit=query.limit + 1, after=after
        )
    except NotIndexedError:
        found = ()
    page, more = cut_page(found, query.limit, lambda last: make_text_cursor(last.path, *listing))
    return call.answer(
        SkippedListDocument(
            skipped=tuple(map(SkippedFileDocument.like, page)),
            next_cursor=more,
        )
    )
