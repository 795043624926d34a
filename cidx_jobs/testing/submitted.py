"""What was submitted, and assertions on it."""

from collections.abc import Mapping, Sequence
from typing import Any

from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.job.submit import JobTypeLike, name_of_type
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.system import JobSystem

_MOST = 10_000


async def submitted(
    jobs: JobSystem,
    *,
    job_type: str | JobTypeLike[Any] | None = None,
    user_id: str | None = None,
    project_id: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Sequence[Job]:
    """Return the jobs that were submitted and fit, oldest first, whatever became of them.

    Args:
        jobs: any open system.
        job_type: of this type only.
        user_id: of this user only.
        project_id: of this project only.
        options: those whose options hold all of these members, others aside.
    """
    query = JobQuery(
        job_type=None if job_type is None else name_of_type(job_type),
        user_id=None if user_id is None else UserId(user_id),
        project_id=None if project_id is None else ProjectId(project_id),
        newest_first=False,
        limit=_MOST,
    )
    page = await jobs.manager.query_jobs(query)
    return [job for job in page.jobs if _holds(job.options, options or {})]


async def assert_submitted(jobs: JobSystem, *, count: int = 1, **wanted: Any) -> Sequence[Job]:
    """Return the *count* jobs that were submitted and fit; *wanted* is as in `submitted`.

    Raises:
        AssertionError: there are more or fewer; what was submitted is listed.
    """
    found = await submitted(jobs, **wanted)
    if len(found) == count:
        return found
    asked = " ".join(f"{name}={value!r}" for name, value in wanted.items()) or "any"
    all_jobs = [
        f"  {job.job_type} {job.user_id}/{job.project_id} {job.status} {dict(job.options)}"
        for job in await submitted(jobs)
    ]
    head = f"{count} submitted job(s) wanted ({asked}), {len(found)} found; all there are:"
    raise AssertionError("\n".join([head, *(all_jobs or ["  none"])]))


def _holds(options: Mapping[str, Any], members: Mapping[str, Any]) -> bool:
    absent = object()
    return all(options.get(name, absent) == value for name, value in members.items())
