"""The registered job types."""

from aiohttp import web

from cidx_jobs.job_types import JobType
from cidx_jobs.web.http.call import Api, Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.routes.server.queue import QUEUE
from cidx_jobs.wire.job_parts import plain
from cidx_jobs.wire.server import JobTypeDocument, JobTypeListDocument

_EXAMPLE = JobTypeDocument(
    name="reindex",
    exclusive=False,
    max_attempts=3,
    timeout_seconds=3600,
    on_interrupt="resume",
    resources=("indexing",),
    options_schema={"type": "object"},
    result_schema={"type": "object"},
)


@route(
    "GET /job-types",
    QUEUE,
    scope="read",
    about="Those that can be submitted by this way: internal ones are left out.",
    replies=[Reply(200, "All of them, by name.", JobTypeListDocument(job_types=(_EXAMPLE,)))],
)
async def list_job_types(call: Call) -> web.Response:
    """List the registered job types with the JSON Schemas of options and result."""
    types = call.api.jobs.job_types
    return call.answer(
        JobTypeListDocument(
            job_types=tuple(
                _job_type(call.api, types[name])
                for name in sorted(types)
                if not types[name].internal
            )
        )
    )


def _job_type(api: Api, job_type: JobType) -> JobTypeDocument:
    settings = api.jobs.settings
    return JobTypeDocument.like(
        job_type,
        max_attempts=job_type.max_attempts or settings.default_max_attempts,
        timeout_seconds=plain(job_type.timeout_seconds or settings.default_timeout_seconds),
        options_schema=dict(job_type.describe_options()),
        result_schema=dict(job_type.describe_result()),
    )
