"""A server that the tests of the API ask."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.functional.web import AioClient, House, open_house


@pytest.fixture
async def house(aiohttp_client: AioClient, tmp_path: Path) -> AsyncIterator[House]:
    """Give a server with tokens for alice, bob (write), rita (read) and root (admin)."""
    async with open_house(aiohttp_client, tmp_path) as opened:
        yield opened


@pytest.fixture
def outside_address() -> str:
    """Give an address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: a datagram socket only chooses the way it would take.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network: nothing can call from outside")
        address: str = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    return address
