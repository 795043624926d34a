"""Origin and Host header checks: shields against other sites' pages and DNS rebinding."""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import web

from cidx_jobs.model.errors import ForbiddenError
from cidx_jobs.settings import Settings
from cidx_jobs.web.access.proxy_peers import ProxyPeers

_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost", "ip6-loopback"})
_HOST_FORM = re.compile(r"[a-z0-9._-]+(:[0-9]+)?|\[[0-9a-f:.]+\](:[0-9]+)?")
_WORDS_OF_PROXIES = frozenset({"forwarded", "via", "x-real-ip"})
_MANY = 1_000


class OriginCheck:
    """Refuses foreign origins always; foreign hosts and callers where nobody has to log in."""

    def __init__(self, settings: Settings, peers: ProxyPeers, *, takes_everybody: bool) -> None:
        """Take who is allowed in.

        Args:
            settings: `allowed_hosts` and `allowed_origins`, `public_url`, and the bound host.
            peers: the proxies that may say which scheme a client used.
            takes_everybody: nobody has to show who they are, so that only this machine may
                call, and only by a name of its own (DNS rebinding).
        """
        self._takes_everybody = takes_everybody
        self._hosts = {host.lower() for host in (*settings.allowed_hosts, settings.host)}
        self._peers = peers
        self._origins = {origin.lower().rstrip("/") for origin in settings.allowed_origins}
        if settings.public_url is not None:
            parts = urlsplit(settings.public_url.lower())
            self._origins.add(f"{parts.scheme}://{parts.netloc}")
        self._is_known_host = lru_cache(_MANY)(self._is_own_host)
        self._is_loopback = lru_cache(_MANY)(_is_loopback)

    def check(self, request: web.Request) -> None:
        """Let the request pass.

        Raises:
            ForbiddenError: it comes from where nothing may come from.
        """
        headers = request.headers
        host = headers.get("Host", "")
        origin = headers.get("Origin")
        if origin is not None and not self._is_own_origin(origin.lower(), host.lower(), request):
            message = "requests of this Origin are not allowed"
            raise ForbiddenError(message)
        if self._takes_everybody:
            _check_directness(request)
            self._check_local(request, host)

    def _check_local(self, request: web.Request, host: str) -> None:
        here = request.protocol.sockname
        if not isinstance(here, tuple):
            return  # a unix socket: its file's mode says who may come, and no browser can
        if not self._is_loopback(here[0]):
            message = "without authentication only this machine may call"
            raise ForbiddenError(message)
        if not self._is_known_host(host.lower()):
            message = "requests to this Host are not allowed"
            raise ForbiddenError(message)

    def _is_own_origin(self, origin: str, host: str, request: web.Request) -> bool:
        if origin in self._origins:
            return True
        scheme, mark, place = origin.partition("://")
        if not mark or scheme not in {"http", "https"} or place != host:
            return False
        return self._peers.scheme(request) in {None, scheme}

    def _is_own_host(self, host: str) -> bool:
        if host in self._hosts:
            return True
        if not _HOST_FORM.fullmatch(host):
            return False
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or name in _LOOPBACK_NAMES or _is_loopback(name)


def _check_directness(request: web.Request) -> None:
    # Behind a proxy everybody comes from this machine, and would be its one user. A proxy that
    # says nothing of itself is not noticed: this mode is no protection behind one.
    for name in request.headers:
        lower = name.lower()
        if lower in _WORDS_OF_PROXIES or lower.startswith("x-forwarded-"):
            message = f"without authentication no proxy may call: the request carries {name}"
            raise ForbiddenError(message)


def _is_loopback(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
