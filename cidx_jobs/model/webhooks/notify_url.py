"""URLs that ends of jobs may be told to: of hosts that the operator lists, and no others."""

import re
from collections.abc import Collection

import msgspec

MAX_URL_CHARACTERS = 2_048
MAX_URLS = 8
"""A job that serves several submits tells its end to at most so many."""

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
_PORTS = {"https": 443, "http": 80}
_MAX_PORT = 65_535


class NotifyPlace(msgspec.Struct, frozen=True):
    """Where a URL leads."""

    scheme: str
    host: str
    """In lower case, without brackets."""
    port: int

    @property
    def names(self) -> frozenset[str]:
        """What the operator may call it: ``host:port``, and ``host`` for the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == _PORTS[self.scheme]
        return frozenset({f"{host}:{self.port}", *([host] if is_usual else [])})


def read_place(url: str) -> NotifyPlace | None:
    """Return where the URL leads; None for one that is not taken: of another form or scheme."""
    match = _URL.fullmatch(url) if len(url) <= MAX_URL_CHARACTERS else None
    if match is None:
        return None
    port = int(match["port"] or _PORTS[match["scheme"]])
    if not 0 < port <= _MAX_PORT:
        return None
    return NotifyPlace(match["scheme"], match["host"].lower().strip("[]"), port)


def find_fault(url: str, allowed_hosts: Collection[str]) -> str | None:
    """Return why ends are not told to the URL; None if they are.

    Args:
        url: as it was given.
        allowed_hosts: ``host[:port]`` as the operator lists them.
    """
    place = read_place(url)
    if place is None:
        return "it must be https://host/path, or http, without user and fragment"
    if place.names.isdisjoint(host.lower() for host in allowed_hosts):
        return "the operator does not allow notices to this host (webhook_allowed_hosts)"
    return None
