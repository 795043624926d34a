"""Commands speak to a server behind TLS, and believe nobody whose certificate they do not know."""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from cidx_jobs.web.app import create_app
from tests.fakes import WAIT_SECONDS

CERTIFICATE = Path(__file__).parents[1] / "data" / "localhost.pem"
"""Signed by itself, for localhost, until 2120; with its key."""

# Each command is a process of its own, as only there libraries are loaded lightly.
pytestmark = pytest.mark.slow


@asynccontextmanager
async def open_server(data_dir: Path) -> AsyncIterator[str]:
    """Serve the API behind TLS; give the url."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    settings = Settings(data_dir=data_dir, auth="none")
    async with JobSystem(settings, persistence=MemoryPersistence()) as jobs:
        runner = web.AppRunner(create_app(jobs))
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            yield f"https://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def list_jobs(url: str, **environment: str) -> tuple[int | None, str]:
    """Give the exit code of ``list`` as a process, and what it wrote to stderr."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cidx_jobs", "--server", url, "list", "--json"),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WAIT_SECONDS):
        _, errors = await command.communicate()
    return command.returncode, errors.decode()


async def test_a_command_trusts_the_certificates_of_the_system(tmp_path: Path) -> None:
    """They are read for the first connection, where they were not while the command was loaded."""
    async with open_server(tmp_path) as url:
        code, errors = await list_jobs(url, SSL_CERT_FILE=str(CERTIFICATE))

    assert (code, errors) == (Exit.DONE, "")


async def test_a_command_refuses_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    """It is a failure of the network, and the text says what is wrong."""
    async with open_server(tmp_path) as url:
        code, errors = await list_jobs(url)

    assert code == Exit.NETWORK
    assert "certificate" in errors
