"""A server that the tests of the API ask."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.functional.web import AioClient, House, open_house


@pytest.fixture
async def house(aiohttp_client: AioClient, tmp_path: Path) -> AsyncIterator[House]:
    """Give a server with tokens for alice, bob (write), rita (read) and root (admin)."""
    async with open_house(aiohttp_client, tmp_path) as opened:
        yield opened
