"""Requests forwarded to the owner: the HTTP API in a process that does not own the directory.

Who makes the request is known here already, by the host's own way: the owner takes the word of
whoever holds the token of the directory.
"""

import base64
import contextlib
import hmac
import os
from collections.abc import AsyncIterator, Mapping

import aiohttp
import msgspec
from aiohttp import web
from typing_extensions import override

from cidx_jobs.interfaces.access import Identity
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.socket_paths import open_short_path
from cidx_jobs.settings import DataDirectory
from cidx_jobs.web.access.proxy_peers import ProxyPeers

SCHEME = "Member"
"""Of the header ``Authorization``: the token, and who makes the request."""
_DROPPED = frozenset(
    {"host", "connection", "authorization", "expect", "content-length", "transfer-encoding"}
    | {"upgrade", "origin", "x-forwarded-prefix"}
)
"""What is said of the connection to this process, and not of the request."""
_ADMIN = Identity("admin", frozenset({"admin"}))


class TokenHolder:
    """Takes whoever holds the token of the directory at their word."""

    def __init__(self, token: str) -> None:
        """Take the token."""
        self._token = token.encode()

    async def identify(self, request: web.Request) -> Identity | None:
        """Return whom a member names, the administrator for others with the token, or nobody."""
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        token, _, named = rest.partition(" ")
        if not hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._token):
            return None
        if scheme == "Bearer" and not named:
            return _ADMIN
        if scheme != SCHEME or not named:
            return None
        user_id, scopes = msgspec.json.decode(base64.b64decode(named), type=tuple[str, list[str]])
        return Identity(user_id, frozenset(scopes))


class MemberPeers(ProxyPeers):
    """Takes the prefix that a member has the routes under."""

    @override
    def prefix(self, request: web.Request) -> str | None:
        return request.headers.get("X-Forwarded-Prefix") or None


@contextlib.asynccontextmanager
async def forwarded(
    directory: DataDirectory,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    identity: Identity | None,
    prefix: str,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Ask the owner the same; yield its answer, of which the body is still to be read.

    Raises:
        aiohttp.ClientError, OSError: it does not answer.
    """
    name, descriptor = await in_own_thread(open_short_path, directory.server_socket)
    try:
        token = (await in_own_thread(directory.admin_token.read_text, "utf-8")).strip()
        kept = {key: value for key, value in headers.items() if key.lower() not in _DROPPED}
        kept["X-Forwarded-Prefix"] = prefix
        if identity is not None:
            named = msgspec.json.encode((identity.user_id, sorted(identity.scopes)))
            kept["Authorization"] = f"{SCHEME} {token} {base64.b64encode(named).decode()}"
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(name),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                skip_auto_headers=("Content-Type", "User-Agent", "Accept-Encoding"),
            ) as session,
            session.request(method, f"http://local{target}", headers=kept, data=body) as answer,
        ):
            yield answer
    finally:
        if descriptor is not None:
            os.close(descriptor)
