"""What each route takes and gives: the table beside the table of routes.

`cidx_jobs.web.routes.table` says who may call what; this says the rest, by the route's key,
for the document of the API. A test holds the two against each other, and both against the server.
"""

from collections.abc import Mapping

from cidx_jobs.web.openapi import examples
from cidx_jobs.web.openapi.routes.contract import JSON, Operation, Reply
from cidx_jobs.web.openapi.routes.operations_admin import ADMIN_OPERATIONS
from cidx_jobs.web.openapi.routes.operations_jobs import JOB_OPERATIONS
from cidx_jobs.web.openapi.routes.parameters import LAST_EVENT_ID, PAGES, SEARCH
from cidx_jobs.web.routes.event_stream import STREAM
from cidx_jobs.wire.events import EventListDocument
from cidx_jobs.wire.projects import ProjectDocument, ProjectListDocument, SearchDocument
from cidx_jobs.wire.server import (
    AliveDocument,
    JobTypeListDocument,
    QueueOverviewDocument,
    ReadyDocument,
)

_STREAM_ABOUT = (
    "With `Accept: text/event-stream` it is the live stream: `transition` (its id is the row's "
    "number), `progress`, and a comment as a ping every 15 seconds. A client that comes back "
    "with `Last-Event-ID` gets what it missed, or `reset` if the log no longer holds that."
)
_STREAM_MEDIA = {STREAM: ({"type": "string"}, examples.STREAM)}

_OTHER_OPERATIONS: Mapping[str, Operation] = {
    "GET /jobs/{job_id}/events": Operation(
        name="listJobEvents",
        group="events",
        summary="Read the job's transitions, oldest first, or follow them live.",
        about=_STREAM_ABOUT + " The stream begins with `snapshot` and closes with `end`.",
        parameters=(*PAGES, LAST_EVENT_ID),
        replies=(
            Reply(
                status=200,
                about="One page, or the stream.",
                document=EventListDocument,
                example=examples.EVENT_LIST,
                media=_STREAM_MEDIA,
            ),
            Reply(status=204, about="The job is done, and its stream has nothing after the id."),
        ),
        errors=("job_not_found", "invalid_cursor", "not_acceptable", "too_many_streams"),
    ),
    "GET /events": Operation(
        name="listEvents",
        group="events",
        summary="Read the transitions of all jobs that the caller may see, or follow them live.",
        about=_STREAM_ABOUT,
        parameters=(*PAGES, LAST_EVENT_ID),
        replies=(
            Reply(
                status=200,
                about="One page, or the stream.",
                document=EventListDocument,
                example=examples.EVENT_LIST,
                media=_STREAM_MEDIA,
            ),
        ),
        errors=("invalid_cursor", "history_expired", "not_acceptable", "too_many_streams"),
    ),
    "GET /queue": Operation(
        name="getQueue",
        group="queue",
        summary="Read the limits, the slots in use, and the caller's waiting jobs.",
        replies=(
            Reply(
                status=200,
                about="The queue as the caller sees it.",
                document=QueueOverviewDocument,
                example=examples.QUEUE,
            ),
        ),
    ),
    "GET /job-types": Operation(
        name="listJobTypes",
        group="queue",
        summary="List the registered job types with the JSON Schema of their options.",
        replies=(
            Reply(
                status=200,
                about="All of them, by name.",
                document=JobTypeListDocument,
                example=examples.JOB_TYPES,
            ),
        ),
    ),
    "GET /projects": Operation(
        name="listProjects",
        group="projects",
        summary="List the caller's projects.",
        replies=(
            Reply(
                status=200,
                about="All of them, by id.",
                document=ProjectListDocument,
                example=examples.PROJECT_LIST,
            ),
        ),
    ),
    "GET /projects/{project_id}": Operation(
        name="getProject",
        group="projects",
        summary="Read what is known of one of the caller's projects.",
        replies=(
            Reply(
                status=200,
                about="The project.",
                document=ProjectDocument,
                example=examples.PROJECT,
            ),
        ),
        errors=("project_not_found",),
    ),
    "DELETE /projects/{project_id}": Operation(
        name="removeProject",
        group="projects",
        summary="Remove one of the caller's projects: its copy, its index, what is known of it.",
        about="Its jobs stay until their time is over. A later sync, with the URL, begins anew.",
        replies=(Reply(status=204, about="It is gone."),),
        errors=("project_not_found", "project_busy"),
    ),
    "GET /projects/{project_id}/search": Operation(
        name="searchProject",
        group="projects",
        summary="Search the lines of what was indexed.",
        about=(
            "The answer is in the order of path, then line. Letter case does not count. A search "
            "that takes longer than 5 seconds is refused as `invalid_parameter`: it asks for too "
            "much, and would again. Of the searches of one user two run at a time, and one that "
            "waits for them for 5 seconds is refused as `unavailable`."
        ),
        parameters=SEARCH,
        replies=(
            Reply(
                status=200,
                about="The lines that hold the text.",
                document=SearchDocument,
                example=examples.SEARCH,
            ),
        ),
        errors=("project_not_found", "not_indexed", "validation_failed", "unavailable"),
    ),
    "GET /livez": Operation(
        name="isAlive",
        group="health",
        summary="Tell whether the server answers at all.",
        replies=(
            Reply(
                status=200,
                about="It does.",
                document=AliveDocument,
                example=AliveDocument(status="alive"),
            ),
        ),
        is_strict=False,
    ),
    "GET /readyz": Operation(
        name="isReady",
        group="health",
        summary="Tell whether the server takes work.",
        replies=(
            Reply(
                status=200,
                about="It does.",
                document=ReadyDocument,
                example=ReadyDocument(status="ready", reasons=(), warnings=()),
            ),
        ),
        errors=("not_ready",),
        is_strict=False,
    ),
    "GET /openapi.json": Operation(
        name="getDocument",
        group="reference",
        summary="Read this document.",
        replies=(
            Reply(
                status=200,
                about="OpenAPI 3.1.",
                media={JSON: ({"type": "object", "required": ["openapi", "paths"]}, None)},
            ),
        ),
    ),
    "GET /docs": Operation(
        name="getPage",
        group="reference",
        summary="Read this document as a page.",
        about="The page brings all that it needs, and runs no script.",
        replies=(
            Reply(status=200, about="HTML.", media={"text/html": ({"type": "string"}, None)}),
        ),
    ),
}

OPERATIONS: Mapping[str, Operation] = {
    **JOB_OPERATIONS,
    **_OTHER_OPERATIONS,
    **ADMIN_OPERATIONS,
}
"""By method and path, the path below the prefix."""
