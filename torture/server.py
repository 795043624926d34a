"""A real ``cidx-jobs serve`` as a process, its log, and how to ask it."""

import asyncio
import atexit
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import attrs

ROOT = Path(__file__).parents[1]
READY_SECONDS = 30.0
STOP_SECONDS = 30.0
ANSWER_SECONDS = 20.0
_POLL_SECONDS = 0.005
_LAST_WORDS_SECONDS = 0.1

_FOREIGN = re.compile("CIDX|COVERAGE|PYTHONDONTWRITEBYTECODE")

ID_VARIABLE = "TORTURE_ID"
"""Marks every process of one torture run, so that what outlives its server is found."""
LIFE_VARIABLE = "TORTURE_LIFE"
"""Names, in a server's own environment, its life: each namespace counts its processes anew."""
SERVER_VARIABLE = "TORTURE_SERVER"
"""Names, in the environment of a job's process, the life of the server that started it."""
RUNS_VARIABLE = "TORTURE_RUNS"
"""Where jobs write down when they begin and end."""


class NotReadyError(Exception):
    """The server ended before it was ready; the text is what it said last."""


@attrs.define
class Site:
    """Where a torture run takes place: the data directory, the jobs' own ledger, the settings."""

    data_dir: Path
    runs: Path
    identity: str
    settings: Mapping[str, str]
    handlers: str = "torture.jobs:TYPES"
    program: str = "cidx_jobs"
    """The module that is run; another one has a bug planted before the server begins."""

    def environment(self, life: str = "") -> dict[str, str]:
        """Give the environment of a server in this life."""
        values = {
            "data_dir": str(self.data_dir),
            "port": "0",
            "log_format": "json",
            "handlers": self.handlers,
            **self.settings,
        }
        # Whoever measures the harness does not measure servers that are killed.
        kept = {name: value for name, value in os.environ.items() if not _FOREIGN.search(name)}
        ours = {f"CIDX_JOBS_{name.upper()}": value for name, value in values.items()}
        return {
            **kept,
            **ours,
            "PYTHONPYCACHEPREFIX": _compiled_folder(),
            ID_VARIABLE: self.identity,
            RUNS_VARIABLE: str(self.runs),
            LIFE_VARIABLE: life,
        }


@attrs.define
class Server:
    """One life of the server."""

    process: asyncio.subprocess.Process
    life: str
    """Its name among all lives of all servers."""
    born: float
    """On the monotonic clock, which all processes of a machine share."""
    lines: list[dict[str, Any]] = attrs.field(factory=list)
    url: str = ""
    ready_seconds: float = 0.0
    inner_pid: int | None = None
    """The process that is signalled, where what was started is not the server but holds it."""
    _reader: "asyncio.Task[None] | None" = None
    _is_ready: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def count(self, event: str) -> int:
        """Count the lines of the log with this event."""
        return sum(line.get("event") == event for line in self.lines)

    async def until_ready(self) -> None:
        """Wait until it takes work.

        Raises:
            NotReadyError: it ended before, or takes too long.
        """
        ended = asyncio.create_task(self._exited())
        ready = asyncio.create_task(self._is_ready.wait())
        await asyncio.wait(
            {ended, ready}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        ended.cancel()
        if not self._is_ready.is_set():
            raise NotReadyError(str(self.lines[-3:]))

    async def kill(self) -> float:
        """Kill it with -9; give the time at which it was surely dead."""
        self.send_signal(signal.SIGKILL)
        return await self.ended()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens where it has ended.

        Not by the process's own method, which asks the system whether it has ended and so may
        take the exit code away from whoever waits for it.
        """
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.inner_pid or self.pid, number)

    async def stop(self) -> int:
        """Stop it as an operator does; give the exit code."""
        self.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.ended()
        except TimeoutError:
            await self.kill()
            return -signal.SIGKILL
        return self.process.returncode or 0

    async def ended(self) -> float:
        """Wait for its end; give the time of it."""
        await self._exited()
        died = time.monotonic()
        if self._reader is not None:
            # What it said last is in the pipe by now.
            await asyncio.wait({self._reader}, timeout=_LAST_WORDS_SECONDS)
            self._reader.cancel()
        # A fork of its own may hold the pipe for longer.
        transport: asyncio.BaseTransport = self.process._transport  # type: ignore[attr-defined]
        transport.close()
        return died

    def follow(self) -> None:
        """Begin to read its log."""
        self._reader = asyncio.create_task(self._read())

    async def _exited(self) -> None:
        # The process's own `wait` waits for the end of its pipe as well, and a child that
        # outlived it, or the tracer of one, may hold that.
        while self.process.returncode is None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self) -> None:
        stream = self.process.stderr
        assert stream is not None
        async for raw in stream:
            try:
                line = json.loads(raw)
            except ValueError:
                line = {"event": "", "text": raw.decode("utf-8", "replace")}
            self.lines.append(line)
            if line.get("event") == "server_ready":
                self.url = line["url"]
                self.ready_seconds = time.monotonic() - self.born
                self._is_ready.set()


async def start(site: Site, prefix: Sequence[str] = ()) -> Server:
    """Start a server; *prefix* goes before its command line (a tracer)."""
    life = uuid.uuid4().hex
    process = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        *("-m", site.program, "serve"),
        cwd=ROOT,
        env=site.environment(life),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    server = Server(process=process, life=life, born=time.monotonic())
    server.follow()
    return server


@functools.cache
def _compiled_folder() -> str:
    # Where nothing may be kept beside the sources, each start would compile them anew, which
    # takes longer than the rest of it. A folder of our own can be kept anywhere.
    folder = tempfile.mkdtemp(prefix="torture-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextlib.asynccontextmanager
async def started(site: Site, prefix: Sequence[str] = ()) -> AsyncIterator[Server]:
    """Give a server that is ready; at the end of the block it is dead, in whatever way."""
    server = await start(site, prefix)
    try:
        await server.until_ready()
        yield server
    finally:
        await server.kill()


@attrs.define
class Answer:
    """What a server answered."""

    status: int
    document: Any


class Caller:
    """Asks a server over HTTP; one connection pool a server."""

    def __init__(self, server: Server) -> None:
        """Ask this life of the server."""
        self._server = server
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            self._server.url, timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer | None:
        """Give the answer, or None where the outcome is unknown: nothing came, or not all."""
        assert self._http is not None
        try:
            async with self._http.request(method, path, json=body, headers=headers) as answer:
                return Answer(answer.status, await answer.json())
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
            return None
