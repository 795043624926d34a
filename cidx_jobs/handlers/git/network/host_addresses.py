"""Address check of a host name: where it leads, and whether that is outside (security.md)."""

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cidx_jobs.handlers.git.network import name_lookup
from cidx_jobs.handlers.git.network.address_registries import (
    NO_HOSTS_IPV4,
    NO_HOSTS_IPV6,
    UNICAST_IPV6,
)
from cidx_jobs.handlers.git.url_rules import Remote
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.model.errors import JobFailure

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host; raises `OSError` when there are none."""

RESOLVE_SECONDS = 20.0
"""How long the look-up of a name may take."""

GLANCE_SECONDS = 5.0
"""The same where the name may well be unknown here, behind a proxy that knows it."""
_UNKNOWN = "NET-001"

# Addresses of the older protocol inside the newer one lead where the older one leads.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOWEST_32_BITS = 0xFFFF_FFFF


class HostLookup:
    """Looks names up, each in a child of its own (`Resolve`).

    A name server that does not answer holds that child, and nothing that others need: a thread
    in its place would stay after its time was up, and with it a place in everybody's pool.
    """

    def __init__(self, children: Children, program: Path = Path(name_lookup.__file__)) -> None:
        """Take who starts processes, and the Python *program* that they run."""
        self._children = children
        self._program = program

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses that the system knows for a host.

        Raises:
            OSError: there are none.
        """
        if _is_address(host):
            return [host]
        argv = [sys.executable, "-I", "-S", str(self._program), host, str(port)]
        result = await self._children.execute(argv, timeout=2 * RESOLVE_SECONDS)
        if result.returncode != 0 or not result.stdout:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known")
        return result.stdout.split()


async def find_addresses(
    remote: Remote, resolve: Resolve, *, seconds: float = RESOLVE_SECONDS
) -> Sequence[str]:
    """Return the addresses of a remote's host, each checked.

    Args:
        remote: whose host is looked up.
        resolve: looks it up.
        seconds: how long that may take.

    Raises:
        JobFailure: the name has no address or is not looked up in time (NET-001), or one of its
            addresses is no public one and the operator does not list the host (NET-005).
    """
    try:
        async with asyncio.timeout(seconds):
            found = await resolve(remote.host, remote.port)
    except TimeoutError as error:
        message = f"the name of the host {remote.host} was not looked up in {seconds:g} seconds"
        raise JobFailure(message, code=_UNKNOWN) from error
    except (OSError, UnicodeError) as error:
        message = f"the host {remote.host} is not known"
        raise JobFailure(message, code=_UNKNOWN) from error
    if not remote.is_allowed_inside and not all(map(is_public, found)):
        message = f"the host {remote.host} does not lead to a public address"
        raise JobFailure(message, code="NET-005")
    return found


async def check_addresses(
    remote: Remote, resolve: Resolve, *, seconds: float = GLANCE_SECONDS
) -> None:
    """Check the addresses of a host that somebody else will look up, as far as they are known.

    Raises:
        JobFailure: one of them is no public one (NET-005).
    """
    try:
        await find_addresses(remote, resolve, seconds=seconds)
    except JobFailure as failure:
        if failure.failure_code != _UNKNOWN:
            raise


def is_public(text: str) -> bool:
    """Return whether an address is one of the public internet, whatever it is wrapped in."""
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in block for block in NO_HOSTS_IPV4)
    inner = _inner(address)
    if inner is not None:
        return is_public(str(inner))
    # With a zone it would be in no block, and belongs to one link.
    return (
        address.scope_id is None
        and address in UNICAST_IPV6
        and not any(address in block for block in NO_HOSTS_IPV6)
    )


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & _LOWEST_32_BITS)
    return address.ipv4_mapped or address.sixtofour


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
