"""A real proxy for tests: it tunnels (CONNECT), passes plain http on, and looks names up."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs

_HEAD_END = b"\r\n\r\n"


@attrs.define
class Proxy:
    """What it lets through, and what it was asked."""

    names: Mapping[str, int]
    """The ports of this machine where the hosts lie that it knows, by ``host:port``."""
    password: str | None = None
    """``user:password`` that it asks for."""
    asked: list[str] = attrs.field(factory=list, init=False)
    """Method and target of each request."""
    refuses: str = attrs.field(default="", init=False)
    """The status that it answers everything with, if any."""
    port: int = attrs.field(default=0, init=False)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Treat one connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(_HEAD_END)
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append(f"{method} {target}")
        place = target if method == "CONNECT" else urlsplit(target).netloc
        if status := self._find_refusal(head, place):
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.names[place])
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            # One request a connection: the next one may be for another host.
            path = target.partition("://")[2].partition("/")[2]
            lines = head.split(b"\r\n")
            lines[0] = f"{method} /{path} HTTP/1.1".encode()
            kept = [line for line in lines[:-2] if not line.lower().startswith(b"proxy-")]
            far_writer.write(b"\r\n".join([*kept, b"Connection: close"]) + _HEAD_END)
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    def _find_refusal(self, head: bytes, place: str) -> str:
        if self.password is not None:
            wanted = base64.b64encode(self.password.encode())
            if b"Proxy-Authorization: Basic " + wanted + b"\r\n" not in head:
                return '407 no\r\nProxy-Authenticate: Basic realm="proxy"'
        if self.refuses:
            return self.refuses
        return "" if place in self.names else "502 unknown host"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(names: Mapping[str, int], password: str | None = None) -> AsyncIterator[Proxy]:
    """Run a proxy on a free port of this machine."""
    proxy = Proxy(names, password)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await proxy.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
