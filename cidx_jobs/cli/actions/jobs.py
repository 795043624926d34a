"""What the commands on jobs do: submit, read, wait, cancel, retry, search."""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
from msgspec.structs import replace

from cidx_jobs.cli.actions.sync import WatchOptions, watch_to_end
from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.error_report import error_document, exit_code_of_job, report_error
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.job_names import find_job
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.job_lines import change_line, report
from cidx_jobs.cli.terminal.live_display import terminal_width
from cidx_jobs.cli.terminal.output import print_json, print_lines, say, tint
from cidx_jobs.cli.terminal.text import duration, fit, moment, table
from cidx_jobs.client import (
    JobCancelledError,
    JobFailedError,
    JobPollingEngine,
    JobsClient,
    JobsClientError,
    follow_events,
)
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.events import EventDocument, EventListDocument
from cidx_jobs.wire.jobs import JobDocument, JobMembers
from cidx_jobs.wire.projects import SearchDocument
from cidx_jobs.wire.server import QueueOverviewDocument

EVENTS_A_PAGE = 200
HITS_A_PAGE = 1_000


@attrs.frozen(kw_only=True)
class _Outcome:
    """What became of one of several jobs: the job or an error, and the exit code for it."""

    code: Exit
    job: JobDocument | None = None
    error: JobsClientError | None = None


def submit_job(
    target: Target,
    job_type: str,
    project: str,
    watch: WatchOptions | None,
    *,
    options: Iterable[tuple[str, str]],
    labels: Iterable[tuple[str, str]],
    limits: Iterable[tuple[str, int]],
    **members: Any,
) -> Exit:
    """Submit the job and print it, or show it live where *watch* says how.

    The values of *options* may be JSON; *members* are those of `JobsClient.submit`.
    """
    values = {name: json_or_text(value) for name, value in options}

    async def submit(client: JobsClient) -> JobDocument:
        return await client.submit(
            job_type,
            project,
            options=values,
            labels=dict(labels),
            limits=dict(limits),
            **members,
        )

    if watch is not None:
        return watch_to_end(target, submit, watch)
    return show_changed(target, ask(target, submit))


def json_or_text(text: str) -> Any:
    """Return the JSON value that a text is, or the text itself."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def retry_job(target: Target, name: str, *, from_start: bool) -> Exit:
    """Queue the job again and print it."""

    async def retry(client: JobsClient) -> JobDocument:
        job = await find_job(client, name)
        return await client.retry_job(job.job_id, from_start=from_start)

    return show_changed(target, ask(target, retry))


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


def show_changed(target: Target, job: JobDocument) -> Exit:
    """Print a job that the command has made or changed."""
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
            return _Outcome(code=report_error(error), error=error)
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


def show_job(target: Target, name: str) -> Exit:
    """Show how the job stands."""
    job = ask(target, functools.partial(find_job, name=name))
    if target.as_json:
        print_json(job)
    else:
        print_lines(report(job, datetime.now(UTC), tint))
    return Exit.DONE


def show_jobs(target: Target, **filters: Any) -> Exit:
    """Show the jobs that fit the filters, newest first."""
    page = ask(target, lambda client: client.list_jobs(**filters))
    if target.as_json:
        print_json(page)
        return Exit.DONE
    now = datetime.now(UTC)
    rows = [_job_row(job, now) for job in page.jobs]
    print_lines(table(("JOB", "STATUS", "DONE", "AGE", "PROJECT", "TYPE"), rows, _width()))
    if page.total > len(rows):
        say(f"{len(rows)} of {page.total}")
    return Exit.DONE


def show_events(target: Target, name: str) -> Exit:
    """Show the job's whole log."""
    log = ask(target, functools.partial(_read_log, name=name))
    if target.as_json:
        print_json(log)
        return Exit.DONE
    rows = [_event_row(event) for event in log.events]
    print_lines(table(("SEQ", "AT", "EVENT", "STATUS", "ATTEMPT", "REASON"), rows, _width()))
    return Exit.DONE


def follow_log(target: Target, name: str) -> Exit:
    """Show the job's log and each row that comes, until the job is done."""

    async def follow(client: JobsClient) -> EventListDocument:
        log = await _read_log(client, name)
        rows = list(log.events)
        _show_rows(target, rows)
        last = rows[-1]
        async for row in follow_events(client, last.job_id, after=last.seq, notice=say):
            rows.append(row)
            _show_rows(target, [row])
        return EventListDocument(events=tuple(rows), next_cursor=None)

    log = ask(target, follow)
    if target.as_json:
        print_json(log)
    return Exit.DONE


def _show_rows(target: Target, rows: Iterable[EventDocument]) -> None:
    if not target.as_json:
        print_lines(_row_line(row) for row in rows)


def _row_line(row: EventDocument) -> str:
    # What comes later cannot be known: the columns are as wide as their longest words.
    widths = (8, 24, 10, 20, 2, 0)
    cells = zip(_event_row(row), widths, strict=True)
    line = "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
    width = _width()
    return line if width is None else fit(line, width)


def show_queue(target: Target) -> Exit:
    """Show limits, slots and the caller's waiting jobs."""
    overview = ask(target, lambda client: client.get_queue())
    if target.as_json:
        print_json(overview)
    else:
        print_lines(_queue_lines(overview))
    return Exit.DONE


@attrs.frozen(kw_only=True)
class SearchOptions:
    """How much to show of what a search finds."""

    limit: int | None
    path: str | None
    shows_all: bool


def show_hits(target: Target, project: str, text: str, options: SearchOptions) -> Exit:
    """Show the lines that hold the text as ``path:number: line``; nothing found is a failure."""
    found = ask(target, lambda client: _search(client, project, text, options))
    if target.as_json:
        print_json(found)
    else:
        print_lines(
            f"{escape(hit.path)}:{hit.line_number}: {escape(hit.line.expandtabs())}"
            for hit in found.hits
        )
        if found.truncated:
            say(f"There are more than these {len(found.hits)} lines: see them with --all.")
        if not found.hits:
            say("Nothing found.")
    return Exit.DONE if found.hits else Exit.FAILED


async def _search(
    client: JobsClient, project: str, text: str, options: SearchOptions
) -> SearchDocument:
    """Return the page that is asked for, or all pages as one."""
    limit = HITS_A_PAGE if options.shows_all else options.limit
    page = await client.search(project, text, limit=limit, path=options.path)
    hits = list(page.hits)
    while options.shows_all and page.next_cursor is not None:
        page = await client.search(
            project, text, limit=limit, path=options.path, cursor=page.next_cursor
        )
        hits += page.hits
    return replace(page, hits=tuple(hits))


async def _read_log(client: JobsClient, name: str) -> EventListDocument:
    job = await find_job(client, name)
    events: list[EventDocument] = []
    cursor: str | None = None
    while True:
        page = await client.list_events(job.job_id, cursor=cursor, limit=EVENTS_A_PAGE)
        events += page.events
        cursor = page.next_cursor
        if cursor is None:
            return EventListDocument(events=tuple(events), next_cursor=None)


def _job_row(job: JobMembers, now: datetime) -> tuple[str, ...]:
    return (
        job.job_id,
        str(job.status),
        f"{job.progress}%",
        duration((now - job.created_at).total_seconds()),
        escape(job.project_id),
        escape(job.job_type),
    )


def _event_row(event: EventDocument) -> tuple[str, ...]:
    return (
        str(event.seq),
        event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        escape(event.event),
        f"{event.from_status or '-'} -> {event.to_status}",
        str(event.attempt),
        escape(event.reason or ""),
    )


def _queue_lines(overview: QueueOverviewDocument) -> Iterator[str]:
    limits, running = overview.limits, overview.running
    yield f"running  {running.user} of {limits.max_running_per_user} of yours"
    yield f"         {running.total} of {limits.max_running_total} in all"
    for name, limit in limits.resources.items():
        yield f"         {running.resources.get(name, 0)} of {limit} {escape(name)}"
    yield f"waiting  {overview.queued} in all, {len(overview.jobs)} of yours"
    if (alone := overview.recovering) is not None:
        who = f"job {alone.job_id}" if alone.job_id else "another user's job"
        end = f", until {moment(alone.until)} at the latest" if alone.until else ""
        yield f"recovering from a crash: {who} runs alone first{end}"
    for down in overview.hosts_down:
        number = f"{down.waiting} of your jobs wait"
        yield f"{escape(down.host)} is down: {number}, next try {moment(down.until)}"
    rows = [
        (
            str(job.queue.position or "-") if job.queue else "-",
            job.job_id,
            str(job.priority),
            escape(job.project_id),
            escape(", ".join(job.queue.blocked_by)) if job.queue else "",
        )
        for job in overview.jobs
    ]
    if rows:
        yield ""
        yield from table(("POSITION", "JOB", "PRIORITY", "PROJECT", "BLOCKED BY"), rows, _width())


def _width() -> int | None:
    """Return the columns to keep to: those of a terminal, else as many as there are."""
    return terminal_width(sys.stdout) if sys.stdout.isatty() else None
