"""Access tokens: listed, made, revoked."""

from typing import Annotated

from aiohttp import web

from cidx_jobs.engine.operator_rules import check_token
from cidx_jobs.model.errors import TokenNotFoundError
from cidx_jobs.model.ids import UserId
from cidx_jobs.store.tokens import make_token
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.wire.member_rules import about
from cidx_jobs.wire.request_bodies import TokenBody
from cidx_jobs.wire.tokens import NewTokenDocument, TokenDocument, TokenListDocument

_ID = "9f2c4e6a8b0d1f3e"
_EXAMPLE = TokenDocument(
    token_id=_ID,
    user_id=examples.ALICE,
    scope="write",
    label="laptop",
    created_at=examples.at(0, 0),
    expires_at=None,
    last_used_at=examples.at(2, 0),
)
_NEW = NewTokenDocument.like(_EXAMPLE, token="cidxj_" + "0" * 43)


@route(
    "GET /admin/tokens",
    ADMIN,
    scope="admin",
    replies=[Reply(200, "All of them, oldest first.", TokenListDocument(tokens=(_EXAMPLE,)))],
)
async def list_tokens(call: Call) -> web.Response:
    """List the access tokens, without their texts."""
    tokens = await call.api.jobs.persistence.tokens.list_tokens()
    return call.answer(TokenListDocument(tokens=tuple(map(TokenDocument.like, tokens))))


@route(
    "POST /admin/tokens",
    ADMIN,
    scope="admin",
    body=TokenBody,
    body_example={"user_id": "alice", "scope": "write", "label": "laptop"},
    replies=[Reply(201, "The token.", _NEW, headers=("Location",))],
)
async def create_token(call: Call, body: TokenBody) -> web.Response:
    """Make an access token; its text is shown this once."""
    check_token(body.user_id, body.scope, lifetime_seconds=body.lifetime_seconds, label=body.label)
    jobs = call.api.jobs
    text, token = make_token(
        UserId(body.user_id),
        body.scope,
        now=jobs.clock.now(),
        lifetime_seconds=body.lifetime_seconds,
        label=body.label,
    )
    await jobs.persistence.tokens.save_token(token)
    await call.note_act("token_created", f"{token.token_id} of {token.user_id}, {token.scope}")
    location = f"{call.prefix}/admin/tokens/{token.token_id}"
    return call.answer(
        NewTokenDocument.like(token, token=text), status=201, headers={"Location": location}
    )


class RevokeQuery(Query, frozen=True, kw_only=True):
    """Whose tokens to revoke."""

    user_id: Annotated[str, about("The user.")]


@route(
    "DELETE /admin/tokens",
    ADMIN,
    scope="admin",
    query=RevokeQuery,
    about="Logins by user and password are no tokens: changing the account ends those.",
    replies=[Reply(204, "They open nothing any more.")],
)
async def revoke_tokens_of_user(call: Call, query: RevokeQuery) -> web.Response:
    """Revoke all access tokens of a user at once."""
    owner = call.act_for(query.user_id)
    await revoke_tokens_of(call, owner)
    await call.note_act("tokens_revoked", owner)
    return call.answer_nothing()


async def revoke_tokens_of(call: Call, user_id: str) -> None:
    """Revoke all of a user's tokens, where tokens are the way in and where they are not."""
    tokens = call.api.tokens
    if tokens is not None:
        await tokens.revoke_all(user_id)
        return
    store = call.api.jobs.persistence.tokens
    for token in await store.list_tokens():
        if token.user_id == user_id:
            await store.delete_token(token.token_id)


@route(
    "DELETE /admin/tokens/{token_id}",
    ADMIN,
    scope="admin",
    replies=[Reply(204, "It opens nothing any more.")],
)
async def revoke_token(call: Call) -> web.Response:
    """Revoke an access token at once."""
    token_id = call.request.match_info["token_id"]
    tokens = call.api.tokens
    if tokens is not None:
        await tokens.revoke(token_id)
    elif not await call.api.jobs.persistence.tokens.delete_token(token_id):
        raise TokenNotFoundError(token_id)
    await call.note_act("token_revoked", token_id)
    return call.answer_nothing()
