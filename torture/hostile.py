"""Attack a real server: with a git host that lies, and with requests that nobody would send."""

import asyncio
import contextlib
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import aiohttp
import attrs
from yarl import URL

from tests.git_server import GitServer, serving_git
from torture.fuzz import Request, Requests
from torture.hostile_host import (
    GIT_MEMORY_MEBIBYTES,
    MAX_FILES,
    MAX_REPOSITORY_BYTES,
    TRICKS,
    play,
)
from torture.server import Caller, Server, Site, started

MODES = ("none", "tokens")
SYNCS_A_ROUND = 1 / 100
CLIENTS = 8
LIVEZ_SECONDS = 10.0
"""The server answers whoever asks how it is in this time, whatever else it is asked."""
SYNC_SECONDS = 60.0
MOST_GROWTH_BYTES = 256 * 2**20
"""Of the server's own memory: what it keeps of waiting jobs is a part of it."""

_RUN_SECONDS = 5
_ANSWER_SECONDS = 20.0
_LOOK_SECONDS = 0.2
_READ_BYTES = 65_536
_STREAM_SECONDS = 0.2
_RAW_SECONDS = 0.5
_FINAL = {"completed", "failed", "cancelled"}
_SAFE_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_SHOWN = ("\x1b", "\u202e", "\r", "\x00", "\x07")
_RAW = (
    b"\x16\x03\x01\x02\x00",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api/jobs HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\n\r\n",
)

SETTINGS = {
    "git_depth": "1",
    "git_memory_bytes": str(GIT_MEMORY_MEBIBYTES * 2**20),
    "max_files": str(MAX_FILES),
    "max_repository_bytes": str(MAX_REPOSITORY_BYTES),
    "max_queued_total": "2000",
    "shutdown_grace_seconds": "1",
}


async def torture(
    folder: Path,
    *,
    rounds: int,
    seed: int,
    handlers: str,
    tricks: Sequence[str] = (),
) -> tuple[list[str], dict[str, Any]]:
    """Send *rounds* requests, and have a hundredth as many syncs meet a trick.

    Half of each without log-in, half with tokens. *tricks* names those to play, in turn; without
    any it is all there are, in an order of the seed.
    """
    attack = Attack(random=Random(seed), seed=seed)
    (folder / "served").mkdir()
    async with serving_git(folder / "served") as host, serving_git(folder / "served") as bystander:
        order = list(tricks) or attack.random.sample(sorted(TRICKS), len(TRICKS))
        syncs = max(len(tricks), round(rounds * SYNCS_A_ROUND))
        played = itertools.cycle(order)
        for part, mode in enumerate(MODES):
            site = Site(
                data_dir=folder / mode,
                runs=folder / f"runs-{mode}",
                identity=str(os.getpid()),
                settings={**SETTINGS, "auth": mode, "git_allowed_hosts": f"127.0.0.1:{host.port}"},
                handlers=handlers,
            )
            async with started(site) as server:
                attack.enter(server, mode, site)
                for trick in itertools.islice(played, (syncs + part) // 2):
                    await attack.sync(host, bystander, trick)
                await attack.send((rounds + part) // 2)
    counts = attack.counts
    return attack.faults, {
        "requests": counts["requests"],
        "answers": {str(status): attack.answers[status] for status in sorted(attack.answers)},
        "syncs": dict(attack.syncs),
        "growth_mebibytes": attack.growth_bytes // 2**20,
    }


@attrs.define
class Attack:
    """All that is asked of a server, what it answered, and what was wrong with it."""

    random: Random
    seed: int
    faults: list[str] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    answers: Counter[int] = attrs.field(factory=Counter)
    syncs: Counter[str] = attrs.field(factory=Counter)
    growth_bytes: int = 0
    _server: Server | None = None
    _mode: str = ""
    _projects: Path = Path()
    _admin: Mapping[str, str] = attrs.field(factory=dict)
    _tokens: list[str] = attrs.field(factory=list)
    _known: list[str] = attrs.field(factory=list)

    @property
    def server(self) -> Server:
        """The server that is attacked now."""
        assert self._server is not None
        return self._server

    def enter(self, server: Server, mode: str, site: Site) -> None:
        """Attack this server from now on."""
        self._server, self._mode, self._projects = server, mode, site.data_dir / "projects"
        self._tokens, self._known, self._admin = [], [], {}
        if mode == "tokens":
            token = (site.data_dir / "admin.token").read_text().strip()
            self._admin = {"Authorization": f"Bearer {token}"}
            self._tokens = [token]

    async def sync(self, host: GitServer, bystander: GitServer, trick: str) -> None:
        """Have the server sync from the host while that plays a trick."""
        host.elsewhere = self.random.choice(
            [f"{bystander.url}/status/200", f"http://localhost:{bystander.port}/status/200"]
        )
        before = self._lying()
        url = play(host, trick, self.random)
        told = f"the trick {trick!r} (mode {self._mode}, sync {self.syncs.total()})"
        body = {
            "project_id": "attacked",
            "options": {"repository_url": url},
            "max_attempts": 1,
            "timeout_seconds": _RUN_SECONDS,
        }
        async with Caller(self.server) as caller:
            job = await self._end_of(
                caller, await caller.ask("POST", "/api/sync", body, self._admin)
            )
        if job is None or job["status"] not in _FINAL:
            self.faults.append(f"{told} is not over after {SYNC_SECONDS} s: {job}")
            return
        self.syncs[job["status"]] += 1
        if bystander.requests:
            self.faults.append(f"{told} had another host asked: {bystander.requests[:3]}")
            bystander.requests.clear()
        error = job.get("error") or {}
        if any(mark in error.get("message", "") for mark in _SHOWN):
            self.faults.append(f"{told} is shown as it came: {error}")
        if job["status"] != "completed" and self._lying() != before:
            self.faults.append(
                f"{told} left on the disk: {self._lying().items() ^ before.items()}"
            )
        if trick == "good" and job["status"] != "completed":
            self.faults.append(f"a good repository is not synced: {error}")

    async def _end_of(self, caller: Caller, answer: Any) -> Mapping[str, Any] | None:
        if answer is None or answer.status not in {200, 202}:
            return {"status": "refused", "answer": answer}
        path = f"/api/jobs/{answer.document['job_id']}?wait=10&until=done"
        deadline = monotonic() + SYNC_SECONDS
        job: Mapping[str, Any] | None = None
        while (job or {}).get("status") not in _FINAL and monotonic() < deadline:
            read = await caller.ask("GET", path, headers=self._admin)
            job = read.document if read is not None and read.status == 200 else job
        return job

    def _lying(self) -> Mapping[str, int]:
        """Return the files of all copies, with their sizes; what an index keeps is its own."""
        found = {}
        for path in self._projects.rglob("*"):
            if path.is_file() and not path.name.startswith("index"):
                found[str(path)] = path.stat().st_size
        return found

    async def send(self, count: int) -> None:
        """Send so many requests, and see that the server answers, stays small, and lives."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            await self._make_tokens(http)
            async with http.get(f"{self.server.url}/openapi.json") as answer:
                requests = Requests(await answer.json(), f"{self.seed}:{self._mode}")
            numbers = iter(range(count))
            async with self._watched(http):
                clients = [self._be_client(http, requests, numbers) for _ in range(CLIENTS)]
                await asyncio.gather(*clients)

    async def _make_tokens(self, http: aiohttp.ClientSession) -> None:
        scopes = ("write", "read") if self._mode == "tokens" else ()
        for scope in scopes:
            body = {"user_id": f"user-{scope}", "scope": scope}
            url = f"{self.server.url}/api/admin/tokens"
            async with http.post(url, json=body, headers=self._admin) as answer:
                self._tokens.append((await answer.json())["token"])

    async def _be_client(
        self, http: aiohttp.ClientSession, requests: Requests, numbers: Any
    ) -> None:
        for number in numbers:
            self.counts["requests"] += 1
            if number % 200 == 0:
                await self._open_again(http)
            if number % 50 == 0:
                await self._send_raw(Random(f"{self.seed}:{number}"))
            else:
                await self._ask(http, requests.make(number, self._known, self._tokens))

    async def _ask(self, http: aiohttp.ClientSession, request: Request) -> None:
        url = URL(self.server.url + request.path, encoded=True)
        try:
            async with http.request(
                request.method,
                url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
            ) as answer:
                body = await self._read(answer)
        except ValueError:
            # The client of this harness does not send everything.
            self.counts["unsent"] += 1
            return
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.faults.append(f"no answer ({error!r}) to {request} in mode {self._mode}")
            return
        self._judge(request, answer, body)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        """Return the beginning of a body: a stream has no end."""
        if answer.content_type != "text/event-stream":
            return await answer.read()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STREAM_SECONDS):
                return await answer.content.read(_READ_BYTES)
        return b""

    def _judge(self, request: Request, answer: aiohttp.ClientResponse, body: bytes) -> None:
        self.answers[answer.status] += 1
        told = f"{request} in mode {self._mode}: {answer.status} {body[:200]!r}"
        if answer.status == 500:
            self.faults.append(f"a failure of the server: {told}")
        elif answer.status not in request.documented:
            self.faults.append(f"a status that is not documented: {told}")
        if b"Traceback" in body:
            self.faults.append(f"a traceback in an answer: {told}")
        wrong = [
            name for name, value in _SAFE_HEADERS.items() if answer.headers.get(name) != value
        ]
        if wrong:
            self.faults.append(f"an answer without {wrong}: {told}")
        if answer.status in {200, 201, 202} and request.method == "POST":
            self._known += [answer.headers.get("Location", "").rpartition("/")[2]]

    async def _send_raw(self, random: Random) -> None:
        """Send what is no request, and take whatever comes, or the end of the connection."""
        raw = random.choice([*_RAW, random.randbytes(random.randint(1, 3_000))])
        host, port = URL(self.server.url).host, URL(self.server.url).port
        answer = b""
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(raw)
                async with asyncio.timeout(_RAW_SECONDS):
                    answer = await reader.read(_READ_BYTES)
            finally:
                writer.close()
        if answer.startswith(b"HTTP/1.1 500") or b"Traceback" in answer:
            self.faults.append(f"a failure of the server: {raw[:200]!r}: {answer[:300]!r}")

    async def _open_again(self, http: aiohttp.ClientSession) -> None:
        """Take back what requests may have told the server to refuse."""
        api = f"{self.server.url}/api/admin"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with http.delete(f"{api}/drain", headers=self._admin):
                pass
            async with http.post(f"{api}/resume", json={}, headers=self._admin):
                pass

    @contextlib.asynccontextmanager
    async def _watched(self, http: aiohttp.ClientSession) -> AsyncIterator[None]:
        """Ask the server how it is, and look at its memory, inside the block."""
        watcher = asyncio.create_task(self._watch(http, self._memory_bytes()))
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.wait({watcher})
        await self._look(http)

    async def _watch(self, http: aiohttp.ClientSession, before: int) -> None:
        while True:
            await self._look(http)
            growth = self._memory_bytes() - before
            if growth > MOST_GROWTH_BYTES >= self.growth_bytes:
                self.faults.append(f"the server grew by {growth // 2**20} MiB")
            self.growth_bytes = max(self.growth_bytes, growth)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, http: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=LIVEZ_SECONDS)
        try:
            async with http.get(f"{self.server.url}/livez", timeout=timeout) as answer:
                if answer.status != 200:
                    self.faults.append(f"/livez said {answer.status} in mode {self._mode}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            about = f"after {self.counts['requests']} requests in mode {self._mode}"
            self.faults.append(f"the server did not say that it lives {about}: {error!r}")

    def _memory_bytes(self) -> int:
        try:
            pages = Path(f"/proc/{self.server.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
