"""Accounts: listed, made, changed, removed."""

from typing import Annotated

from aiohttp import web

from cidx_jobs.model.errors import (
    ExtraMissingError,
    ProjectBusyError,
    UserExistsError,
)
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.admin import ADMIN
from cidx_jobs.web.routes.admin.tokens import revoke_tokens_of
from cidx_jobs.wire.member_rules import about
from cidx_jobs.wire.request_bodies import ChangeUserBody, UserBody
from cidx_jobs.wire.tokens import UserDocument, UserListDocument

_ALICE = UserDocument(
    user_id=examples.ALICE,
    scope="write",
    created_at=examples.at(0, 0),
    changed_at=examples.at(0, 0),
)


class RemoveUserQuery(Query, frozen=True, kw_only=True):
    """What goes along with the user."""

    projects: Annotated[
        bool, about("Their projects go too: copies, indexes and what is known.")
    ] = False


@route(
    "GET /admin/users",
    ADMIN,
    scope="admin",
    replies=[Reply(200, "All of them, by name.", UserListDocument(users=(_ALICE,)))],
)
async def list_users(call: Call) -> web.Response:
    """List the accounts, without their passwords' hashes."""
    accounts = await call.api.jobs.accounts.list()
    return call.answer(UserListDocument(users=tuple(map(UserDocument.like, accounts))))


@route(
    "POST /admin/users",
    ADMIN,
    scope="admin",
    body=UserBody,
    body_example={"user_id": "alice", "password": "correct horse", "scope": "write"},
    replies=[Reply(201, "The account.", _ALICE)],
    errors=[UserExistsError, ExtraMissingError],
)
async def create_user(call: Call, body: UserBody) -> web.Response:
    """Make an account, so that the user can log in."""
    account = await call.api.jobs.accounts.add(
        body.user_id,
        scope=body.scope,
        password=body.password,
        password_hash=body.password_hash,
    )
    await call.note_act("user_created", f"{account.user_id}, {account.scope}")
    return call.answer(UserDocument.like(account), status=201)


@route(
    "PATCH /admin/users/{user_id}",
    ADMIN,
    scope="admin",
    body=ChangeUserBody,
    body_example={"scope": "admin"},
    about="Logins that were made before are refused from then on.",
    replies=[Reply(200, "The account.", _ALICE)],
    errors=[ExtraMissingError],
)
async def change_user(call: Call, body: ChangeUserBody) -> web.Response:
    """Set a user's password or scope."""
    user_id = call.request.match_info["user_id"]
    account = await call.api.jobs.accounts.change(
        user_id, password=body.password, scope=body.scope
    )
    changed = [name for name in ("password", "scope") if getattr(body, name) is not None]
    await call.note_act("user_changed", ", ".join((user_id, *changed)))
    return call.answer(UserDocument.like(account))


@route(
    "DELETE /admin/users/{user_id}",
    ADMIN,
    scope="admin",
    query=RemoveUserQuery,
    about="Their jobs are cancelled first. Where a job does not stop in time, projects that "
    "were to go stay, the account is locked, and the request can be sent again.",
    replies=[Reply(204, "They cannot come in any more.")],
    errors=[ProjectBusyError],
)
async def remove_user(call: Call, query: RemoveUserQuery) -> web.Response:
    """Remove a user: account, tokens and logins, at once."""
    user_id = call.request.match_info["user_id"]
    jobs = call.api.jobs
    await jobs.accounts.lock(user_id)
    # What knows tokens here must forget those it has seen, too.
    await revoke_tokens_of(call, user_id)
    await jobs.remove_user(user_id, projects=query.projects)
    await call.note_act("user_removed", user_id)
    return call.answer_nothing()
