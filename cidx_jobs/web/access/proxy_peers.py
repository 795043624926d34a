"""The proxies that are listed, and what they say of a request: its client, scheme and prefix."""

import ipaddress
import re
from functools import lru_cache

from aiohttp import web

from cidx_jobs.settings import Settings
from cidx_jobs.web.access.member_word import word_of

_PREFIX = re.compile(r"/[A-Za-z0-9._~/-]*")
_MAX_CHARACTERS = 256
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([0-9a-fA-F:.]+)\](?::[0-9]{1,5})?")
_MANY = 1_000


class ProxyPeers:
    """Knows whose ``X-Forwarded-*`` headers count; a unix socket counts as listed.

    Without a list nobody's do. Of a request that another process of the directory has handed on,
    that one's word counts.
    """

    def __init__(self, settings: Settings) -> None:
        """Take the addresses and networks of the setting."""
        self._networks = [ipaddress.ip_network(one, strict=False) for one in settings.proxy_peers]
        self._takes_sockets = settings.auth == "proxy" or bool(self._networks)
        self._covers = lru_cache(_MANY)(self._is_in_a_network)

    def covers(self, address: str | None) -> bool:
        """Return whether the other side is listed; None is that of a unix socket."""
        return self._takes_sockets if address is None else self._covers(address)

    def address(self, request: web.Request) -> str | None:
        """Return the address of the client; None over a unix socket.

        Of the addresses that proxies wrote down, each behind the one before, the last one counts
        that is not itself a proxy of the list.
        """
        word = word_of(request)
        if word is not None:
            return word.address
        found = request.remote or None
        if not self._takes_sockets or not self.covers(found):
            return found
        noted = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        for text in reversed(noted):
            address = _read_address(text.strip())
            if address is None:
                break
            found = address
            if not self._covers(address):
                break
        return found

    def scheme(self, request: web.Request) -> str | None:
        """Return the scheme that the client used; None where no listed proxy says."""
        word = word_of(request)
        if word is not None:
            return word.scheme
        scheme = self._said(request, "X-Forwarded-Proto")
        return scheme.lower() if scheme and scheme.lower() in {"http", "https"} else None

    def prefix(self, request: web.Request) -> str | None:
        """Return the path below which the proxy serves us; None where no listed one says.

        The word of a member does not count here: `Call.outer_prefix` looks at it.
        """
        said = self._said(request, "X-Forwarded-Prefix")
        prefix = None if said is None else said.rstrip("/")
        if prefix is None or len(prefix) > _MAX_CHARACTERS:
            return None
        return prefix if _PREFIX.fullmatch(prefix) and "//" not in prefix else None

    def _said(self, request: web.Request, header: str) -> str | None:
        if not self._takes_sockets:
            return None
        said = request.headers.getall(header, ())
        return said[0] if len(said) == 1 and self.covers(request.remote or None) else None

    def _is_in_a_network(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)


def _read_address(text: str) -> str | None:
    match = _WITH_PORT.fullmatch(text)
    if match is not None:
        text = match[1] or match[2]
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None
