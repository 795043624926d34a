"""Many clients read, list, long-poll and write while the server is stopped and killed (G3)."""

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import aiohttp
import attrs

from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.doctor import examine_directory
from torture.observed import Listed, Poll, Record, Seen, find_faults, find_untold, wake_seconds
from torture.server import Server, Site, started

ACTORS = 16
WATCHERS = 24
LATE_SECONDS = 10.0
"""How long a long-poll may sleep on after somebody was told of what it waits for."""
CALLS_A_LIFE = 2_500
FINAL_SECONDS = 120.0

_WAYS = ("kill", "term")
_PAUSE_SECONDS = 0.01
_AWAY_SECONDS = 0.05
_LOOK_SECONDS = 0.1
_PROJECT_JOBS = 25
"""Each project gets so many jobs and no more, so that one list can show all of them."""
_NEWEST = 24
_ACCEPTED = {200, 202}
_POLL_FORMS = ("since", "since", "tag", "old tag", "done")

SETTINGS = {
    "max_running_per_user": "8",
    "max_queued_per_user": "100000",
    "max_waiters_per_user": "1000",
    "retry_base_seconds": "0.05",
    "shutdown_grace_seconds": "0.3",
    "progress_interval_seconds": "0.05",
    "poison_after": "0",
    "log_level": "info",
}


@attrs.define
class Crowd:
    """All clients together: what they know, and what they were answered."""

    random: Random
    wait_seconds: int
    record: Record = attrs.field(factory=Record)
    faults: list[str] = attrs.field(factory=list)
    calls: Counter[str] = attrs.field(factory=Counter)
    jobs: list[str] = attrs.field(factory=list)
    newest: dict[str, int] = attrs.field(factory=dict)
    """The newest version of each job that any answer has shown."""
    done: set[str] = attrs.field(factory=set)
    _http: aiohttp.ClientSession | None = None
    _submits: int = 0
    _is_away: bool = False

    @contextlib.asynccontextmanager
    async def at_work(self, server: Server) -> AsyncIterator[None]:
        """Have all clients ask this life of the server inside the block."""
        async with self.asking(server):
            clients = [asyncio.create_task(self._act()) for _ in range(ACTORS)]
            clients += [asyncio.create_task(self._watch()) for _ in range(WATCHERS)]
            try:
                yield
            finally:
                for client in clients:
                    client.cancel()
                await asyncio.wait(clients)
                self.faults += [
                    f"a client broke: {client.exception()!r}"
                    for client in clients
                    if not client.cancelled() and client.exception() is not None
                ]

    @contextlib.asynccontextmanager
    async def asking(self, server: Server) -> AsyncIterator[None]:
        """Have this life of the server be the one that is asked inside the block."""
        timeout = aiohttp.ClientTimeout(total=self.wait_seconds + LATE_SECONDS * 3)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(server.url, connector=connector, timeout=timeout) as http:
            self._http = http
            yield

    async def end(self, server: Server) -> None:
        """Let everything become final, and read all of it once more."""
        async with self.asking(server):
            for job_id in self.jobs:
                if job_id not in self.done:
                    await self._ask("cancel", "POST", f"/api/jobs/{job_id}/cancel")
            deadline = monotonic() + FINAL_SECONDS
            for job_id in self.jobs:
                while job_id not in self.done and monotonic() < deadline:
                    await self._ask("end", "GET", f"/api/jobs/{job_id}?wait=10&until=done")
                await self._ask("last read", "GET", f"/api/jobs/{job_id}")
                if job_id not in self.done:
                    self.faults.append(f"job {job_id} never became final")

    async def _act(self) -> None:
        steps = (self._submit, self._read, self._read, self._read, self._list, self._change)
        while True:
            await self.random.choice(steps)()
            await self._pause()

    async def _watch(self) -> None:
        while True:
            if self.jobs:
                await self._poll(self._choose())
            await self._pause()

    async def _pause(self) -> None:
        # Where nobody listens, whoever asks again at once would only be refused again.
        longest = _AWAY_SECONDS if self._is_away else _PAUSE_SECONDS
        await asyncio.sleep(self.random.random() * longest)

    def _choose(self) -> str:
        # The newest ones are those that change; now and then one that a server knew long ago.
        jobs = self.jobs if self.random.random() < 0.1 else self.jobs[-_NEWEST:]
        return self.random.choice(jobs)

    async def _submit(self) -> None:
        project_id = f"p{self._submits // _PROJECT_JOBS}"
        self._submits += 1
        body = {
            "job_type": "count",
            "project_id": project_id,
            "hold": self.random.random() < 0.3,
            "options": {"steps": self.random.randint(1, 4)},
        }
        asked = await self._ask("submit", "POST", "/api/jobs", body)
        if asked is not None and asked[0] in _ACCEPTED:
            job_id = asked[1]["job_id"]
            self.jobs.append(job_id)
            self.record.projects[job_id] = (project_id, monotonic())

    async def _read(self) -> None:
        if not self.jobs:
            return
        job_id = self._choose()
        form = self.random.choice(("", "", "/status"))
        tags = {}
        if self.random.random() < 0.3:
            tags = {"If-None-Match": f'W/"{self.newest[job_id]}"'}
        await self._ask(f"read{form}", "GET", f"/api/jobs/{job_id}{form}", headers=tags)

    async def _list(self) -> None:
        if not self.jobs:
            return
        project_id, _ = self.record.projects[self._choose()]
        path = f"/api/jobs?project_id={project_id}&limit=200"
        begun = monotonic()
        asked = await self._ask("list", "GET", path)
        if asked is not None and asked[0] == 200:
            ids = frozenset(job["job_id"] for job in asked[1]["jobs"])
            self.record.lists.append(Listed(project_id, ids, begun, monotonic()))

    async def _change(self) -> None:
        if not self.jobs:
            return
        job_id = self._choose()
        path = f"/api/jobs/{job_id}"
        match self.random.choice(("revise", "revise", "start", "cancel", "retry")):
            case "revise":
                body = {"priority": self.random.randint(0, 9)}
                await self._ask("revise", "PATCH", path, body)
            case "retry":
                # Before it is asked: the outcome may stay unknown.
                self.record.retried.add(job_id)
                await self._ask("retry", "POST", f"{path}/retry")
                self.done.discard(job_id)
            case other:
                await self._ask(other, "POST", f"{path}/{other}")

    async def _poll(self, job_id: str) -> None:
        form = self.random.choice(_POLL_FORMS)
        baseline: int | None = self.newest[job_id]
        path = f"/api/jobs/{job_id}?wait={self.wait_seconds}"
        headers = {}
        match form:
            case "since":
                path += f"&since={baseline}"
            case "tag" | "old tag":
                baseline = max(1, self.newest[job_id] - (form == "old tag"))
                headers = {"If-None-Match": f'W/"{baseline}"'}
            case _:
                path, baseline = f"{path}&until=done", None
        begun = monotonic()
        try:
            await self._ask(f"poll by {form}", "GET", path, headers=headers)
        finally:
            self.record.polls.append(Poll(job_id, baseline, begun, monotonic()))

    async def _ask(
        self,
        what: str,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any] | None:
        """Ask, and keep what the answer shows of jobs; None where no whole answer came."""
        assert self._http is not None
        asked = monotonic()
        try:
            async with self._http.request(method, path, json=body, headers=headers) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            self._is_away = True
            return None
        answered = monotonic()
        self._is_away = False
        self.calls[what] += 1
        document: Any = json.loads(text) if text else None
        if answer.status in _ACCEPTED:
            for job in document.get("jobs", [document]):
                status = job["status"]
                self._note(Seen(job["job_id"], job["version"], status, asked, answered, what))
        elif answer.status == 304:
            job_id = path.split("/")[3].partition("?")[0]
            version = int(answer.headers["ETag"].strip('W/"').partition(".")[0])
            self._note(Seen(job_id, version, None, asked, answered, what))
        elif answer.status not in {409, 503}:
            self.faults.append(f"{method} {path} was answered with {answer.status}: {document}")
        return answer.status, document

    def _note(self, seen: Seen) -> None:
        self.record.seen.append(seen)
        self.newest[seen.job_id] = max(seen.version, self.newest.get(seen.job_id, 0))
        if seen.status in {"completed", "failed", "cancelled"}:
            self.done.add(seen.job_id)


async def torture(
    folder: Path,
    *,
    rounds: int,
    seed: int,
    handlers: str = "torture.jobs:TYPES",
    lives: int | None = None,
    linger_seconds: float = 0.0,
    late_seconds: float = LATE_SECONDS,
    wait_seconds: int = 20,
) -> tuple[list[str], dict[str, Any]]:
    """Make *rounds* calls over several lives of the server; give what broke, and what was counted.

    Each life goes on for *linger_seconds* more, or until something is found to be broken.
    """
    site = Site(folder / "data", folder / "runs", f"history-{folder.name}", SETTINGS, handlers)
    crowd = Crowd(Random(seed), wait_seconds)
    lives = lives or max(2, rounds // CALLS_A_LIFE)
    deaths: Counter[str] = Counter()
    for number in range(lives):
        way = _WAYS[number % len(_WAYS)]
        deaths[way] += 1
        async with started(site) as server, crowd.at_work(server):
            wanted = rounds * (number + 1) // lives
            # What is waited for is a count that many clients raise.
            while crowd.calls.total() < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await _linger(crowd, linger_seconds, late_seconds)
            await _end_life(server, way, crowd)
    counts = _counts(crowd, deaths)
    if faults := crowd.faults + list(find_faults(crowd.record, late_seconds=late_seconds)):
        return faults, counts
    async with started(site) as server:
        await crowd.end(server)
        await _end_life(server, "term", crowd)
    faults = crowd.faults + list(find_faults(crowd.record, late_seconds=late_seconds))
    faults += find_untold(crowd.record, await asyncio.to_thread(_read_log, site))
    findings = await asyncio.to_thread(_examine, site)
    return faults + findings, _counts(crowd, deaths)


async def _linger(crowd: Crowd, seconds: float, late_seconds: float) -> None:
    until = monotonic() + seconds
    while monotonic() < until:
        if any(find_faults(crowd.record, late_seconds=late_seconds)):
            return
        await asyncio.sleep(_LOOK_SECONDS)


def _counts(crowd: Crowd, deaths: Counter[str]) -> dict[str, Any]:
    return {
        "calls": crowd.calls.total(),
        "by_kind": dict(sorted(crowd.calls.items())),
        "jobs": len(crowd.jobs),
        "deaths": dict(deaths),
        "polls": sum(n for what, n in crowd.calls.items() if what.startswith("poll")),
        **_wakes(crowd.record),
    }


async def _end_life(server: Server, way: str, crowd: Crowd) -> None:
    if way == "kill":
        await server.kill()
    elif (code := await server.stop()) != 0:
        crowd.faults.append(f"a server stopped with code {code}: {server.lines[-3:]}")
    for line in server.lines:
        if line.get("level") in {"error", "critical"} or "Traceback" in str(line):
            crowd.faults.append(f"the server logged an error: {line}")


def _read_log(site: Site) -> dict[str, list[tuple[int, str]]]:
    log: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    uri = f"{(site.data_dir / 'jobs.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        rows = connection.execute("SELECT job_id, version, to_status FROM events ORDER BY seq")
        for job_id, version, status in rows:
            log[job_id].append((version, status))
    return log


def _examine(site: Site) -> list[str]:
    found = examine_directory(DataDirectory(site.data_dir), deep=True).findings
    return [f"doctor: {finding.kind}: {finding.message}" for finding in found]


def _wakes(record: Record) -> dict[str, Any]:
    """Give the wake-ups that were measured: how many, and the middle, 99th and last one in ms."""
    seconds = wake_seconds(record)
    if not seconds:
        return {"wakes": 0}
    shown = [seconds[min(int(len(seconds) * share), len(seconds) - 1)] for share in (0.5, 0.99, 1)]
    return {"wakes": len(seconds), "wake_ms": [round(one * 1e3, 1) for one in shown]}
