"""An ASGI application under uvicorn, on the test's own loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

WAIT_SECONDS = 5.0


@contextlib.asynccontextmanager
async def running_uvicorn(app: Any) -> AsyncIterator[str]:
    """Serve the application on a free port, through its whole lifespan; give its url.

    Raises:
        RuntimeError: its lifespan failed at the start.
    """
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="on", ws="none")
    server = _Server(config)
    serving = asyncio.create_task(server.serve(), name="uvicorn")
    ready = asyncio.create_task(server.is_ready.wait(), name="uvicorn-ready")
    try:
        await asyncio.wait([serving, ready], timeout=WAIT_SECONDS, return_when="FIRST_COMPLETED")
        if serving.done():
            await serving
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        ready.cancel()
        server.should_exit = True
        await asyncio.wait([serving, ready], timeout=WAIT_SECONDS)


class _Server(uvicorn.Server):
    """Tells when it takes connections, and leaves the process's signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        """Start, then tell; a start that fails does not end the whole program."""
        try:
            await super().startup(sockets)
        except SystemExit as error:
            message = "the application did not start"
            raise RuntimeError(message) from error
        self.is_ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Capture none."""
        yield
