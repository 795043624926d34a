"""P2, P3, P5, P6, P10: the API against bare aiohttp routes, in one server process, asked in turn.

The server is a process of its own, which logs as `serve` does by default, into a file (submits are
measured without a log, too); the asking side is a bare protocol that costs little, so that
the server is what is measured. Beside the rates stands the server's CPU time for one answer,
which a busy machine distorts less. The lists are those of a server with a long history
(BENCH_HISTORY jobs).
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

import attrs
import psutil
from aiohttp import web

from bench.harness import Bench
from bench.history import MANY, fill
from cidx_jobs import JobContext, JobSystem, JobType, create_app, setup_logging
from cidx_jobs.settings import Settings
from cidx_jobs.web.server import listening, settle_collector

CONNECTIONS = 64
SUBMITTERS = 100
READ_SECONDS = 1.5
SUBMIT_SECONDS = 2.0
PARKED = 10_000
LISTS = {
    "all": "",
    "user": "user_id=u0",
    "status": "status=failed",
    "user, status, type": "user_id=u0&status=completed&job_type=noop",
}
"""The filters whose lists are timed, each by page 1 and page 1,000."""
LISTS_EACH = 200
DEEP = 1_000
DOCUMENT_BYTES = 1_200
"""What a job document has: the bare side sends as much."""


_DIRECTORY = "BENCH_DIRECTORY"
_NO_LOG = "BENCH_NO_LOG"


def main() -> None:
    """Measure in turn, in one run; as ``bench.http serve`` be the server."""
    if "serve" in sys.argv:
        asyncio.run(_serve())
    else:
        asyncio.run(_measure())


# --- the server -----------------------------------------------------------------------------


async def _noop(_: JobContext) -> dict[str, object]:
    return {}


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


class _Bare:
    """Bare routes: hello, a POST that reads JSON, and a wait of bare futures."""

    def __init__(self) -> None:
        self.app = web.Application()
        self.app.router.add_get("/hello", _hello)
        self.app.router.add_post("/post", self._post)
        self.app.router.add_get("/wait", self._wait)
        self.app.router.add_get("/wake", self._wake)
        self._waiters: set[asyncio.Future[None]] = set()

    async def _post(self, request: web.Request) -> web.Response:
        return web.json_response(await request.json(), status=202)

    async def _wait(self, _: web.Request) -> web.Response:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(future)
        await future
        return web.Response(body=b"x" * DOCUMENT_BYTES)

    async def _wake(self, _: web.Request) -> web.Response:
        waiters, self._waiters = self._waiters, set()
        for future in waiters:
            future.set_result(None)
        return web.Response(text=str(len(waiters)))


async def _serve() -> None:
    _raise_descriptors()
    with tempfile.TemporaryDirectory() as empty, contextlib.ExitStack() as stack:
        settings = Settings(
            data_dir=Path(os.environ.get(_DIRECTORY) or empty),
            auth="none",
            retention_seconds=3_650 * 86_400,
            max_queued_per_user=1_000_000,
            max_queued_total=1_000_000,
            max_waiters_per_user=100_000,
            max_waiters_total=100_000,
            shutdown_grace_seconds=0,
        )
        log = stack.enter_context((Path(empty) / "server.log").open("w", encoding="utf-8"))
        if not os.environ.get(_NO_LOG):
            setup_logging(settings, log)
        async with (
            # A history holds jobs of both.
            JobSystem.open(settings, [JobType(name, _noop) for name in ("noop", "other")]) as jobs,
            listening(create_app(jobs), host="127.0.0.1", port=0) as ours,
            _bare_site(_Bare().app) as bare,
        ):
            # As the standalone server does.
            settle_collector()
            print(json.dumps({"ours": ours, "bare": bare, "pid": os.getpid()}), flush=True)
            await asyncio.to_thread(sys.stdin.read)


@contextlib.asynccontextmanager
async def _bare_site(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4_096).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# --- the asking side ------------------------------------------------------------------------


class _Asker(asyncio.Protocol):
    """One connection that sends the same request again as soon as it was answered."""

    def __init__(self, request: Callable[[], bytes], on_answer: Callable[[float], bool]) -> None:
        """Ask until *on_answer*, which is told the seconds it took, says False."""
        self._request = request
        self._on_answer = on_answer
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None
        self.status = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take an answer, and ask again."""
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark or len(body) < _length(head):
            return
        self.status = head[9:12]
        self._buffer = b""
        if self._on_answer(time.perf_counter() - self._sent):
            self._send()

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self) -> None:
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(self._request())


def _length(head: bytes) -> int:
    _, mark, rest = head.partition(b"Content-Length: ")
    return int(rest.partition(b"\r\n")[0]) if mark else 0


@attrs.define
class _Target:
    """Where a server is, and how to ask it."""

    url: str
    pid: int

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def get(self, path: str) -> Callable[[], bytes]:
        """Give what makes a GET."""
        text = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode()
        return lambda: text

    def post(self, path: str, body: dict[str, object]) -> Callable[[], bytes]:
        """Give what makes a POST."""
        text = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        return lambda: head.encode() + text

    async def rate(self, request: Callable[[], bytes], connections: int, seconds: float) -> float:
        """Give the answers a second that many connections get."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        count = 0

        def count_answer(_: float) -> bool:
            nonlocal count
            count += 1
            return loop.time() < end

        askers = [await self.ask(request, count_answer) for _ in range(connections)]
        begun = time.perf_counter()
        count = 0
        await asyncio.sleep(end - loop.time())
        rate = count / (time.perf_counter() - begun)
        # On a busy machine some of them may still wait for their first answer.
        assert {asker.status for asker in askers} <= {b"", b"200", b"202"}
        assert count
        for asker in askers:
            asker.close()
        return rate

    async def once(self, request: Callable[[], bytes]) -> bytes:
        """Give the body of one answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request())
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        writer.close()
        return body

    async def park(self, path: str, count: int) -> tuple[list[_Asker], list[float]]:
        """Open so many requests that wait; the list fills with the times of their answers."""
        times: list[float] = []

        def note(_: float) -> bool:
            times.append(time.perf_counter())
            return False

        request = self.get(path)
        return [await self.ask(request, note) for _ in range(count)], times

    async def ask(
        self, request: Callable[[], bytes], on_answer: Callable[[float], bool]
    ) -> _Asker:
        """Open a connection that asks over and over, until *on_answer* says False."""
        _, asker = await asyncio.get_running_loop().create_connection(
            lambda: _Asker(request, on_answer), "127.0.0.1", self.port
        )
        return asker


_Side = tuple[_Target, Callable[[], bytes], int, float]
"""Whom to ask for what, over how many connections, for how many seconds."""


async def _measure() -> None:
    _raise_descriptors()
    settings = {"connections": CONNECTIONS, "submitters": SUBMITTERS, "parked": PARKED}
    with Bench("http", settings=settings) as bench:
        async with _servers() as (ours, bare):
            await _measure_reads(bench, ours, bare)
            await _measure_wakes(bench, ours, bare)
            await _measure_submits(bench, ours, bare, "P2")
        async with _servers(is_logged=False) as (ours, bare):
            await _measure_submits(bench, ours, bare, "P2 log off")
        await _measure_memory(bench)
        await _measure_lists(bench)


@contextlib.asynccontextmanager
async def _servers(
    directory: Path | None = None, *, is_logged: bool = True
) -> AsyncIterator[tuple[_Target, _Target]]:
    """Start a server process; give our side of it and the bare one."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.http", "serve"),
        cwd=Path(__file__).parent.parent,
        env=os.environ | {_DIRECTORY: str(directory or ""), _NO_LOG: "" if is_logged else "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    where = json.loads(await child.stdout.readline())
    try:
        yield _Target(where["ours"], where["pid"]), _Target(where["bare"], where["pid"])
    finally:
        child.stdin.close()
        await child.wait()


async def _compare(
    bench: Bench, what: str, sides: Mapping[str, _Side], probe: str, at_least: float
) -> None:
    """Measure sides in turn: answers a second, and the server's CPU time for one."""
    cpu: dict[str, list[float]] = {name: [] for name in sides}

    async def take(name: str) -> float:
        target, request, connections, seconds = sides[name]
        begun = _cpu_seconds(target.pid)
        rate = await target.rate(request, connections, seconds)
        cpu[name].append((_cpu_seconds(target.pid) - begun) / (rate * seconds) * 1e6)
        return rate

    taken = await bench.paired_async(
        {name: partial(take, name) for name in sides}, unit="requests/s"
    )
    spent = {
        name: bench.figure(f"CPU of {name}", values[-bench.rounds :], unit="us")
        for name, values in cpu.items()
    }
    for name in sides:
        if name != probe:
            bench.ratio(f"{what} {name} / {probe}", taken[name], taken[probe], at_least=at_least)
            bench.ratio(f"{what} by CPU, {name}", spent[probe], spent[name], at_least=at_least)


async def _measure_reads(bench: Bench, ours: _Target, bare: _Target) -> None:
    held = ours.post("/api/jobs", {"job_type": "noop", "project_id": "p", "hold": True})
    done = ours.post("/api/jobs", {"job_type": "noop", "project_id": "p"})
    waiting = json.loads(await ours.once(held))["job_id"]
    finished = json.loads(await ours.once(done))["job_id"]
    form = (CONNECTIONS, READ_SECONDS)
    sides = {
        "hello": (bare, bare.get("/hello"), *form),
        "status, finished": (ours, ours.get(f"/api/jobs/{finished}/status"), *form),
        "status, waiting": (ours, ours.get(f"/api/jobs/{waiting}/status"), *form),
    }
    await _compare(bench, "P3", sides, "hello", 0.75)


async def _measure_submits(bench: Bench, ours: _Target, bare: _Target, what: str) -> None:
    body: dict[str, object] = {"job_type": "noop", "project_id": "p", "hold": True}
    form = (SUBMITTERS, SUBMIT_SECONDS)
    sides = {
        "bare POST": (bare, bare.post("/post", body), *form),
        "submit": (ours, ours.post("/api/jobs", body), *form),
    }
    await _compare(bench, what, sides, "bare POST", 0.45)


async def _measure_wakes(bench: Bench, ours: _Target, bare: _Target) -> None:
    taken = await bench.paired_async(
        {"wake all, bare futures": partial(_wake_bare, bare), "wake all": partial(_wake, ours)},
        unit="ms",
    )
    bench.ratio(
        "P5 wake all / bare futures",
        taken["wake all"],
        taken["wake all, bare futures"],
        at_most=1.3,
    )


async def _wake_bare(bare: _Target) -> float:
    askers, times = await bare.park("/wait", PARKED)
    return await _time_to_all(bare, bare.get("/wake"), askers, times)


async def _wake(ours: _Target) -> float:
    job = await _held(ours)
    askers, times = await ours.park(f"/api/jobs/{job}?wait=55&until=change", PARKED)
    return await _time_to_all(ours, ours.post(f"/api/jobs/{job}/cancel", {}), askers, times)


async def _measure_memory(bench: Bench) -> None:
    """Each side in a process of its own: memory that was given back would hide what one costs."""
    taken: dict[str, list[float]] = {"parked, bare": [], "parked": []}
    for _ in range(3):
        async with _servers() as (ours, bare):
            taken["parked, bare"].append(await _memory_of_parked(bare, "/wait"))
        async with _servers() as (ours, bare):
            path = f"/api/jobs/{await _held(ours)}?wait=55&until=change"
            taken["parked"].append(await _memory_of_parked(ours, path))
    probe = bench.figure("memory of one parked, bare", taken["parked, bare"], unit="KiB")
    own = bench.figure("P6 memory of one parked", taken["parked"], unit="KiB", at_most=12)
    bench.ratio("P6 parked / bare", own, probe, at_most=1.25)


async def _measure_lists(bench: Bench) -> None:
    """P10 over HTTP: page 1 and, by cursor, page 1,000, one request at a time."""
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(fill, Path(folder) / "data", MANY)
        async with _servers(Path(folder) / "data") as (ours, _):
            await _until_idle(ours)
            for name, filters in LISTS.items():
                begin = f"/api/jobs?limit=50&{filters}".rstrip("&")
                await _time_list(bench, ours, f"page 1 by {name}", begin)
                before = await ours.once(ours.get(f"{begin}&offset={(DEEP - 2) * 50}"))
                cursor = json.loads(before)["next_cursor"]
                if cursor is not None:
                    path = f"{begin}&cursor={cursor}"
                    await _time_list(bench, ours, f"page {DEEP:,} by {name}", path)


async def _until_idle(ours: _Target) -> None:
    """Wait until the jobs that the history left unfinished have run."""
    while json.loads(await ours.once(ours.get("/api/queue")))["queued"]:  # noqa: ASYNC110
        await asyncio.sleep(0.2)


async def _time_list(bench: Bench, ours: _Target, name: str, path: str) -> None:
    times: list[float] = []

    def note(seconds: float) -> bool:
        times.append(seconds * 1e3)
        return len(times) < LISTS_EACH

    asker = await ours.ask(ours.get(path), note)
    while len(times) < LISTS_EACH:  # noqa: ASYNC110 - the protocol has no event for "enough"
        await asyncio.sleep(0.01)
    asker.close()
    times.sort()
    bench.figure(f"P10 {name}, median", [times[LISTS_EACH // 2]], unit="ms")
    slow = times[int(LISTS_EACH * 0.99) - 1]
    bench.figure(f"P10 {name}, p99", [slow], unit="ms", at_most=20)


async def _memory_of_parked(target: _Target, path: str) -> float:
    before = _memory(target.pid)
    askers, _ = await target.park(path, PARKED)
    await _settle()
    grown = _memory(target.pid) - before
    for asker in askers:
        asker.close()
    return grown / PARKED / 1024


async def _held(ours: _Target) -> str:
    body: dict[str, object] = {"job_type": "noop", "project_id": "p", "hold": True}
    job_id: str = json.loads(await ours.once(ours.post("/api/jobs", body)))["job_id"]
    return job_id


async def _time_to_all(
    target: _Target, wake: Callable[[], bytes], askers: list[_Asker], times: list[float]
) -> float:
    await _settle()
    begun = time.perf_counter()
    await target.once(wake)
    while len(times) < PARKED:  # noqa: ASYNC110 - the protocols have no event for "all"
        await asyncio.sleep(0.001)
    for asker in askers:
        asker.close()
    return (max(times) - begun) * 1e3


async def _settle() -> None:
    await asyncio.sleep(0.5)


def _memory(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss)


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _raise_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
