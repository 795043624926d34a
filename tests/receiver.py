"""A receiver of notices: a real server that answers as a test wants, and keeps what came."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import web
from aiohttp.test_utils import TestServer

WAIT_SECONDS = 10.0


@attrs.define(eq=False)
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """What it tells."""
        return json.loads(self.body)

    def is_signed(self, secret: str) -> bool:
        """Return whether it is signed with the secret, by Standard Webhooks."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        head = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
        mark = base64.b64encode(hmac.digest(key, head + self.body, hashlib.sha256)).decode()
        return hmac.compare_digest(self.headers["webhook-signature"], f"v1,{mark}")


@attrs.define(eq=False)
class Receiver:
    """Answers with what it is told to, one after the other, and then with 204."""

    url: str = ""
    statuses: list[int] = attrs.field(factory=list)
    received: list[Received] = attrs.field(factory=list)
    go_on: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Nothing is answered before it is set."""
    _came: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def host(self) -> str:
        """How an operator lists it."""
        return self.url.partition("//")[2].partition("/")[0]

    async def answer(self, request: web.Request) -> web.Response:
        """Keep a request, and answer it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(headers, await request.read()))
        self._came.set()
        await self.go_on.wait()
        status = self.statuses.pop(0) if self.statuses else 204
        return web.Response(status=status, headers={"Location": f"{self.url}/elsewhere"})

    async def until(self, count: int) -> list[Received]:
        """Wait until so many requests came, and return all."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.received) < count:
                self._came.clear()
                await self._came.wait()
        return self.received


@asynccontextmanager
async def receiving(*statuses: int, port: int | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of loopback, or on this one."""
    receiver = Receiver(statuses=list(statuses))
    receiver.go_on.set()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.answer)
    async with TestServer(app, port=port) as server:
        receiver.url = f"http://127.0.0.1:{server.port}/done"
        yield receiver
        receiver.go_on.set()
