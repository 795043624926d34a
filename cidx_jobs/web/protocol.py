"""aiohttp's server with our answers where aiohttp would give its own.

A request that cannot even be parsed never reaches a route; aiohttp answers it in plain text and
logs a traceback. `web.Server` makes one `RequestHandler` a connection, whose `handle_error` is
what answers then; a test pins this.
"""

import itertools

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cidx_jobs.model.errors import CidxJobsError, RequestError
from cidx_jobs.web.problems import make_problem

_CLIENT_ERRORS = range(400, 500)

_log = structlog.get_logger("cidx_jobs.web")
_numbers = itertools.count(1)


class ProblemHandler(RequestHandler):
    """One connection, whose errors are problem documents and close it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Give the answer to what never reached a route, or failed outside of all of them."""
        request_id = f"connection-{next(_numbers):x}"
        if request.writer.output_size > 0:
            # Half an answer has gone out: all that is left is to break off.
            raise ConnectionError(message)
        error: CidxJobsError = RequestError("this is no HTTP request that can be understood")
        if status in _CLIENT_ERRORS:
            _log.debug("request_not_understood", request_id=request_id, peer=request.remote)
        else:
            _log.error("connection_failed", request_id=request_id, exc_info=exc)
            error = CidxJobsError("")
        answer = make_problem(error, "", request_id)
        answer.force_close()
        return answer


class ProblemServer(web.Server):
    """Makes the connections."""

    def __call__(self) -> RequestHandler:
        """Give the handler of a new connection."""
        return ProblemHandler(self, loop=self._loop, **self._kwargs)


class ProblemRunner(web.AppRunner):
    """Runs an application on a `ProblemServer`."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return ProblemServer(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # noqa: SLF001 - what it was made with, unchanged
        )
