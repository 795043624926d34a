"""What the commands of `admin` do: counts, limits, pauses, the drain, clean-up, log, backups."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from cidx_jobs.cli.data_dir import administer
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import show_result
from cidx_jobs.cli.terminal.prompt import can_ask, confirm_removal
from cidx_jobs.cli.terminal.text import duration, moment, table
from cidx_jobs.client import JobsClient
from cidx_jobs.model.foreign import escape
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.sqlite.open.compact import compact
from cidx_jobs.wire.admin.backups import BackupDocument, BackupListDocument
from cidx_jobs.wire.admin.log import AdminEntryDocument, AdminLogDocument
from cidx_jobs.wire.admin.retention import RetentionDocument
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.request_bodies import LimitsBody
from cidx_jobs.wire.server import (
    CleanupDocument,
    DrainProgressDocument,
    HostDownDocument,
    PausesDocument,
    QuantilesDocument,
    StatsDocument,
    UserBytesDocument,
)

D = TypeVar("D", bound=Document)

_RESOURCE = "resources."
_PAGE = 200
_MOST_USERS = 10
_DRAIN_SECONDS = 0.5


def show_stats(target: Target) -> Exit:
    """Print the counts of the whole server."""
    return _show(target, administer(target, JobsClient.get_stats), _stats_lines)


def show_limits(target: Target, changes: Iterable[tuple[str, str]]) -> Exit:
    """Print the limits, after putting the *changes* (names and numbers) in force.

    Raises:
        click.UsageError: a change is not understood.
    """
    wanted = _read_limits(changes)
    now = administer(
        target,
        lambda client: client.change_limits(**wanted) if wanted else client.get_limits(),
    )
    return _show(target, now, _member_lines)


def set_pause(target: Target, *, user: str | None, job_type: str | None, is_paused: bool) -> Exit:
    """Keep jobs from starting, or let them."""
    method = JobsClient.pause if is_paused else JobsClient.resume
    now = administer(target, lambda client: method(client, user_id=user, job_type=job_type))
    return _show(target, now, _member_lines)


def set_drain(target: Target, *, is_draining: bool) -> Exit:
    """Refuse new jobs, or take them."""
    change = JobsClient.drain if is_draining else JobsClient.end_drain
    return _show(target, administer(target, change), _member_lines)


def drain_and_wait(target: Target) -> Exit:
    """Refuse new jobs, and wait until nothing runs; it fails when somebody ends the drain."""

    async def wait(client: JobsClient) -> DrainProgressDocument:
        await client.drain()
        while True:
            now = await client.get_drain()
            if now.drained or not now.draining:
                return now
            await asyncio.sleep(_DRAIN_SECONDS)

    end = administer(target, wait)
    _show(target, end, _member_lines)
    return Exit.DONE if end.drained else Exit.FAILED


def clean_up(
    target: Target, *, older_than: float, statuses: Iterable[str], dry_run: bool, is_sure: bool
) -> Exit:
    """Delete finished jobs that are old enough, or count them; ask where somebody can be asked."""
    wanted = [JobStatus(status) for status in statuses]

    async def delete(client: JobsClient, *, dry_run: bool = dry_run) -> CleanupDocument:
        return await client.clean_up(older_than, statuses=wanted or None, dry_run=dry_run)

    # A script says by its command which ones it means.
    if can_ask() and not (is_sure or dry_run):
        found = administer(target, partial(delete, dry_run=True)).matched
        if not confirm_removal(f"Delete {found} finished jobs, with their events?", is_sure=False):
            return Exit.FAILED
    return _show(target, administer(target, delete), _member_lines)


def make_backup(target: Target) -> Exit:
    """Make a backup, and say where it is."""
    return _show(target, administer(target, JobsClient.make_backup), _member_lines)


def show_backups(target: Target) -> Exit:
    """Print the backups, newest first."""
    return _show(target, administer(target, JobsClient.list_backups), _backup_lines)


def compact_database(target: Target, data_dir: Path | None, config: Path | None) -> Exit:
    """Write the database of a stopped server anew, and say how much smaller it is."""
    settings = Settings.load(config, overrides={"data_dir": data_dir})
    done = compact(DataDirectory(settings.data_dir))
    document = {"bytes_before": done.bytes_before, "bytes_after": done.bytes_after}
    line = f"{done.bytes_before:,} bytes before, {done.bytes_after:,} bytes now"
    return show_result(target, document, [line])


def show_log(target: Target, *, limit: int) -> Exit:
    """Print the newest entries of the admin log, newest first."""

    async def read(client: JobsClient) -> AdminLogDocument:
        entries: tuple[AdminEntryDocument, ...] = ()
        cursor = None
        while True:
            size = min(_PAGE, limit - len(entries))
            page = await client.list_log(limit=size, cursor=cursor)
            entries, cursor = (*entries, *page.entries), page.next_cursor
            if cursor is None or len(entries) >= limit:
                return AdminLogDocument(entries=entries, next_cursor=cursor)

    return _show(target, administer(target, read), _log_lines)


def _show(target: Target, document: D, lines: Callable[[D], Iterator[str]]) -> Exit:
    return show_result(target, document, lines(document))


def _read_limits(changes: Iterable[tuple[str, str]]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for name, value in changes:
        if not value.isascii() or not value.isdigit():
            message = f"--set {name}={value}: it must be a whole number"
            raise click.UsageError(message)
        if name.startswith(_RESOURCE):
            limits.setdefault("resources", {})[name.removeprefix(_RESOURCE)] = int(value)
        elif name in LimitsBody.__struct_fields__ and name.startswith("max_"):
            limits[name] = int(value)
        else:
            message = f"--set {name}: there is no such limit"
            raise click.UsageError(message)
    return limits


def _member_lines(document: Document) -> Iterator[str]:
    for name, value in msgspec.to_builtins(document, builtin_types=(datetime,)).items():
        yield f"{name:<22} {_words(value)}"


def _words(value: Any) -> str:
    match value:
        case datetime():
            return moment(value)
        case dict():
            return ", ".join(f"{escape(name)}={part}" for name, part in value.items()) or "-"
        case list() | tuple():
            return ", ".join(map(escape, value)) or "-"
        case bool():
            return "yes" if value else "no"
        case _:
            return escape(value)


def _stats_lines(stats: StatsDocument) -> Iterator[str]:
    slots = stats.slots
    yield f"{'jobs':<12} {_words(stats.by_status)}"
    yield f"{'types':<12} {_words(stats.by_type)}"
    yield f"{'users':<12} {_words(stats.by_user)}"
    yield f"{'waits':<12} {_quantiles(stats.wait_seconds)}"
    yield f"{'runs':<12} {_quantiles(stats.run_seconds)}"
    yield f"{'slots':<12} {slots.running} of {slots.max_running_total}"
    for name, use in slots.resources.items():
        yield f"{'':<12} {escape(name)} {use.used} of {use.limit}, {use.waiting} waiting"
    if stats.oldest_wait_seconds:
        yield f"{'oldest wait':<12} {duration(stats.oldest_wait_seconds)}"
    yield from _pause_lines(stats.pauses)
    for down in stats.hosts_down:
        yield f"{'host down':<12} {_host_down(down)}"
    yield f"{'waiters':<12} {stats.waiters}"
    yield from _retention_lines(stats.retention)
    newest = stats.last_backup_at
    yield f"{'backup':<12} {'-' if newest is None else moment(newest)}"
    yield f"{'version':<12} {escape(stats.version) or '-'}"
    yield f"{'database id':<12} {escape(stats.database_id)}"
    yield f"{'database':<12} {stats.database_bytes:,} bytes, log {stats.wal_bytes:,} bytes"
    yield from _disk_lines(stats)


def _pause_lines(pauses: PausesDocument) -> Iterator[str]:
    if pauses.draining:
        yield f"{'draining':<12} new jobs are refused: admin drain --off takes them again"
    paused = ["everything"] if pauses.everything else []
    paused += [f"user {escape(user_id)}" for user_id in pauses.users]
    paused += [f"type {escape(job_type)}" for job_type in pauses.job_types]
    if paused:
        yield f"{'paused':<12} {', '.join(paused)}"


def _disk_lines(stats: StatsDocument) -> Iterator[str]:
    if stats.disk_free_bytes is not None:
        yield f"{'disk':<12} {stats.disk_free_bytes:,} bytes free"
    users = sorted(stats.bytes_by_user.items(), key=_most_first)
    for user_id, taken in users[:_MOST_USERS]:
        told = f"projects {taken.projects:,} bytes, jobs {taken.jobs:,} bytes"
        yield f"{'':<12} {escape(user_id)}: {told}"
    if len(users) > _MOST_USERS:
        yield f"{'':<12} {len(users) - _MOST_USERS} more users"


def _most_first(user: tuple[str, UserBytesDocument]) -> tuple[int, str]:
    user_id, taken = user
    return -taken.projects - taken.jobs, user_id


def _retention_lines(kept: RetentionDocument) -> Iterator[str]:
    times = kept.seconds_by_status | kept.seconds_by_type
    if kept.payload_seconds:
        times["options, result"] = kept.payload_seconds
    if kept.project_seconds:
        times["unused copies"] = kept.project_seconds
    if times:
        told = ", ".join(f"{escape(name)} {duration(each)}" for name, each in times.items())
        yield f"{'kept for':<12} {told}"
    for one in kept.expiring:
        name = f"{escape(one.project_id)} of {escape(one.user_id)}, {one.bytes:,} bytes"
        yield f"{'going soon':<12} {name}: within a day, unless it is synced"
    if kept.projects_expiring > len(kept.expiring):
        yield f"{'':<12} {kept.projects_expiring - len(kept.expiring)} more"


def _host_down(down: HostDownDocument) -> str:
    waiting = f"{down.waiting} waiting, next try {moment(down.until)}"
    return f"{escape(down.host)} since {moment(down.since)} [{escape(down.code)}], {waiting}"


def _quantiles(seconds: QuantilesDocument) -> str:
    if seconds.p50 is None or seconds.p95 is None:
        return "-"
    return f"{duration(seconds.p50)} in the middle, {duration(seconds.p95)} at 95 %"


def _log_lines(log: AdminLogDocument) -> Iterator[str]:
    rows = [
        (
            moment(entry.at),
            escape(entry.actor or "-"),
            entry.action,
            escape(entry.address or "-"),
            escape(entry.target or ""),
        )
        for entry in log.entries
    ]
    return table(("AT", "ACTOR", "ACTION", "FROM", "TARGET"), rows, None)


def _backup_lines(found: BackupListDocument) -> Iterator[str]:
    rows = [_backup_row(backup) for backup in found.backups]
    return table(("CREATED", "KIND", "BYTES", "SEQ", "FILE"), rows, None)


def _backup_row(backup: BackupDocument) -> tuple[str, ...]:
    size, sequence = f"{backup.bytes:,}", str(backup.sequence)
    return moment(backup.created_at), backup.kind, size, sequence, escape(backup.file)
