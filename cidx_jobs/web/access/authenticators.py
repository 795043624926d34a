"""Who makes a request: everybody (`none`), the owner of a token, or whom the host knows."""

import asyncio
import contextlib
import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
from aiohttp import web
from msgspec.structs import replace

from cidx_jobs.engine.access.accounts import Accounts
from cidx_jobs.interfaces.access import Authenticator, Credentials, Identity
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.tokens import TokenStore
from cidx_jobs.model.errors import CidxJobsError, TokenNotFoundError
from cidx_jobs.model.listing import Token
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.socket_paths import is_name_of
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.tokens import digest_token
from cidx_jobs.system import JobSystem
from cidx_jobs.web.access.bearer import read_bearer
from cidx_jobs.web.access.jwt import JwtAuthenticator
from cidx_jobs.web.access.proxy import ProxyAuthenticator
from cidx_jobs.web.access.proxy_peers import ProxyPeers

Authenticate = Callable[[web.Request], Awaitable[Identity | None]]
"""The host application's own way to tell who makes a request; None is a 401."""

_TOKEN = re.compile(r"cidxj_[A-Za-z0-9_-]{43}")
_TRUSTED_SECONDS = 1.0
"""So long a token is taken again without a look into the store."""
_TOUCH_AFTER = timedelta(minutes=1)
_MANY_TOKENS = 10_000

_log = get_logger("web")


class LocalAuthenticator(Authenticator):
    """Takes everybody for the one user ``local``, who may do all (mode ``none``)."""

    async def authenticate(self, credentials: Credentials) -> Identity | None:  # noqa: ARG002
        """Return the one identity there is."""
        return _LOCAL

    async def identify(self, _: web.Request) -> Identity:
        """Return it without a look at the request."""
        return _LOCAL


_LOCAL = Identity(user_id="local", scopes=frozenset({"admin"}))


class _Known(msgspec.Struct, frozen=True):
    """A token that was looked up, and until when it need not be looked up again."""

    token: Token
    identity: Identity
    until: float


class TokenAuthenticator(Authenticator):
    """Knows the owner of a bearer token by the digest that the store keeps of it.

    A token that was found is trusted for a second without asking the store again; one that is
    revoked here is refused from that moment. Logins by user and password are taken, too.
    """

    def __init__(self, store: TokenStore, clock: Clock, accounts: Callable[[], Accounts]) -> None:
        """Take where tokens are kept, and who knows logins once the server is open."""
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._known: dict[str, _Known] = {}
        self._touches: set[asyncio.Task[None]] = set()
        # A token that is being touched must not be stored again after its revocation.
        self._writing = asyncio.Lock()

    async def authenticate(self, credentials: Credentials) -> Identity | None:
        """Return the owner of the token, unless it is unknown, revoked or expired."""
        text = read_bearer(credentials.authorization)
        if text is None:
            return None
        if not _TOKEN.fullmatch(text):
            return await self._accounts().identify(text)
        digest = digest_token(text)
        known = await self._find(digest)
        if known is None or not hmac.compare_digest(known.token.digest.encode(), digest.encode()):
            return None
        token, now = known.token, self._clock.now()
        if token.expires_at is not None and token.expires_at <= now:
            return None
        if token.last_used_at is None or now - token.last_used_at >= _TOUCH_AFTER:
            self._touch(replace(token, last_used_at=now))
        return known.identity

    async def revoke(self, token_id: str) -> None:
        """Revoke a token: requests that come from now on are refused.

        Raises:
            TokenNotFoundError: there is none.
        """
        async with self._writing:
            existed = await self._store.delete_token(token_id)
            for digest, known in tuple(self._known.items()):
                if known.token.token_id == token_id:
                    del self._known[digest]
        if not existed:
            raise TokenNotFoundError(token_id)

    async def revoke_all(self, user_id: str) -> None:
        """Revoke all tokens of a user: requests that come from now on are refused."""
        for token in await self._store.list_tokens():
            if token.user_id == user_id:
                with contextlib.suppress(TokenNotFoundError):
                    await self.revoke(token.token_id)

    async def close(self) -> None:
        """Wait until what is being stored is stored."""
        if self._touches:
            await asyncio.wait(self._touches)

    async def _find(self, digest: str) -> _Known | None:
        known = self._known.get(digest)
        if known is not None and known.until > self._clock.monotonic():
            return known
        token = await self._store.find_token(digest)
        if token is None:
            self._known.pop(digest, None)
            return None
        return self._remember(token)

    def _remember(self, token: Token) -> _Known:
        if len(self._known) >= _MANY_TOKENS:
            self._known.clear()
        identity = Identity(user_id=token.user_id, scopes=frozenset({token.scope}))
        known = _Known(token, identity, self._clock.monotonic() + _TRUSTED_SECONDS)
        self._known[token.digest] = known
        return known

    def _touch(self, token: Token) -> None:
        # Not in the request's way: nobody waits for the time of the last use.
        self._remember(token)
        task = asyncio.create_task(self._save_use(token), name=f"touch-{token.token_id}")
        self._touches.add(task)
        task.add_done_callback(self._touches.discard)

    async def _save_use(self, token: Token) -> None:
        try:
            async with self._writing:
                if await self._store.find_token(token.digest) is not None:
                    await self._store.save_token(token)
        except CidxJobsError as error:
            _log.warning("token_use_not_stored", token_id=token.token_id, code=error.code)


def make_authenticator(jobs: JobSystem, tokens: TokenAuthenticator) -> Authenticator:
    """Return the way in that the settings choose; *tokens* is one of them."""
    match jobs.settings.auth_mode:
        case "none":
            return LocalAuthenticator()
        case "jwt":
            return JwtAuthenticator(jobs.settings, jobs.clock)
        case "proxy":
            return ProxyAuthenticator(jobs.settings, ProxyPeers(jobs.settings))
        case _:
            return tokens


def make_token_authenticator(jobs: JobSystem) -> TokenAuthenticator:
    """Return what knows the tokens and the logins of this server."""
    return TokenAuthenticator(jobs.persistence.tokens, jobs.clock, lambda: jobs.accounts)


def adapt(
    authenticator: Authenticator, tokens: TokenAuthenticator, data_dir: Path
) -> Authenticate:
    """Return the authenticator as a function of the request.

    Over the socket in the data directory, which opens to the server's own user alone, *tokens*
    are good whatever the way in is: who administers that machine has one.
    """
    if isinstance(authenticator, LocalAuthenticator):
        return authenticator.identify
    return _Adapter(authenticator, tokens, DataDirectory(data_dir).server_socket).authenticate


class _Adapter(msgspec.Struct, frozen=True):
    """Reads from a request what an authenticator asks for."""

    authenticator: Authenticator
    tokens: TokenAuthenticator
    socket: Path

    async def authenticate(self, request: web.Request) -> Identity | None:
        """Return who makes the request."""
        headers = request.headers
        if len(headers.getall("Authorization", ())) > 1:
            # Which of them counts, a proxy on the way may see otherwise than we.
            return None
        credentials = Credentials(
            authorization=headers.get("Authorization"),
            headers=headers,
            peer=request.remote or None,
        )
        if credentials.peer is None and is_name_of(request.protocol.sockname, self.socket):
            known = await self.tokens.authenticate(credentials)
            if known is not None:
                return known
        return await self.authenticator.authenticate(credentials)
