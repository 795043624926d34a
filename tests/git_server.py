"""A real HTTP server for tests: git's own backend behind it, and every way to misbehave."""

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from aiohttp import web

from tests.made_packs import MadePack, advertise, line, list_refs, send

BACKEND = "git"
# Sections of git's answer to a fetch.
_PACK = b"000dpackfile\n"
_HEAD_LINE = re.compile(rb"[0-9a-f]{4}([0-9a-f]{40} HEAD symref-target:refs/heads/)main\n")
_PAGES = {
    "page": "<html>\nhello\n</html>\n",
    "line": '{"message": "maintenance"}',
    "nothing": "",
}
_PACK_URIS = b"0012packfile-uris\n"


@attrs.define
class GitServer:
    """Serves the repositories below a directory at ``/git/``, and faults elsewhere."""

    root: Path
    password: str | None = None
    """What it asks for, of any user, at ``/private/``."""
    elsewhere: str = attrs.field(default="", init=False)
    """Another place, which it sends clients to at ``/away/`` and ``/uris/``."""
    default_branch: bytes = attrs.field(default=b"main", init=False)
    """What it calls the branch of HEAD at ``/named/``."""
    made: MadePack = attrs.field(factory=MadePack, init=False)
    """What it has at ``/made/``."""
    progress: bytes = attrs.field(default=b"", init=False)
    """What it says of its work there."""
    spoil: Callable[[str, bytes], bytes] = attrs.field(default=lambda _, body: body, init=False)
    """Makes another answer there of an honest one: of its `refs`, its `branches`, its `pack`."""
    requests: list[str] = attrs.field(factory=list, init=False)
    """The paths that were asked for."""
    was_asked: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set by the first request."""
    port: int = attrs.field(default=0, init=False)
    _released: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer by the first part of the path."""
        self.requests.append(request.path)
        self.was_asked.set()
        _, kind, rest = request.path.split("/", 2)
        match kind:
            case "git":
                return await self._serve_git(request, f"/{rest}")
            case "private":
                return await self._serve_private(request, f"/{rest}")
            case "status":
                return web.Response(status=int(rest.split("/")[0]), text="no")
            case "redirect":
                target = f"{self.url}/git/{rest}?{request.query_string}"
                return web.Response(status=302, headers={"Location": target})
            case "away":
                return web.Response(status=302, headers={"Location": self.elsewhere})
            case "uris":
                return await self._name_a_pack_elsewhere(request, f"/{rest}")
            case "named":
                return await self._name_the_branch(request, f"/{rest}")
            case "made" | "dripping":
                return await self._send_what_was_made(request, is_dripping=kind == "dripping")
            case "dumb":
                return self._serve_file(rest)
            case _ if kind in _PAGES:
                return web.Response(text=_PAGES[kind])
            case _:
                return await self._hold(request)

    async def _hold(self, request: web.Request) -> web.StreamResponse:
        """Begin an answer and then send next to nothing."""
        response = web.StreamResponse()
        response.content_type = "application/x-git-upload-pack-advertisement"
        await response.prepare(request)
        await response.write(b"0")
        await self._released.wait()
        return response

    async def _serve_private(self, request: web.Request, path: str) -> web.StreamResponse:
        given = request.headers.get("Authorization")
        if given is None:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        if self.password is None or not given.endswith(self.password):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        return await self._serve_git(request, path)

    async def _name_a_pack_elsewhere(self, request: web.Request, path: str) -> web.Response:
        """Answer as git does, and tell a client that fetches to get a pack by URL, unasked."""
        answer = await self._serve_git(request, path)
        named = _PACK_URIS + line(f"{'a' * 40} {self.elsewhere}\n".encode()) + b"0001"
        assert isinstance(answer.body, bytes)
        answer.body = answer.body.replace(_PACK, named + _PACK, 1)
        return answer

    async def _name_the_branch(self, request: web.Request, path: str) -> web.Response:
        """Answer as git does, but for the name of the default branch."""
        answer = await self._serve_git(request, path)
        assert isinstance(answer.body, bytes)
        found = _HEAD_LINE.search(answer.body)
        if found is not None:
            named = line(found[1] + self.default_branch + b"\n")
            answer.body = answer.body.replace(found[0], named)
        return answer

    async def _send_what_was_made(
        self, request: web.Request, *, is_dripping: bool
    ) -> web.StreamResponse:
        """Answer as a git would that has the pack that was made, or never come to its first byte.

        A dripping one sends lines of progress, faster than curl's own patience asks for.
        """
        asked = await request.read()
        if request.path.endswith("/info/refs"):
            kind, body = "advertisement", self.spoil("refs", advertise())
        elif b"command=ls-refs" in asked:
            kind, body = "result", self.spoil("branches", list_refs(self.made))
        elif is_dripping:
            return await self._drip(request, send(self.made, asked))
        else:
            kind, body = "result", self.spoil("pack", send(self.made, asked, self.progress))
        return web.Response(body=body, content_type=f"application/x-git-upload-pack-{kind}")

    async def _drip(self, request: web.Request, answer: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/x-git-upload-pack-result"
        await response.prepare(request)
        await response.write(answer.partition(_PACK)[0] + _PACK)
        while not self._released.is_set():
            try:
                await response.write(line(b"\2" + b"x" * 60 + b"\n"))
            except ConnectionResetError:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._released.wait(), 0.1)
        return response

    def _serve_file(self, path: str) -> web.StreamResponse:
        """Answer as a server that knows nothing of git."""
        file = self.root / path
        return web.FileResponse(file) if file.is_file() else web.Response(status=404)

    async def _serve_git(self, request: web.Request, path: str) -> web.Response:
        child = await asyncio.create_subprocess_exec(
            BACKEND,
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
                "REQUEST_METHOD": request.method,
                "PATH_INFO": path,
                "QUERY_STRING": request.query_string,
                "CONTENT_TYPE": request.headers.get("Content-Type", ""),
                "REMOTE_ADDR": "127.0.0.1",
            },
        )
        output, _ = await child.communicate(await request.read())
        head, _, body = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=body)

    def release(self) -> None:
        """Let go of everything that is held back."""
        self._released.set()


@asynccontextmanager
async def serving_git(
    root: Path, password: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[GitServer]:
    """Serve the repositories below *root* on a free port of this machine."""
    server = GitServer(root, password)
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, auto_decompress=False, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        server.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        yield server
    finally:
        server.release()
        await runner.cleanup()
