"""What a host name leads to, and whether that is a place outside."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

from cidx_jobs.handlers.git.url_rules import Remote
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.runtime.blocking import in_own_thread

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host; raises `OSError` when there are none."""

_RESOLVE_SECONDS = 20.0
# Addresses of the older protocol inside the newer one lead where the older one leads.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOWEST_32_BITS = 0xFFFF_FFFF


async def resolve(host: str, port: int) -> Sequence[str]:
    """Give the addresses that the system knows for a host."""
    # A look-up may take as long as the name servers like, and none waits for another's.
    found = await in_own_thread(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def find_addresses(remote: Remote, resolve: Resolve) -> Sequence[str]:
    """Give the addresses of a remote's host, each checked.

    Raises:
        JobFailure: the name has no address (NET-001), or one of its addresses is no public one
            and the operator does not list the host (NET-005).
    """
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            found = await resolve(remote.host, remote.port)
    except (OSError, UnicodeError) as error:
        message = f"the host {remote.host} is not known"
        raise JobFailure(message, code="NET-001") from error
    if not remote.is_allowed_inside and not all(map(is_public, found)):
        message = f"the host {remote.host} does not lead to a public address"
        raise JobFailure(message, code="NET-005")
    return found


def is_public(text: str) -> bool:
    """Tell whether an address is one of the public internet, whatever it is wrapped in."""
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(str(inner))
        address = ipaddress.IPv6Address(int(address))
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & _LOWEST_32_BITS)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
