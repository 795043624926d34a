"""What the commands on jobs do: submit, read, wait, cancel, retry, search."""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import click
import msgspec
from msgspec.structs import replace

from cidx_jobs.cli.actions.sync import (
    Outcome,
    WatchOptions,
    job_line,
    show_each,
    wait_for_end,
    watch_to_end,
)
from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.error_report import exit_code_of_job
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.job_names import find_job, shown_end
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.job_lines import reason_words, report
from cidx_jobs.cli.terminal.live_display import terminal_width
from cidx_jobs.cli.terminal.output import print_json, print_lines, say, show_result, tint
from cidx_jobs.cli.terminal.prompt import confirm_removal
from cidx_jobs.cli.terminal.text import duration, fit, moment, table
from cidx_jobs.client import (
    JobsClient,
    JobsClientError,
    follow_events,
)
from cidx_jobs.model.foreign import escape
from cidx_jobs.model.job.queue_status import HELD, START_AT
from cidx_jobs.wire.events import EventDocument, EventListDocument
from cidx_jobs.wire.jobs import JobDocument, JobListDocument, JobMembers, ListedJobDocument
from cidx_jobs.wire.projects import SearchDocument
from cidx_jobs.wire.server import QueueOverviewDocument

EVENTS_A_PAGE = 200
HITS_A_PAGE = 1_000
JOBS_A_PAGE = 200
WATCH_SECONDS = 2.0
"""So often a list that is watched is read."""


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


@attrs.frozen(kw_only=True)
class Chosen:
    """Which jobs are meant: by their names, or by what they have in common."""

    names: Sequence[str]
    filters: Mapping[str, Any]
    """As of `JobsClient.list_jobs`; what is None or empty was not given."""
    usual: Sequence[str]
    """The statuses that are meant where none is given."""
    is_sure: bool
    """Not to be asked, however many they are."""
    is_all: bool = False
    """All are meant that the filters let through, also where there are none."""


def start_jobs(target: Target, chosen: Chosen) -> Exit:
    """Let each of the jobs that wait start now, whatever becomes of the others; show them.

    Of those that are not named the held ones are meant whose time has come.

    Raises:
        click.UsageError: no job is named in any way, or nobody can be asked.
    """
    return _change_chosen(target, chosen, "Start", JobsClient.start_job, is_meant=_is_held)


def _is_held(job: ListedJobDocument) -> bool:
    reasons = () if job.queue is None else job.queue.blocked_by
    return HELD in reasons and START_AT not in reasons


def set_priority(target: Target, name: str, priority: int) -> Exit:
    """Give a job that waits another priority, and print it."""

    async def revise(client: JobsClient) -> JobDocument:
        job = await find_job(client, name)
        return await client.revise_job(job.job_id, priority=priority)

    return show_changed(target, ask(target, revise))


def retry_jobs(target: Target, chosen: Chosen, *, from_start: bool) -> Exit:
    """Queue each of the jobs again, whatever becomes of the others; show them.

    Raises:
        click.UsageError: no job is named in any way, or nobody can be asked.
    """
    return _change_chosen(
        target,
        chosen,
        "Retry",
        lambda client, job_id: client.retry_job(job_id, from_start=from_start),
    )


def cancel_jobs(target: Target, chosen: Chosen, reason: str | None) -> Exit:
    """Ask for each of the jobs to stop, whatever becomes of the others; show them.

    Raises:
        click.UsageError: no job is named in any way, or nobody can be asked.
    """
    return _change_chosen(
        target,
        chosen,
        "Cancel",
        lambda client, job_id: client.cancel_job(job_id, reason),
        # The newest first: one that follows another has no time to start meanwhile.
        order="-created_at",
    )


def _change_chosen(
    target: Target,
    chosen: Chosen,
    verb: str,
    change: Callable[[JobsClient, str], Awaitable[JobDocument]],
    *,
    is_meant: Callable[[ListedJobDocument], bool] = lambda _: True,
    order: str = "created_at",
) -> Exit:
    """Change all that are named; of those that are filtered say first how many.

    These have their turn in this order: whatever lets jobs go keeps the one in which they came.
    """

    async def change_one(client: JobsClient, name: str) -> Outcome:
        job = await find_job(client, name)
        return Outcome(code=Exit.DONE, job=await change(client, job.job_id))

    filters = {name: value for name, value in chosen.filters.items() if value}
    if (chosen.is_all or bool(filters)) == bool(chosen.names):
        message = "name the jobs, or say by options which are meant: one of the two"
        raise click.UsageError(message)
    if chosen.names:
        return show_each(target, chosen.names, change_one)
    filters.setdefault("status", chosen.usual)
    filters["order"] = order
    listed = ask(target, lambda client: _list_all(client, None, filters)).jobs
    found = [job for job in listed if is_meant(job)]
    say(f"{len(found)} {'job' if len(found) == 1 else 'jobs'}")
    if found and not confirm_removal(f"{verb} {len(found)} of them?", is_sure=chosen.is_sure):
        return Exit.FAILED
    return show_each(target, [job.job_id for job in found], change_one)


def wait_for_jobs(target: Target, names: Sequence[str], timeout_seconds: float | None) -> Exit:
    """Wait until each of the jobs is done, or the time is up; show them."""

    async def wait(client: JobsClient, name: str) -> Outcome:
        named = await find_job(client, name)
        job = await wait_for_end(client, named, timeout_seconds)
        return Outcome(code=exit_code_of_job(job), job=job)

    return show_each(target, names, wait)


def show_changed(target: Target, job: JobDocument) -> Exit:
    """Print a job that the command has made or changed."""
    return show_result(target, job, [job_line(job)])


def show_job(target: Target, name: str) -> Exit:
    """Show how the job stands."""
    job = ask(target, functools.partial(find_job, name=name))
    return show_result(target, job, report(job, datetime.now(UTC), tint))


def show_jobs(target: Target, limit: int | None, *, is_watched: bool, **filters: Any) -> Exit:
    """Show the newest jobs that fit the filters, at most *limit*; again and again if watched.

    Raises:
        click.UsageError: they are to be watched as one document.
    """
    if is_watched and target.as_json:
        message = "--watch shows them again and again, and --json prints one document"
        raise click.UsageError(message)
    if is_watched:
        return ask(target, lambda client: _watch_list(client, limit, filters))
    if target.as_json:
        print_json(ask(target, lambda client: _list_all(client, limit, filters)))
        return Exit.DONE

    async def read(client: JobsClient) -> tuple[JobListDocument, bool]:
        found = await _list_all(client, limit, filters)
        return found, await _sees_others(client, found)

    _print_list(*ask(target, read))
    return Exit.DONE


async def _watch_list(client: JobsClient, limit: int | None, filters: Mapping[str, Any]) -> Exit:
    """Show the list whenever it is another one, until Ctrl-C."""
    shown: Sequence[Any] = ()
    shows_users: bool | None = None
    while True:
        found = await _list_all(client, limit, filters)
        if shows_users is None:
            shows_users = await _sees_others(client, found)
        now = [(job.job_id, job.version, job.progress) for job in found.jobs]
        if sys.stdout.isatty():
            print_lines(["\x1b[H\x1b[2J"])
        if sys.stdout.isatty() or now != shown:
            _print_list(found, shows_users)
        shown = now
        await asyncio.sleep(WATCH_SECONDS)


def _print_list(found: JobListDocument, shows_users: bool) -> None:  # noqa: FBT001 - as it was read
    now = datetime.now(UTC)
    rows = [_job_row(job, now, shows_user=shows_users) for job in found.jobs]
    users = ("USER",) if shows_users else ()
    head = ("JOB", "STATUS", "DONE", "AGE", *users, "PROJECT", "TYPE")
    print_lines(table(head, rows, _width()))
    if found.total > len(rows):
        say(f"{len(rows)} of {found.total}: see all with --all")


async def _list_all(
    client: JobsClient, limit: int | None, filters: Mapping[str, Any]
) -> JobListDocument:
    """Return the newest jobs that fit, as one page; None is all of them."""
    jobs: list[Any] = []
    cursor: str | None = None
    while True:
        room = JOBS_A_PAGE if limit is None else min(JOBS_A_PAGE, limit - len(jobs))
        page = await client.list_jobs(limit=room, cursor=cursor, **filters)
        jobs += page.jobs
        cursor = page.next_cursor
        if cursor is None or len(jobs) == limit:
            return replace(page, jobs=tuple(jobs), limit=limit or len(jobs))


async def _sees_others(client: JobsClient, found: JobListDocument) -> bool:
    """Tell whether the list may hold other users' jobs."""
    try:
        role = (await client.validate_login()).user.role
    except JobsClientError:
        # Mounted in an application: whose its users are, that knows.
        return len({job.user_id for job in found.jobs}) > 1
    return role in {"admin", "auditor"}


def show_events(target: Target, name: str) -> Exit:
    """Show the job's whole log."""
    log = ask(target, functools.partial(_read_log, name=name))
    rows = [_event_row(event) for event in log.events]
    head = ("SEQ", "AT", "EVENT", "STATUS", "ATTEMPT", "BY", "REASON")
    return show_result(target, log, table(head, rows, _width()))


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

    return show_result(target, ask(target, follow))


def _show_rows(target: Target, rows: Iterable[EventDocument]) -> None:
    if not target.as_json:
        print_lines(_row_line(row) for row in rows)


def _row_line(row: EventDocument) -> str:
    # What comes later cannot be known: the columns are as wide as their longest words.
    widths = (8, 24, 14, 20, 2, 8, 0)
    cells = zip(_event_row(row), widths, strict=True)
    line = "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
    width = _width()
    return line if width is None else fit(line, width)


def show_queue(target: Target) -> Exit:
    """Show limits, slots and the caller's waiting jobs."""
    overview = ask(target, JobsClient.get_queue)
    return show_result(target, overview, _queue_lines(overview))


@attrs.frozen(kw_only=True)
class SearchOptions:
    """How much to show of what a search finds."""

    limit: int | None
    path: str | None
    shows_all: bool
    user: str | None = None


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
    page = await client.search(project, text, limit=limit, path=options.path, user_id=options.user)
    hits = list(page.hits)
    while options.shows_all and page.next_cursor is not None:
        page = await client.search(
            project,
            text,
            limit=limit,
            path=options.path,
            cursor=page.next_cursor,
            user_id=options.user,
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


def _job_row(job: JobMembers, now: datetime, *, shows_user: bool) -> tuple[str, ...]:
    users = (escape(job.user_id),) if shows_user else ()
    return (
        shown_end(job.job_id),
        str(job.status),
        f"{job.progress}%",
        duration((now - job.created_at).total_seconds()),
        *users,
        escape(job.project_id),
        escape(job.job_type),
    )


def _event_row(event: EventDocument) -> tuple[str, ...]:
    return (
        str(event.seq),
        moment(event.at, "milliseconds"),
        escape(event.event),
        f"{event.from_status or '-'} -> {event.to_status}",
        str(event.attempt),
        # Nobody where the server itself did it.
        escape(event.actor or "-"),
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
            shown_end(job.job_id),
            str(job.priority),
            escape(job.project_id),
            escape(", ".join(map(reason_words, job.queue.blocked_by))) if job.queue else "",
        )
        for job in overview.jobs
    ]
    if rows:
        yield ""
        yield from table(("POSITION", "JOB", "PRIORITY", "PROJECT", "BLOCKED BY"), rows, _width())


def _width() -> int | None:
    """Return the columns to keep to: those of a terminal, else as many as there are."""
    return terminal_width(sys.stdout) if sys.stdout.isatty() else None
