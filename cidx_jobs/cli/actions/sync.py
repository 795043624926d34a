"""What ``sync`` and ``watch`` do: a job shown live to its end, also for ``submit --watch``."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import click

from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.error_report import error_document, exit_code_of_job, report_error
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.job_names import find_job
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.job_lines import change_line, report, resumption
from cidx_jobs.cli.terminal.live_display import REDRAW_SECONDS, Display, make_display
from cidx_jobs.cli.terminal.output import print_json, print_lines, say, tint
from cidx_jobs.cli.terminal.prompt import can_ask, confirms
from cidx_jobs.client import (
    JobCancelledError,
    JobFailedError,
    JobPollingEngine,
    JobsClient,
    JobsClientError,
    JobTimeoutError,
    NotFoundError,
    PolledJob,
    PollingConfig,
)
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.jobs import JobDocument

Obtain = Callable[[JobsClient], Awaitable[JobDocument]]
"""Finds or submits the job that is to be shown."""


AT_A_TIME = 50
"""So many jobs are worked on, or waited for, at a time."""


@attrs.frozen(kw_only=True)
class WatchOptions:
    """How long to watch, and what an end of the watching means for the job."""

    timeout_seconds: float | None = None
    cancel_on_timeout: bool = False
    asks_on_interrupt: bool = False
    """Whether Ctrl-C asks for the job to be cancelled; else it only detaches."""


def sync_project(
    target: Target,
    project: str,
    options: WatchOptions,
    every: int | str | None = None,
    **members: Any,
) -> Exit:
    """Submit a sync of the project and show it live; *members* are those of `JobsClient.sync`.

    From then on its remote is asked for news *every* so many seconds, ``auto`` or ``never``; None
    leaves that as it is.

    Raises: what `watch_to_end` raises.
    """

    async def submit(client: JobsClient) -> JobDocument:
        return await _submit_sync(client, project, every, members)

    return watch_to_end(target, submit, options)


async def _submit_sync(
    client: JobsClient, project: str, every: int | str | None, members: Mapping[str, Any]
) -> JobDocument:
    job = await client.sync(project, **members)
    if every is not None:
        interval: Any = None if every == "never" else every
        await client.change_project(
            project, sync_every_seconds=interval, user_id=members.get("user_id")
        )
    return job


def sync_projects(
    target: Target,
    names: Sequence[str] | None,
    timeout_seconds: float | None,
    every: int | str | None = None,
    *,
    detach: bool,
    **members: Any,
) -> Exit:
    """Submit a sync of each project, None is all there are; print each job, or each end.

    *every* and *members* are as in `sync_project`. Returns the largest code of them.
    """

    async def sync(client: JobsClient, project: str) -> JobDocument:
        job = await _submit_sync(client, project, every, members)
        if detach:
            return job
        if not target.as_json:
            say(f"{escape(project)}: job {job.job_id}")
        return await wait_for_end(client, job, timeout_seconds)

    if names is None:
        user = members.get("user_id")
        known = ask(target, lambda client: client.list_projects(user_id=user)).projects
        names = [one.project_id for one in known]
    return show_each_job(target, names, sync, ends_count=not detach)


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of one of several jobs: the job or an error, and the exit code for it."""

    code: Exit
    job: JobDocument | None = None
    error: JobsClientError | None = None


async def wait_for_end(
    client: JobsClient, job: JobDocument, timeout_seconds: float | None
) -> JobDocument:
    """Return the job as it ended, in whatever way.

    Raises:
        JobTimeoutError: the time was up before.
    """
    try:
        return await JobPollingEngine(client).start_polling(job.job_id, timeout_seconds)
    except (JobFailedError, JobCancelledError) as error:
        return error.job


def job_line(job: JobDocument) -> str:
    """Return one line on the job, with its id."""
    return f"{job.job_id} {change_line(job)}"


def show_each(
    target: Target,
    names: Sequence[str],
    work: Callable[[JobsClient, str], Awaitable[Outcome]],
) -> Exit:
    """Do the work for each name, whatever becomes of the others; show what came of it.

    Returns the largest code of them.
    """
    if not names:
        if target.as_json:
            _print_outcomes([])
        return Exit.DONE

    async def work_on_one(client: JobsClient, name: str) -> Outcome:
        try:
            outcome = await work(client, name)
        except JobsClientError as error:
            about = name if len(names) > 1 and name not in error.message else None
            return Outcome(code=report_error(error, about=about), error=error)
        if outcome.job is not None and not target.as_json:
            print_lines([job_line(outcome.job)])
        return outcome

    async def work_on_all(client: JobsClient) -> list[Outcome]:
        # A server parks only so many of one user's polls, and takes only so many connections.
        places = asyncio.Semaphore(AT_A_TIME)

        async def in_turn(name: str) -> Outcome:
            async with places:
                return await work_on_one(client, name)

        return await asyncio.gather(*map(in_turn, names))

    outcomes = ask(target, work_on_all)
    if target.as_json:
        _print_outcomes(outcomes)
    return max(outcome.code for outcome in outcomes)


def show_each_job(
    target: Target,
    names: Sequence[str],
    work: Callable[[JobsClient, str], Awaitable[JobDocument]],
    *,
    ends_count: bool,
) -> Exit:
    """Do the work for each name, whatever becomes of the others; show the jobs it gives.

    Returns the largest code: of the jobs' ends if these count, else of what was refused.
    """

    async def judge(client: JobsClient, name: str) -> Outcome:
        job = await work(client, name)
        return Outcome(code=exit_code_of_job(job) if ends_count else Exit.DONE, job=job)

    return show_each(target, names, judge)


def _print_outcomes(outcomes: Sequence[Outcome]) -> None:
    jobs = [outcome.job for outcome in outcomes if outcome.job is not None]
    errors = [error_document(outcome.error) for outcome in outcomes if outcome.error is not None]
    if len(outcomes) != 1:
        print_json({"jobs": jobs, "errors": errors})
    else:
        print_json(jobs[0] if jobs else {"error": errors[0]})


def confirm_url(target: Target, project: str, url: str, user: str | None = None) -> None:
    """Ask before a project that was synced from somewhere is synced from another place.

    Raises:
        click.UsageError: nobody can be asked.
        click.exceptions.Exit: the answer was no.
        JobsClientError: the server refuses, or cannot be reached.
    """
    known = ask(target, functools.partial(_find_url, project=project, user=user))
    if known is None or known == url.rstrip("/"):
        return
    change = f"{escape(project)} is a project of {escape(known)}"
    if not can_ask():
        message = f"{change}; to sync {escape(url)} into it, give --yes"
        raise click.UsageError(message)
    if not confirms(f"{change}. Sync {escape(url)} into it?"):
        raise click.exceptions.Exit(Exit.FAILED)


def watch_job(target: Target, name: str, options: WatchOptions) -> Exit:
    """Show the job that *name* means live.

    Raises: what `watch_to_end` raises.
    """
    return watch_to_end(target, functools.partial(find_job, name=name), options)


def watch_to_end(target: Target, obtain: Obtain, options: WatchOptions) -> Exit:
    """Show the job that *obtain* finds until it is done, and return the command's exit code.

    Raises:
        JobsClientError: the server refuses, or cannot be reached.
        TerminatedError: SIGTERM came; the job goes on.
    """
    watch = _Watch(target=target, options=options, display=make_display())
    try:
        return watch.run(obtain)
    except KeyboardInterrupt:
        watch.display.close()
        return watch.interrupted()


@attrs.define(kw_only=True)
class _Watch:
    target: Target
    options: WatchOptions
    display: Display
    job: JobDocument | None = None

    def run(self, obtain: Obtain) -> Exit:
        """Follow the job to its end, or to the end of the time."""
        try:
            job = ask(self.target, functools.partial(self._follow, obtain))
        except JobTimeoutError as error:
            self.job = error.job or self.job
            return self._late(error)
        return self._ended(job)

    def interrupted(self) -> Exit:
        """Detach from the job; cancel it where that is asked for and wanted."""
        if self.job is None or self.job.done:
            return Exit.INTERRUPTED
        if not self.options.asks_on_interrupt or not _wants_to_cancel():
            return self._detached()
        try:
            return self.run(functools.partial(_cancel, self.job.job_id))
        except KeyboardInterrupt:
            self.display.close()
            return self._detached()

    async def _follow(self, obtain: Obtain, client: JobsClient) -> JobDocument:
        self.job = await obtain(client)
        self._introduce(self.job)
        config = PollingConfig(cancel_on_timeout=self.options.cancel_on_timeout)
        engine = JobPollingEngine(
            client, config=config, on_change=self._take, on_notice=self.display.notice
        )
        known = PolledJob(job=self.job)
        async with _ticking(self.display):
            try:
                return await engine.start_polling(
                    self.job.job_id, self.options.timeout_seconds, known=known
                )
            except (JobFailedError, JobCancelledError) as error:
                return error.job

    def _introduce(self, job: JobDocument) -> None:
        going_on = resumption(job)
        if going_on:
            self.display.notice(going_on)
        self._take(job)

    def _take(self, job: JobDocument) -> None:
        self.job = job
        self.display.show(job)

    def _ended(self, job: JobDocument) -> Exit:
        if self.target.as_json:
            print_json(job)
        else:
            print_lines(report(job, datetime.now(UTC), tint))
        return exit_code_of_job(job)

    def _late(self, error: JobTimeoutError) -> Exit:
        say(f"cidx-jobs: {error.message}")
        self._say_how_to_come_back()
        return Exit.TIMEOUT

    def _detached(self) -> Exit:
        say("")
        self._say_how_to_come_back()
        return Exit.INTERRUPTED

    def _say_how_to_come_back(self) -> None:
        job = self.job
        if job is None:
            return
        if self.target.as_json:
            print_json(job)
        if not job.done:
            server = self.target.named_server
            where = f" --server {server}" if server else ""
            state = "goes on" if job.cancel_requested_at is None else "is being cancelled"
            say(f"Job {job.job_id} {state}. Come back with: cidx-jobs watch {job.job_id}{where}")


async def _find_url(client: JobsClient, project: str, user: str | None) -> str | None:
    try:
        found = await client.get_project(project, user_id=user)
    except NotFoundError:
        return None
    return found.repository_url if found.last_synced_at is not None else None


async def _cancel(job_id: str, client: JobsClient) -> JobDocument:
    return await client.cancel_job(job_id, "cancelled from the command line")


def _wants_to_cancel() -> bool:
    if not can_ask():
        return False
    click.echo(err=True)
    return confirms("Cancel the job?")


@contextlib.asynccontextmanager
async def _ticking(display: Display) -> AsyncIterator[None]:
    task = asyncio.create_task(_tick(display), name="redraw")
    try:
        yield
    finally:
        task.cancel()
        display.close()


async def _tick(display: Display) -> None:
    while True:
        await asyncio.sleep(REDRAW_SECONDS)
        display.tick()
