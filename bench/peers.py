"""Side by side with the peers, in one run: jobs/s, idle latency, and what becomes of an orphan.

Each peer runs in an environment of its own, pinned, which is made at the first run; that needs
the package index, so this question is asked only by name: `python -m bench peers`. What cannot
be installed or started here says so. "Durable" is a peer whose submit is acknowledged after a
flush and whose job runs again after a kill -9; the round with the orphan shows how soon. The
stores are empty at first: to fill those of slow peers with 100,000 jobs would take hours.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import attrs

from bench.harness import Bench, progress

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".peers"
LONGEST_SECONDS = 60.0
ORPHAN_SECONDS = 20.0
"""How long a job is waited for that a killed process had."""
POSTGRES = Path("/usr/lib/postgresql")
REDIS_PORT = 16_391


@attrs.frozen(kw_only=True)
class Peer:
    """One way to run a job, and what is promised of it."""

    name: str
    durability: str
    requirements: tuple[str, ...] = ()
    """None for ourselves, who are installed already."""
    service: str | None = None
    is_durable: bool = True
    """The job of a process that was killed begins again by itself, however late."""
    jobs: int = 200
    """How many a round of jobs/s runs."""
    idle_jobs: int = 20

    @property
    def program(self) -> Path:
        """The file that measures it."""
        return HERE / "peer_programs" / f"peer_{self.name}.py"


OURS = Peer(name="cidx_jobs", durability="WAL, synchronous=FULL", jobs=4_000, idle_jobs=200)
PEERS = (
    OURS,
    Peer(
        name="huey",
        durability="SQLite, fsync; a claimed task is deleted",
        requirements=("huey==3.5.4",),
        is_durable=False,
    ),
    Peer(
        name="litequeue",
        durability="SQLite WAL, synchronous=FULL; a taken job stays locked",
        requirements=("litequeue==0.9",),
        is_durable=False,
    ),
    Peer(
        name="apscheduler",
        durability="SQLite WAL, synchronous=FULL",
        requirements=(
            "apscheduler==4.0.0a6",
            "sqlalchemy==2.1.9",
            "aiosqlite==0.22.1",
            "greenlet==3.5.6",
            "sniffio==1.3.1",
        ),
    ),
    Peer(
        name="dbos", durability="SQLite, rollback journal", requirements=("dbos==3.4.0",), jobs=100
    ),
    Peer(
        name="procrastinate",
        durability="PostgreSQL, synchronous_commit on",
        requirements=("procrastinate==3.10.0", "psycopg[binary]==3.3.9"),
        service="postgres",
    ),
    Peer(
        name="saq",
        durability="Redis, appendfsync always",
        requirements=("saq[redis]==0.26.4", "typing_extensions==4.16.0"),
        service="redis",
        idle_jobs=5,
    ),
    Peer(
        name="taskiq",
        durability="Redis streams, appendfsync always",
        requirements=("taskiq==0.13.0", "taskiq-redis==1.2.4"),
        service="redis",
    ),
)


class PeerMissingError(Exception):
    """It cannot be installed, or what it needs is not there."""


@attrs.define
class Ready:
    """A peer whose environment is there."""

    peer: Peer
    python: str
    environment: dict[str, str]

    def name(self, what: str) -> str:
        """Name a figure by the peer and its durability."""
        return f"{self.peer.name} ({self.peer.durability}): {what}"

    def measure_idle(self) -> float:
        """Give the median of submit to end of one job on an idle peer, in milliseconds."""
        return self.measure("idle", self.peer.idle_jobs)

    def measure(self, mode: str, count: int) -> float:
        """Run its program once in an empty folder; give the number that it prints.

        Raises:
            PeerMissingError: it did not end in time, or well.
        """
        with tempfile.TemporaryDirectory() as folder:
            command = [self.python, str(self.peer.program), mode, folder, str(count)]
            try:
                done = subprocess.run(
                    command,
                    env=self.environment,
                    capture_output=True,
                    text=True,
                    timeout=LONGEST_SECONDS,
                    check=True,
                )
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                text = f"{self.peer.name}, {mode}: {type(error).__name__}"
                raise PeerMissingError(text) from error
            return float(done.stdout.split()[-1])

    def orphan_seconds(self) -> float:
        """Give how long after a kill -9 its job begins again; infinite where it did not."""
        with tempfile.TemporaryDirectory() as folder:
            began = Path(folder) / "began"
            with self._started("hold", folder) as holder:
                _wait_for_lines(began, 1, LONGEST_SECONDS)
                holder.send_signal(signal.SIGKILL)
                holder.wait()
            at = time.perf_counter()
            with self._started("again", folder):
                is_again = _wait_for_lines(began, 2, ORPHAN_SECONDS)
                return time.perf_counter() - at if is_again else float("inf")

    @contextmanager
    def _started(self, mode: str, folder: str) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [self.python, str(self.peer.program), mode, folder],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Measure all that are there in turn, then the orphans, once each."""
    with ExitStack() as services, Bench("peers") as bench:
        sides = list(_get_ready(services))
        rates = bench.paired(
            {each.name("jobs/s"): partial(each.measure, "rate", each.peer.jobs) for each in sides},
            unit="jobs/s",
        )
        idle = {each.name("idle"): each.measure_idle for each in sides}
        bench.paired(idle, unit="ms")
        for each in sides:
            seconds = each.orphan_seconds()
            if seconds == float("inf"):
                progress(f"{each.peer.name}: no orphan began again in {ORPHAN_SECONDS:g} s")
            else:
                bench.figure(each.name("orphan begins again"), [seconds], unit="s")
        others = [each for each in sides if each.peer.is_durable and each.peer is not OURS]
        if others:
            theirs = [rates[each.name("jobs/s")] for each in others]
            best = max(theirs, key=lambda one: one.median)
            ours = next(rates[each.name("jobs/s")] for each in sides if each.peer is OURS)
            bench.ratio("P1 jobs/s / the best durable peer", ours, best, at_least=3.5)


def _get_ready(services: ExitStack) -> Iterator[Ready]:
    running: dict[str, dict[str, str]] = {}
    for peer in PEERS:
        try:
            if peer.service is not None and peer.service not in running:
                running[peer.service] = services.enter_context(_SERVICES[peer.service]())
            more = {} if peer.service is None else running[peer.service]
            ready = Ready(peer, _python_of(peer), {**os.environ, **more})
            ready.measure("rate", 10)
        except PeerMissingError as error:
            progress(f"{peer.name} is not measured: {error}")
        else:
            yield ready


def _python_of(peer: Peer) -> str:
    """Give the interpreter that has the peer, made ready at the first run."""
    if not peer.requirements:
        return sys.executable
    mark = hashlib.sha256(" ".join(peer.requirements).encode()).hexdigest()[:8]
    folder = ENVIRONMENTS / f"{peer.name}-{mark}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            install = [str(python), "-m", "pip", "install", "-q", *peer.requirements]
            subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
        except subprocess.CalledProcessError as error:
            text = "it could not be installed"
            raise PeerMissingError(text) from error
        (folder / "ready").touch()
    return str(python)


@contextmanager
def _redis() -> Iterator[dict[str, str]]:
    server = shutil.which("redis-server")
    if server is None:
        text = "there is no redis-server"
        raise PeerMissingError(text)
    with tempfile.TemporaryDirectory() as folder:
        options = ["--bind", "127.0.0.1", "--port", str(REDIS_PORT), "--dir", folder]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        with _served([server, *options, *durable]):
            yield {"PEER_REDIS": f"redis://127.0.0.1:{REDIS_PORT}/0"}


@contextmanager
def _postgres() -> Iterator[dict[str, str]]:
    found = sorted(POSTGRES.glob("*/bin/initdb"))
    if not found:
        text = "there is no PostgreSQL"
        raise PeerMissingError(text)
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        if user is not None:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        make = [str(found[-1]), "-D", data, "-A", "trust", "-U", "peer"]
        subprocess.run(make, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        serve = [str(found[-1].with_name("postgres")), "-D", data, "-k", folder]
        with _served([*serve, "-c", "listen_addresses="], user=user, cwd=folder):
            yield {"PEER_POSTGRES": f"host={folder} user=peer dbname=postgres"}


_SERVICES = {"redis": _redis, "postgres": _postgres}
_STARTING_SECONDS = 3.0


@contextmanager
def _served(
    command: list[str], *, user: str | None = None, cwd: str | None = None
) -> Iterator[None]:
    server = subprocess.Popen(
        command, user=user, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(_STARTING_SECONDS)
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def _wait_for_lines(file: Path, count: int, seconds: float) -> bool:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        if file.exists() and file.read_text().count("\n") >= count:
            return True
        time.sleep(0.01)
    return False


if __name__ == "__main__":
    main()
