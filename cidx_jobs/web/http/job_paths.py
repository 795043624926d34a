"""The paths of jobs, found at once where aiohttp would try one after the other."""

from aiohttp import web
from aiohttp.web_urldispatcher import ResourceRoute

from cidx_jobs.model.ids import is_job_id

_JOB_ID_CHARACTERS = 36


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
