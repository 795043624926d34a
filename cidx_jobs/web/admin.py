"""What only administrators may do: tokens, counts, limits, pauses."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import attrs
from aiohttp import web

from cidx_jobs.model.errors import (
    Fault,
    SettingsError,
    TokenNotFoundError,
    ValidationError,
)
from cidx_jobs.model.ids import MAX_USER_ID_CHARACTERS, UserId, is_job_type
from cidx_jobs.model.job import JobStatus
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.queries import JobQuery
from cidx_jobs.store.accounts import make_token
from cidx_jobs.web.api import Call
from cidx_jobs.web.requests import Query, read_members
from cidx_jobs.wire.access import NewTokenDocument, TokenDocument, TokenListDocument
from cidx_jobs.wire.bodies import CleanupBody, EmptyBody, LimitsBody, PauseBody, TokenBody
from cidx_jobs.wire.examination import RecoveryDocument
from cidx_jobs.wire.reading import fit
from cidx_jobs.wire.service import (
    CleanupDocument,
    LimitsDocument,
    PausesDocument,
    QuantilesDocument,
    ResourceUseDocument,
    SlotUseDocument,
    StatsDocument,
)

N = TypeVar("N", bound=str)

SCOPES = ("read", "write", "admin")
MAX_LABEL_CHARACTERS = 255
MAX_LIFETIME_SECONDS = 10 * 365 * 86_400
MAX_AGE_SECONDS = 100 * 365 * 86_400
MAX_UNITS = 10_000
FINAL = frozenset(status for status in JobStatus if status.is_final)
SAMPLE = 200
"""How many finished jobs the waits and durations of the stats are made of."""

_MAX_PRIORITY = 9
_NAME_RULE = f"1 to {MAX_USER_ID_CHARACTERS} printable characters"


async def list_tokens(call: Call) -> web.Response:
    """Give all tokens, without their texts."""
    Query(call.request, ())
    tokens = await call.api.jobs.persistence.list_tokens()
    return call.answer(TokenListDocument(tokens=tuple(map(TokenDocument.of, tokens))))


async def create_token(call: Call) -> web.Response:
    """Make a token; its text is shown this once."""
    Query(call.request, ())
    body = fit(TokenBody, await read_members(call.request))
    faults = _token_faults(body)
    if faults:
        raise ValidationError(faults)
    jobs = call.api.jobs
    text, token = make_token(
        UserId(body.user_id),
        body.scope,
        now=jobs.clock.now(),
        lifetime_seconds=body.lifetime_seconds,
        label=body.label,
    )
    await jobs.persistence.save_token(token)
    location = f"{call.api.prefix}/admin/tokens/{token.token_id}"
    return call.answer(
        NewTokenDocument.of(text, token), status=201, headers={"Location": location}
    )


async def revoke_token(call: Call) -> web.Response:
    """Revoke a token at once."""
    Query(call.request, ())
    token_id = call.request.match_info["token_id"]
    tokens = call.api.tokens
    if tokens is not None:
        await tokens.revoke(token_id)
    elif not await call.api.jobs.persistence.delete_token(token_id):
        raise TokenNotFoundError(token_id)
    return call.answer_nothing()


async def get_stats(call: Call) -> web.Response:
    """Give counts over everything stored, and what is in use now."""
    Query(call.request, ())
    jobs, manager = call.api.jobs, call.manager
    stats = await jobs.persistence.collect_stats()
    finished = JobQuery(statuses=FINAL, limit=SAMPLE)
    ended = (await manager.query_jobs(finished)).jobs
    return call.answer(
        StatsDocument(
            by_status=dict(stats.by_status),
            by_type=dict(stats.by_type),
            by_user=dict(stats.by_user),
            wait_seconds=_quantiles([_seconds(job.queued_at, job.started_at) for job in ended]),
            run_seconds=_quantiles([_seconds(job.started_at, job.finished_at) for job in ended]),
            sample=len(ended),
            slots=_slots(call),
            pauses=PausesDocument.of(manager.pauses),
            waiters=call.api.waiters.count,
            database_bytes=stats.database_bytes,
            wal_bytes=stats.wal_bytes,
            last_seq=stats.last_sequence,
            recovery=RecoveryDocument.of(jobs.recovery),
        )
    )


async def get_limits(call: Call) -> web.Response:
    """Give the limits in force."""
    Query(call.request, ())
    return call.answer(LimitsDocument.of(call.manager.limits))


async def change_limits(call: Call) -> web.Response:
    """Put other limits in force; lowering one ends nothing. They are kept over restarts."""
    Query(call.request, ())
    body = fit(LimitsBody, await read_members(call.request))
    await call.manager.set_controls(limits=lambda now: _changed(call, body, now))
    return call.answer(LimitsDocument.of(call.manager.limits))


async def pause(call: Call) -> web.Response:
    """Keep everything, a user's jobs, or those of a type from starting."""
    return await _set_pause(call, is_paused=True)


async def resume(call: Call) -> web.Response:
    """Let them start again."""
    return await _set_pause(call, is_paused=False)


async def drain(call: Call) -> web.Response:
    """Refuse new jobs, start none, and finish what runs."""
    return await _set_drain(call, is_draining=True)


async def end_drain(call: Call) -> web.Response:
    """Take new jobs again."""
    return await _set_drain(call, is_draining=False)


async def clean_up(call: Call) -> web.Response:
    """Delete finished jobs that are old enough, or count them."""
    Query(call.request, ())
    body = fit(CleanupBody, await read_members(call.request))
    faults = _cleanup_faults(body)
    if faults:
        raise ValidationError(faults)
    found = await call.manager.clean_up_jobs(
        body.older_than_seconds,
        FINAL if body.statuses is None else frozenset(body.statuses),
        dry_run=body.dry_run,
    )
    return call.answer(
        CleanupDocument(matched=found.matched, deleted=found.deleted, dry_run=body.dry_run)
    )


async def _set_pause(call: Call, *, is_paused: bool) -> web.Response:
    Query(call.request, ())
    body = fit(PauseBody, await read_members(call.request))
    faults = _pause_faults(body)
    if faults:
        raise ValidationError(faults)
    return await _put_in_force(call, lambda now: _paused(now, body, is_paused=is_paused), 200)


def _paused(now: Pauses, body: PauseBody, *, is_paused: bool) -> Pauses:
    pauses = now
    if body.user_id is not None:
        users = _toggled(pauses.users, UserId(body.user_id), is_in=is_paused)
        pauses = attrs.evolve(pauses, users=users)
    if body.job_type is not None:
        types = _toggled(pauses.job_types, body.job_type, is_in=is_paused)
        pauses = attrs.evolve(pauses, job_types=types)
    if body.user_id is None and body.job_type is None:
        pauses = attrs.evolve(pauses, everything=is_paused)
    return pauses


async def _set_drain(call: Call, *, is_draining: bool) -> web.Response:
    Query(call.request, ())
    fit(EmptyBody, await read_members(call.request))
    status = 202 if is_draining else 200
    return await _put_in_force(call, lambda now: attrs.evolve(now, draining=is_draining), status)


async def _put_in_force(
    call: Call, change: Callable[[Pauses], Pauses], status: int
) -> web.Response:
    await call.manager.set_controls(pauses=change)
    return call.answer(PausesDocument.of(call.manager.pauses), status=status)


def _toggled(names: frozenset[N], name: N, *, is_in: bool) -> frozenset[N]:
    return names | {name} if is_in else names - {name}


def _cleanup_faults(body: CleanupBody) -> list[Fault]:
    faults = []
    if not 0 <= body.older_than_seconds <= MAX_AGE_SECONDS:
        faults.append(Fault("/older_than_seconds", f"it is from 0 to {MAX_AGE_SECONDS}"))
    for number, status in enumerate(body.statuses or ()):
        if status not in FINAL:
            rule = f"only {', '.join(sorted(FINAL))} jobs can be deleted"
            faults.append(Fault(f"/statuses/{number}", rule))
    return faults


def _pause_faults(body: PauseBody) -> list[Fault]:
    faults = [] if body.user_id is None else _user_faults(body.user_id)
    if body.job_type is not None and not is_job_type(body.job_type):
        faults.append(Fault("/job_type", "it is no name of a job type"))
    return faults


def _user_faults(user_id: str) -> list[Fault]:
    return [] if _is_name(user_id) else [Fault("/user_id", f"it has {_NAME_RULE}")]


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= MAX_USER_ID_CHARACTERS and text.isprintable()


def _token_faults(body: TokenBody) -> list[Fault]:
    faults = _user_faults(body.user_id)
    if body.scope not in SCOPES:
        faults.append(Fault("/scope", f"it is one of {', '.join(SCOPES)}"))
    lifetime = body.lifetime_seconds
    if lifetime is not None and not 0 < lifetime <= MAX_LIFETIME_SECONDS:
        faults.append(Fault("/lifetime_seconds", f"it is over 0, at most {MAX_LIFETIME_SECONDS}"))
    label = body.label
    if label is not None and (len(label) > MAX_LABEL_CHARACTERS or not label.isprintable()):
        rule = f"it has at most {MAX_LABEL_CHARACTERS} printable characters"
        faults.append(Fault("/label", rule))
    return faults


def _changed(call: Call, body: LimitsBody, now: Limits) -> Limits:
    """Give the limits with the body's changes; the settings know the ranges."""
    names = [field.name for field in attrs.fields(Limits)]
    changes = {name: value for name in names if (value := getattr(body, name)) is not None}
    if body.resources is not None:
        changes["resources"] = {**now.resources, **body.resources}
    faults = [fault for name in changes for fault in _limit_faults(call, body, name)]
    if faults:
        raise ValidationError(faults)
    return attrs.evolve(now, **changes)


def _limit_faults(call: Call, body: LimitsBody, name: str) -> list[Fault]:
    match name:
        case "resources":
            return _map_faults("/resources", body.resources, 1, MAX_UNITS)
        case "user_max_priorities":
            own = body.user_max_priorities
            return _map_faults("/user_max_priorities", own, 0, _MAX_PRIORITY)
        case _:
            try:
                attrs.evolve(call.api.jobs.settings, **{name: getattr(body, name)})
            except SettingsError as error:
                return [Fault(f"/{name}", error.message)]
            return []


def _map_faults(
    pointer: str, numbers: Mapping[str, int] | None, low: int, high: int
) -> list[Fault]:
    rule = f"the number is from {low} to {high}, and the name has {_NAME_RULE}"
    return [
        Fault(pointer, f"{name[:80]!r}: {rule}")
        for name, number in (numbers or {}).items()
        if not low <= number <= high or not _is_name(name)
    ]


def _slots(call: Call) -> SlotUseDocument:
    use = call.api.jobs.concurrency.snapshot()
    return SlotUseDocument(
        running=use.running,
        max_running_total=use.max_running_total,
        max_running_per_user=use.max_running_per_user,
        users={str(user_id): held for user_id, held in use.users.items()},
        resources={
            name: ResourceUseDocument(used=one.used, limit=one.limit, waiting=one.waiting)
            for name, one in use.resources.items()
        },
    )


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    if begin is None or end is None:
        return None
    return max(0.0, (end - begin).total_seconds())


def _quantiles(values: Sequence[float | None]) -> QuantilesDocument:
    known = sorted(value for value in values if value is not None)
    if not known:
        return QuantilesDocument(p50=None, p95=None)
    last = len(known) - 1
    return QuantilesDocument(p50=known[last // 2], p95=known[round(last * 0.95)])
