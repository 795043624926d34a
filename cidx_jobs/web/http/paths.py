"""Paths of routes: what their parts in braces name, and those of jobs found at once."""

import re
from collections.abc import Sequence

import msgspec
from aiohttp import web
from aiohttp.web_urldispatcher import ResourceRoute

from cidx_jobs.model.errors import (
    CidxJobsError,
    JobNotFoundError,
    ProjectNotFoundError,
    PushHookNotFoundError,
    RepositoryNotFoundError,
    ScheduleNotFoundError,
    TokenNotFoundError,
    UserNotFoundError,
    ValidationError,
)
from cidx_jobs.model.ids import JOB_ID_PATTERN, PROJECT_ID_PATTERN, is_job_id
from cidx_jobs.model.schedules.schedule import NAME_PATTERN
from cidx_jobs.web.http.problems import SAMPLE_JOB_ID, SAMPLE_PROJECT_ID

_JOB_ID_CHARACTERS = 36
_BRACES = re.compile(r"\{(\w+)\}")


class PathPart(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in braces in a path; the handler reads it."""

    name: str
    about: str
    pattern: str | None = None
    example: str
    errors: tuple[type[CidxJobsError], ...]
    """What a request is refused with that names what is not there."""


_PARTS = {
    part.name: part
    for part in (
        PathPart(
            name="job_id",
            about="The job; what is no id names none.",
            pattern=JOB_ID_PATTERN,
            example=SAMPLE_JOB_ID,
            errors=(JobNotFoundError,),
        ),
        PathPart(
            name="project_id",
            about="The project, one of the caller's.",
            pattern=PROJECT_ID_PATTERN,
            example=SAMPLE_PROJECT_ID,
            errors=(ProjectNotFoundError,),
        ),
        PathPart(
            name="alias",
            about="The project, one of the caller's.",
            pattern=PROJECT_ID_PATTERN,
            example=SAMPLE_PROJECT_ID,
            errors=(RepositoryNotFoundError, ValidationError),
        ),
        PathPart(
            name="name",
            about="The schedule, one of its user's.",
            pattern=NAME_PATTERN,
            example="nightly",
            errors=(ScheduleNotFoundError,),
        ),
        PathPart(
            name="user_id",
            about="Whose account it is.",
            example="alice",
            errors=(UserNotFoundError,),
        ),
        PathPart(
            name="token_id",
            about="The token's public name.",
            example="9f2c4e6a8b0d1f3e",
            errors=(TokenNotFoundError,),
        ),
        PathPart(
            name="hook_id",
            about="The hook, as its address has it.",
            example="Jd8s0qTtq3mZ5cVw1XyB7aKf",
            errors=(PushHookNotFoundError,),
        ),
    )
}


def list_parts(path: str) -> Sequence[PathPart]:
    """Return what stands in braces in the path, in its order.

    Raises:
        KeyError: nobody has said what a name in it means.
    """
    return tuple(_PARTS[name] for name in _BRACES.findall(path))


class JobPaths(web.PlainResource):
    """The path of all jobs, which also knows the routes of one job.

    aiohttp asks each resource below it in turn, and each compares an expression: that takes
    longer than all that we do ourselves for a short answer. Added first, this one is asked
    first, and what it does not know is found as ever.
    """

    def __init__(self, path: str) -> None:
        """Stand for *path*."""
        super().__init__(path)
        self._of_one: dict[tuple[str, str], ResourceRoute] = {}
        """The routes of one job, by method and by what follows the job's id."""

    def add_way(self, rest: str, route: ResourceRoute) -> None:
        """Know the route as that of one job, whose path goes on with *rest* after the id."""
        self._of_one[route.method, rest] = route

    async def resolve(
        self, request: web.Request
    ) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """Return the route of the request, if it is one of these."""
        below = request.rel_url.path_safe.removeprefix(self.canonical)
        job_id, rest = below[1 : _JOB_ID_CHARACTERS + 1], below[_JOB_ID_CHARACTERS + 1 :]
        if not is_job_id(job_id):
            return await super().resolve(request)
        route = self._of_one.get((request.method, rest))
        if route is None:
            return None, set()
        return web.UrlMappingMatchInfo({"job_id": job_id}, route), set()
