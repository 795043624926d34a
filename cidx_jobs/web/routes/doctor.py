"""The examination of a running server, for administrators."""

from aiohttp import web

from cidx_jobs.model.errors import StoppingError
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.request import Query
from cidx_jobs.wire.findings import DoctorDocument

_FLAGS = {"true": True, "false": False}


async def examine(call: Call) -> web.Response:
    """Compare rows, log, slots, queue, runs and children; the answer is 200 whatever is found.

    Raises:
        StoppingError: the server is closing, and what is compared goes away.
    """
    query = Query(call.request, ("deep",))
    is_deep = query.choice("deep", _FLAGS) or False
    jobs = call.api.jobs
    if not jobs.is_open:
        raise StoppingError
    findings = await jobs.examine(deep=is_deep)
    warnings = await jobs.find_warnings()
    return call.answer(DoctorDocument.of(findings, jobs.identity.uuid, warnings))
