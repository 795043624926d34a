"""What the commands do that change jobs or wait for them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import attrs

from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.error_report import error_document, exit_code_of_job, tell
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.job_names import find_job
from cidx_jobs.cli.submit_options import Wanted
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.job_lines import change_line
from cidx_jobs.cli.terminal.output import print_json, print_lines
from cidx_jobs.client import (
    JobCancelledError,
    JobFailedError,
    JobPollingEngine,
    JobsClient,
    JobsClientError,
)
from cidx_jobs.wire.jobs import JobDocument

Change = Callable[[JobsClient, str], Awaitable[JobDocument]]


@attrs.frozen(kw_only=True)
class _Outcome:
    """What became of one of several jobs: the job or an error, and the code for it."""

    code: Exit
    job: JobDocument | None = None
    error: JobsClientError | None = None


def show_submitted(target: Target, wanted: Wanted) -> Exit:
    """Submit the job and show it."""
    return _show(target, ask(target, wanted.submit))


def retry_job(target: Target, name: str, *, from_start: bool) -> Exit:
    """Queue the job again and show it."""

    async def retry(client: JobsClient) -> JobDocument:
        job = await find_job(client, name)
        return await client.retry_job(job.job_id, from_start=from_start)

    return _show(target, ask(target, retry))


def cancel_jobs(target: Target, names: Sequence[str], reason: str | None) -> Exit:
    """Ask for each of the jobs to stop, whatever becomes of the others; show them."""

    async def cancel(client: JobsClient, name: str) -> _Outcome:
        job = await find_job(client, name)
        return _Outcome(code=Exit.DONE, job=await client.cancel_job(job.job_id, reason))

    return _show_each(target, names, cancel)


def wait_for_jobs(target: Target, names: Sequence[str], timeout_seconds: float | None) -> Exit:
    """Wait until each of the jobs is done, or the time is up; show them."""

    async def wait(client: JobsClient, name: str) -> _Outcome:
        job = await find_job(client, name)
        try:
            job = await JobPollingEngine(client).start_polling(job.job_id, timeout_seconds)
        except (JobFailedError, JobCancelledError) as error:
            job = error.job
        return _Outcome(code=exit_code_of_job(job), job=job)

    return _show_each(target, names, wait)


def _show(target: Target, job: JobDocument) -> Exit:
    if target.as_json:
        print_json(job)
    else:
        print_lines([_line(job)])
    return Exit.DONE


def _line(job: JobDocument) -> str:
    return f"{job.job_id} {change_line(job)}"


def _show_each(
    target: Target,
    names: Sequence[str],
    work: Callable[[JobsClient, str], Awaitable[_Outcome]],
) -> Exit:
    async def work_on_one(client: JobsClient, name: str) -> _Outcome:
        try:
            outcome = await work(client, name)
        except JobsClientError as error:
            return _Outcome(code=tell(error), error=error)
        if outcome.job is not None and not target.as_json:
            print_lines([_line(outcome.job)])
        return outcome

    async def work_on_all(client: JobsClient) -> list[_Outcome]:
        return await asyncio.gather(*(work_on_one(client, name) for name in names))

    outcomes = ask(target, work_on_all)
    if target.as_json:
        _print_outcomes(outcomes)
    return max(outcome.code for outcome in outcomes)


def _print_outcomes(outcomes: Sequence[_Outcome]) -> None:
    jobs = [outcome.job for outcome in outcomes if outcome.job is not None]
    errors = [error_document(outcome.error) for outcome in outcomes if outcome.error is not None]
    if len(outcomes) > 1:
        print_json({"jobs": jobs, "errors": errors})
    else:
        print_json(jobs[0] if jobs else {"error": errors[0]})
