"""Logins by user and password, as the CIDX client makes them (api.md 1.9)."""

from aiohttp import web

from cidx_jobs.engine.access.logins import Login
from cidx_jobs.model.errors import (
    ExtraMissingError,
    ForbiddenError,
    InvalidCredentialsError,
    TooManyLoginsError,
)
from cidx_jobs.web.access.bearer import read_bearer
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Group, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.wire.request_bodies import LenientEmptyBody, LoginBody, PasswordBody
from cidx_jobs.wire.tokens import (
    HealthyDocument,
    LoggedInDocument,
    LoginDocument,
    ValidDocument,
)

LOGINS = Group("logins", "Who has an account logs in with a password, and gets a token for it.")

_ALICE = LoggedInDocument(username=examples.ALICE, role="user")
_LOGIN = LoginDocument(
    access_token="eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl",  # noqa: S106 - an example
    token_type="bearer",  # noqa: S106 - the kind, no secret
    user=_ALICE,
)


@route(
    "POST /auth/login",
    LOGINS,
    scope=None,
    body=LoginBody,
    body_example={"username": "alice", "password": "correct horse"},
    about="After ten refused tries in a minute for one user and address the next are "
    "refused, too; a good one never counts.",
    replies=[Reply(200, "The login.", _LOGIN)],
    errors=[InvalidCredentialsError, TooManyLoginsError, ExtraMissingError],
)
async def log_in(call: Call, body: LoginBody) -> web.Response:
    """Log in with user and password."""
    if not call.api.jobs.settings.takes_passwords:
        message = "this server takes no passwords: who comes in is known elsewhere"
        raise ForbiddenError(message)
    login = await call.api.jobs.accounts.log_in(body.username, body.password, address=call.address)
    return _answer(call, login)


@route(
    "POST /auth/refresh",
    LOGINS,
    scope="read",
    body=LenientEmptyBody,
    about="An access token is no login, and is not renewed.",
    replies=[Reply(200, "The login.", _LOGIN)],
    errors=[InvalidCredentialsError, ExtraMissingError],
)
async def renew_login(call: Call, _: LenientEmptyBody) -> web.Response:
    """Get a new login for one that is still good."""
    text = read_bearer(call.request.headers.get("Authorization"))
    return _answer(call, await call.api.jobs.accounts.renew(text or ""))


@route(
    "GET /auth/validate",
    LOGINS,
    scope="read",
    replies=[Reply(200, "It is good.", ValidDocument(valid=True, user=_ALICE))],
    errors=[ExtraMissingError],
)
async def validate_login(call: Call) -> web.Response:
    """Tell whose the token is that comes with the request."""
    user = LoggedInDocument(username=call.user_id, role=call.caller.role)
    return call.answer(ValidDocument(valid=True, user=user))


@route(
    "POST /auth/password",
    LOGINS,
    scope="read",
    body=PasswordBody,
    body_example={"old": "correct horse", "new": "battery staple"},
    about="All logins that were made before are refused from then on, this one included.",
    replies=[Reply(204, "It is set.")],
    errors=[InvalidCredentialsError, TooManyLoginsError, ExtraMissingError],
)
async def change_password(call: Call, body: PasswordBody) -> web.Response:
    """Set another password for oneself."""
    await call.api.jobs.accounts.change_password(
        call.user_id, body.old, body.new, address=call.address
    )
    return call.answer_nothing()


@route(
    "GET /health",
    LOGINS,
    scope=None,
    about="Supervisors ask `/livez` and `/readyz`.",
    replies=[Reply(200, "There is.", HealthyDocument(status="healthy"))],
)
async def is_healthy(call: Call) -> web.Response:
    """Tell the CIDX client that a server is here."""
    return call.answer(HealthyDocument(status="healthy"))


def _answer(call: Call, login: Login) -> web.Response:
    user = LoggedInDocument(username=login.user_id, role=login.role)
    return call.answer(
        LoginDocument(access_token=login.token, token_type="bearer", user=user)  # noqa: S106 - the kind
    )
