"""What only administrators may do: tokens, counts, limits, pauses."""

from collections.abc import Callable

from aiohttp import web
from msgspec.structs import replace

from cidx_jobs.engine.operator_rules import (
    FINAL,
    apply_limits,
    apply_pauses,
    check_cleanup,
    check_token,
)
from cidx_jobs.model.errors import TokenNotFoundError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.store.tokens import make_token
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.request import Query, read_members
from cidx_jobs.wire.request_bodies import CleanupBody, EmptyBody, LimitsBody, PauseBody, TokenBody
from cidx_jobs.wire.server import (
    CleanupDocument,
    LimitsDocument,
    PausesDocument,
    ResourceUseDocument,
    SlotUseDocument,
)
from cidx_jobs.wire.stats import SAMPLE, make_stats
from cidx_jobs.wire.strict_json import fit
from cidx_jobs.wire.tokens import NewTokenDocument, TokenDocument, TokenListDocument


async def list_tokens(call: Call) -> web.Response:
    """Give all tokens, without their texts."""
    Query(call.request, ())
    tokens = await call.api.jobs.persistence.list_tokens()
    return call.answer(TokenListDocument(tokens=tuple(map(TokenDocument.of, tokens))))


async def create_token(call: Call) -> web.Response:
    """Make a token; its text is shown this once."""
    Query(call.request, ())
    body = fit(TokenBody, await read_members(call.request))
    check_token(body.user_id, body.scope, lifetime_seconds=body.lifetime_seconds, label=body.label)
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
        make_stats(
            stats,
            ended,
            slots=_slots(call),
            pauses=manager.pauses,
            waiters=call.api.waiters.count,
            recovery=jobs.recovery,
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
    wanted = {name: getattr(body, name) for name in Limits.__struct_fields__}
    changes = {name: value for name, value in wanted.items() if value is not None}
    settings = call.api.jobs.settings
    await call.manager.set_controls(limits=lambda now: apply_limits(now, changes, settings))
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
    check_cleanup(body.older_than_seconds, body.statuses or ())
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

    def change(now: Pauses) -> Pauses:
        return apply_pauses(now, user_id=body.user_id, job_type=body.job_type, is_paused=is_paused)

    return await _put_in_force(call, change, 200)


async def _set_drain(call: Call, *, is_draining: bool) -> web.Response:
    Query(call.request, ())
    fit(EmptyBody, await read_members(call.request))
    status = 202 if is_draining else 200
    return await _put_in_force(call, lambda now: replace(now, draining=is_draining), status)


async def _put_in_force(
    call: Call, change: Callable[[Pauses], Pauses], status: int
) -> web.Response:
    await call.manager.set_controls(pauses=change)
    return call.answer(PausesDocument.of(call.manager.pauses), status=status)


def _slots(call: Call) -> SlotUseDocument:
    use = call.manager.slots
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
