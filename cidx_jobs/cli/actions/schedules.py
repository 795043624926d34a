"""What ``schedule add``, ``list``, ``show``, ``run``, ``enable``, ``disable``, ``remove`` do."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from cidx_jobs.cli.actions.jobs import json_or_text, show_changed
from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.member_names import name_pointer
from cidx_jobs.cli.terminal.output import show_result
from cidx_jobs.cli.terminal.prompt import confirm_removal
from cidx_jobs.cli.terminal.text import interval, members, moment, table
from cidx_jobs.client import JobsClient
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.schedules import ScheduleDocument, ScheduleListDocument

_HEAD = ("NAME", "PROJECT", "TYPE", "WHEN", "NEXT", "LAST", "STATUS", "MISSED")
_LABELS_WIDTH = 10
_PAGE = 200


def add_schedule(
    target: Target,
    name: str,
    project: str,
    *,
    options: Iterable[tuple[str, str]],
    labels: Iterable[tuple[str, str]],
    **members: Any,
) -> Exit:
    """Make a schedule and print it; *members* are those of `JobsClient.create_schedule`.

    The values of *options* may be JSON.
    """
    values = {key: json_or_text(value) for key, value in options}
    members |= {"options": values, "labels": dict(labels)}
    return _show(target, lambda client: client.create_schedule(name, project, **members))


def list_schedules(target: Target, user: str | None) -> Exit:
    """List the caller's schedules, or those of the user that is named."""

    async def read(client: JobsClient) -> tuple[ScheduleDocument, ...]:
        page = await client.list_schedules(user_id=user, limit=_PAGE)
        found = page.schedules
        while page.next_cursor is not None:
            page = await client.list_schedules(user_id=user, limit=_PAGE, cursor=page.next_cursor)
            found += page.schedules
        return found

    schedules = ask(target, read)
    found = ScheduleListDocument(schedules=schedules, next_cursor=None)
    if user is None:
        return show_result(target, found, table(_HEAD, [_row(one) for one in schedules], None))
    rows = [(escape(one.user_id), *_row(one)) for one in schedules]
    return show_result(target, found, table(("USER", *_HEAD), rows, None))


def show_schedule(target: Target, name: str, user: str | None) -> Exit:
    """Show one schedule."""
    return _show(target, lambda client: client.get_schedule(name, user_id=user))


def run_schedule(target: Target, name: str, user: str | None) -> Exit:
    """Submit the schedule's job and print it."""
    run = ask(target, lambda client: client.run_schedule(name, user_id=user))
    return show_changed(target, run)


def switch_schedule(target: Target, name: str, user: str | None, *, is_enabled: bool) -> Exit:
    """Enable or disable a schedule, and show it."""
    return _show(
        target, lambda client: client.change_schedule(name, user_id=user, enabled=is_enabled)
    )


def remove_schedule(target: Target, name: str, user: str | None, *, is_sure: bool) -> Exit:
    """Remove a schedule, once whoever sits at the terminal has said so.

    Raises:
        click.UsageError: nobody can be asked.
    """
    if not confirm_removal(f"Remove the schedule {escape(name)}?", is_sure=is_sure):
        return Exit.FAILED
    ask(target, lambda client: client.remove_schedule(name, user_id=user))
    return show_result(target, {"name": name, "removed": True})


def _show(target: Target, work: Callable[[JobsClient], Awaitable[ScheduleDocument]]) -> Exit:
    schedule = ask(target, work)
    return show_result(target, schedule, members(_describe(schedule), _LABELS_WIDTH))


def _describe(schedule: ScheduleDocument) -> Iterator[tuple[str, object]]:
    yield "name", schedule.name
    yield "user", schedule.user_id
    yield "project", schedule.project_id
    yield "type", schedule.job_type
    yield "when", _when(schedule)
    if schedule.declared:
        yield "declared", "in the code of the application; it is changed there"
    for number, time in enumerate(schedule.next_at):
        yield "" if number else "next", moment(time)
    if not schedule.next_at:
        yield "next", None
    yield "last", schedule.last_at and moment(schedule.last_at)
    yield "job", schedule.last_job_id
    yield "status", schedule.last_status
    if schedule.last_error is not None:
        yield "refused", name_pointer(schedule.last_error)
    yield "missed", schedule.missed


def _when(schedule: ScheduleDocument) -> str:
    if schedule.cron is not None:
        when = f"{schedule.cron} {schedule.timezone}"
    else:
        when = f"every {interval(schedule.every_seconds or 0)}"
    if schedule.jitter_seconds:
        when += f", jitter {interval(schedule.jitter_seconds)}"
    return when if schedule.enabled else f"{when} (disabled)"


def _row(schedule: ScheduleDocument) -> tuple[str, ...]:
    return (
        escape(schedule.name),
        escape(schedule.project_id),
        escape(schedule.job_type),
        escape(_when(schedule)),
        moment(schedule.next_at[0]) if schedule.next_at else "-",
        moment(schedule.last_at) if schedule.last_at else "never",
        "refused" if schedule.last_error else str(schedule.last_status or "-"),
        str(schedule.missed),
    )
