"""What the commands of an operator do."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
import msgspec

from cidx_jobs.cli.actions.settings import read_settings
from cidx_jobs.cli.at_owner import at_owner
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.submit_options import read_pairs
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines
from cidx_jobs.cli.terminal.text import duration, escape
from cidx_jobs.client import JobsClient
from cidx_jobs.engine.operator_rules import FINAL, apply_limits, apply_pauses, check_cleanup
from cidx_jobs.engine.upkeep.retention import delete_expired
from cidx_jobs.model.findings import Recovery
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.store.sqlite.persistence import JobPersistence
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.request_bodies import LimitsBody
from cidx_jobs.wire.server import (
    CleanupDocument,
    LimitsDocument,
    PausesDocument,
    QuantilesDocument,
    ResourceUseDocument,
    SlotUseDocument,
    StatsDocument,
)
from cidx_jobs.wire.stats import SAMPLE, make_stats

D = TypeVar("D", bound=Document)

_RESOURCE = "resources."


def show_stats(target: Target, data_dir: Path | None, config: Path | None) -> Exit:
    """Show the counts."""
    settings = read_settings(config, data_dir=data_dir)

    async def in_directory(store: JobPersistence) -> StatsDocument:
        ended = await store.query_jobs(JobQuery(statuses=FINAL, limit=SAMPLE))
        limits, pauses = await store.load_controls()
        return make_stats(
            await store.collect_stats(),
            ended.jobs,
            slots=_free_slots(limits or settings.limits),
            pauses=pauses,
            waiters=0,
            recovery=Recovery(),
        )

    found = at_owner(target, data_dir, config, JobsClient.get_stats, in_directory)
    return _show(target, found, _stats_lines)


def show_limits(
    target: Target, data_dir: Path | None, config: Path | None, changes: Iterable[str]
) -> Exit:
    """Show the limits, after putting the *changes* (``NAME=N``) in force.

    Raises:
        click.UsageError: a change is not understood.
    """
    wanted = _read_limits(changes)
    settings = read_settings(config, data_dir=data_dir)

    async def at_server(client: JobsClient) -> LimitsDocument:
        return await (client.change_limits(**wanted) if wanted else client.get_limits())

    async def in_directory(store: JobPersistence) -> LimitsDocument:
        kept, pauses = await store.load_controls()
        limits = apply_limits(kept or settings.limits, wanted, settings)
        if wanted:
            await store.save_controls(limits, pauses)
        return LimitsDocument.of(limits)

    found = at_owner(target, data_dir, config, at_server, in_directory)
    return _show(target, found, _member_lines)


def set_pause(
    target: Target,
    data_dir: Path | None,
    config: Path | None,
    *,
    user: str | None,
    job_type: str | None,
    is_paused: bool,
) -> Exit:
    """Keep jobs from starting, or let them."""

    async def at_server(client: JobsClient) -> PausesDocument:
        change = client.pause if is_paused else client.resume
        return await change(user_id=user, job_type=job_type)

    def change(now: Pauses) -> Pauses:
        return apply_pauses(now, user_id=user, job_type=job_type, is_paused=is_paused)

    found = at_owner(target, data_dir, config, at_server, partial(_put_in_force, change))
    return _show(target, found, _member_lines)


def set_drain(
    target: Target, data_dir: Path | None, config: Path | None, *, is_draining: bool
) -> Exit:
    """Refuse new jobs, or take them."""
    at_server = JobsClient.drain if is_draining else JobsClient.end_drain

    def change(now: Pauses) -> Pauses:
        return attrs.evolve(now, draining=is_draining)

    found = at_owner(target, data_dir, config, at_server, partial(_put_in_force, change))
    return _show(target, found, _member_lines)


def clean_up(
    target: Target,
    data_dir: Path | None,
    config: Path | None,
    *,
    older_than: float,
    statuses: Iterable[str],
    dry_run: bool,
) -> Exit:
    """Delete finished jobs that are old enough, or count them."""
    wanted = [JobStatus(status) for status in statuses]

    async def at_server(client: JobsClient) -> CleanupDocument:
        return await client.clean_up(older_than, statuses=wanted or None, dry_run=dry_run)

    async def in_directory(store: JobPersistence) -> CleanupDocument:
        check_cleanup(older_than, wanted)
        before = datetime.now(UTC) - timedelta(seconds=older_than)
        those = frozenset(wanted) or FINAL
        matched = await store.count_expired_jobs(before, those)
        deleted = 0 if dry_run else await delete_expired(store, before, those)
        return CleanupDocument(matched=matched, deleted=deleted, dry_run=dry_run)

    found = at_owner(target, data_dir, config, at_server, in_directory)
    return _show(target, found, _member_lines)


async def _put_in_force(
    change: Callable[[Pauses], Pauses], store: JobPersistence
) -> PausesDocument:
    limits, pauses = await store.load_controls()
    changed = change(pauses)
    await store.save_controls(limits, changed)
    return PausesDocument.of(changed)


def _free_slots(limits: Limits) -> SlotUseDocument:
    return SlotUseDocument(
        running=0,
        max_running_total=limits.max_running_total,
        max_running_per_user=limits.max_running_per_user,
        users={},
        resources={
            name: ResourceUseDocument(used=0, limit=limit, waiting=0)
            for name, limit in limits.resources.items()
        },
    )


def _show(target: Target, document: D, lines: Callable[[D], Iterator[str]]) -> Exit:
    if target.as_json:
        print_json(document)
    else:
        print_lines(lines(document))
    return Exit.DONE


def _read_limits(changes: Iterable[str]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for name, value in read_pairs(changes, "--set").items():
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
    for name, value in msgspec.to_builtins(document).items():
        yield f"{name:<22} {_words(value)}"


def _words(value: Any) -> str:
    match value:
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
    yield f"{'waiters':<12} {stats.waiters}"
    yield f"{'database id':<12} {escape(stats.database_id)}"
    yield f"{'database':<12} {stats.database_bytes:,} bytes, log {stats.wal_bytes:,} bytes"


def _quantiles(seconds: QuantilesDocument) -> str:
    if seconds.p50 is None or seconds.p95 is None:
        return "-"
    return f"{duration(seconds.p50)} in the middle, {duration(seconds.p95)} at 95 %"
