"""What a start does about the servers before it, with real processes that are killed."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.sync_kit import install_git
from torture.ledger import Ledger, read_runs
from torture.schedules import check_schedules
from torture.server import ROOT, Caller, NotReadyError, Server, Site, start, started
from torture.verify import end_orphans, find_orphans

WAIT_SECONDS = 30.0
REFUSED_SECONDS = 15.0
"""Five on a machine that has nothing else to do; most of it is the start of Python."""
TREE_PROCESSES = 8
"""How many a surviving job has: in its group, in a session of its own, and doubly forked."""
MOST_LIVES = 9
"""Three deaths make a suspect; a few more, until nothing else runs beside it."""

# Each test starts servers and ends them.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give a place for servers; its jobs are those of the tortures.

    The last server is killed, too, and what its jobs started would live for a day.
    """
    settings = {"shutdown_grace_seconds": "0", "progress_interval_seconds": "0.05"}
    site = Site(tmp_path / "data", tmp_path / "runs", f"test-{tmp_path.name}", settings)
    yield site
    end_orphans(site)


async def submit(caller: Caller, job_type: str, **members: Any) -> str:
    """Submit a job; give its id."""
    body = {"job_type": job_type, "project_id": "p", **members}
    answer = await caller.ask("POST", "/api/jobs", body)
    assert answer is not None
    assert answer.status == 202, answer
    job_id: str = answer.document["job_id"]
    return job_id


async def read(caller: Caller, job_id: str, query: str = "") -> dict[str, Any]:
    """Give the job."""
    answer = await caller.ask("GET", f"/api/jobs/{job_id}{query}")
    assert answer is not None
    assert answer.status == 200, answer
    job: dict[str, Any] = answer.document
    return job


async def until(caller: Caller, job_id: str, *statuses: str) -> dict[str, Any]:
    """Wait until the job has one of the statuses; give it."""
    deadline = time.monotonic() + WAIT_SECONDS
    job = await read(caller, job_id)
    while job["status"] not in statuses:
        assert time.monotonic() < deadline, job
        job = await read(caller, job_id, f"?wait=5&since={job['version']}")
    return job


async def until_processes(site: Site, number: int) -> None:
    """Wait until the jobs of the servers have so many processes."""
    deadline = time.monotonic() + WAIT_SECONDS
    while len(found := await asyncio.to_thread(find_orphans, site, "")) < number:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


def recovery_of(server: Server) -> dict[str, Any]:
    """Give the one event in which a start tells what it found."""
    (line,) = [line for line in server.lines if line.get("event") == "recovery_finished"]
    return line


async def test_a_start_tells_what_it_found_and_did(site: Site) -> None:
    """Interrupted, cancelled, killed, swept: once in the log, and in the stats."""
    async with started(site) as server, Caller(server) as caller:
        tree = await submit(caller, "survive")
        told_to_stop = await submit(caller, "survive", project_id="q")
        waiting = await submit(caller, "wait", hold=True)
        for job_id in (tree, told_to_stop):
            await until(caller, job_id, "running")
        await until_processes(site, 2 * TREE_PROCESSES)
        # Its processes ignore TERM: the server is killed before it would send KILL.
        await caller.ask("POST", f"/api/jobs/{told_to_stop}/cancel")
        await server.kill()
    leftover = site.data_dir / "projects" / "0123" / "run-old"
    leftover.mkdir(parents=True)
    (leftover / "pack").write_bytes(b"x")

    async with started(site) as server, Caller(server) as caller:
        found = recovery_of(server)
        answer = await caller.ask("GET", "/api/admin/stats")
        assert answer is not None
        counts = answer.document["recovery"]
        after = {job_id: await read(caller, job_id) for job_id in (tree, told_to_stop, waiting)}

    assert {name: found[name] for name in counts} == counts
    # A shell that was about to go may have been counted in each tree.
    assert counts["killed_processes"] >= 2 * (TREE_PROCESSES - 1)
    assert (counts["unfinished"], counts["interrupted"], counts["cancelled"]) == (3, 1, 1)
    assert (counts["poisoned"], counts["swept_files"]) == (0, 1)
    assert not leftover.exists()
    assert after[tree]["status"] in {"queued", "running"}
    assert after[tree]["attempts"][0]["outcome"] == "interrupted"
    assert after[told_to_stop]["status"] == "cancelled"
    assert after[waiting]["status"] == "created"


async def test_a_renamed_directory_sweeps_its_own_orphans(site: Site, tmp_path: Path) -> None:
    """Within its file system it stays the same database, under whatever path it is started."""
    async with started(site) as server, Caller(server) as caller:
        tree = await submit(caller, "survive")
        await until_processes(site, TREE_PROCESSES)
        before = await database_id(caller)
        await server.kill()
    await asyncio.to_thread(site.data_dir.rename, tmp_path / "renamed")
    await until_processes(site, TREE_PROCESSES - 1)

    async with started(attrs.evolve(site, data_dir=tmp_path / "renamed")) as server:
        left = await asyncio.to_thread(find_orphans, site, server.life)
        async with Caller(server) as caller:
            after = await database_id(caller)
            job = await read(caller, tree)

    assert recovery_of(server)["killed_processes"] >= TREE_PROCESSES - 1
    assert left == set()
    assert after == before
    assert job["attempts"][0]["outcome"] == "interrupted"


async def test_a_copy_leaves_the_processes_of_a_live_server_alone(
    site: Site, tmp_path: Path
) -> None:
    """Two servers, each a process of its own: the second is started on a copy of the first's."""
    copy = attrs.evolve(site, data_dir=tmp_path / "copy", identity=f"{site.identity}-copy")
    async with started(site) as server, Caller(server) as caller:
        tree = await submit(caller, "survive")
        await until_processes(site, TREE_PROCESSES)
        own = await asyncio.to_thread(find_orphans, site, "")
        # A socket cannot be copied; whoever copies a directory leaves it out.
        without_socket = shutil.ignore_patterns("*.sock")
        await asyncio.to_thread(
            shutil.copytree, site.data_dir, copy.data_dir, ignore=without_socket
        )
        try:
            async with started(copy) as second, Caller(second) as other:
                ids = [await database_id(caller), await database_id(other)]
                job = await read(caller, tree)
                killed = recovery_of(second)["killed_processes"]
        finally:
            end_orphans(copy)
        left = await asyncio.to_thread(find_orphans, site, "")

    assert ids[0] != ids[1]
    assert killed == 0
    # A shell that was about to go may have been counted.
    assert len(own & left) >= TREE_PROCESSES - 1
    assert (job["status"], job["attempts"]) == ("running", [])


async def database_id(caller: Caller) -> str:
    """Give the id that stats and doctor agree on."""
    found = set()
    for path in ("/api/admin/stats", "/api/admin/doctor"):
        answer = await caller.ask("GET", path)
        assert answer is not None
        found.add(answer.document["database_id"])
    (database,) = found
    assert isinstance(database, str)
    return database


async def test_a_poison_job_fails_and_its_bystanders_complete(site: Site) -> None:
    """A job that kills the server is caught, and those that ran beside it lose nothing."""
    async with started(site) as server, Caller(server) as caller:
        bystanders = [
            await submit(caller, "count", project_id=f"p{n}", options={"steps": 40})
            for n in range(4)
        ]
        poison = await submit(caller, "kill_server", project_id="poison")
        await server.ended()
    lives, last, job = 1, server, None
    while job is None:
        lives += 1
        assert lives < MOST_LIVES, "it kills the server for ever"
        last = await start(site)
        job = await outlive(last, poison)
    async with Caller(last) as caller:
        others = [await until(caller, one, "completed") for one in bystanders]
    await last.kill()

    assert job["error"]["code"] == "POISONED"
    assert recovery_of(last)["poisoned"] == 1
    assert [one["result"] for one in others] == [{"counted": 40}] * 4
    assert {one["attempt"] for one in others} == {1}
    starts = [run for run in read_runs(site.runs) if run.job_id == poison]
    assert 4 <= len(starts) < MOST_LIVES


async def outlive(server: Server, poison: str) -> dict[str, Any] | None:
    """Give the poisonous job once it failed; None if it killed this server too."""
    try:
        await server.until_ready()
        async with Caller(server) as caller:
            return await until(caller, poison, "failed")
    except (NotReadyError, AssertionError):
        # It died before it was ready, or before it answered.
        await server.ended()
        assert server.process.returncode == -signal.SIGKILL
        return None


async def test_a_second_sigterm_ends_even_a_stubborn_tree(site: Site) -> None:
    """The grace of an hour is cut short; processes that ignore TERM are killed, and exit is 0."""
    patient = Site(site.data_dir, site.runs, site.identity, {"shutdown_grace_seconds": "3600"})
    async with started(patient) as server, Caller(server) as caller:
        job_id = await submit(caller, "survive")
        job = await until(caller, job_id, "running")
        await read(caller, job_id, f"?wait=5&since={job['version']}")
        began = time.monotonic()

        server.process.terminate()
        answer = await caller.ask("POST", "/api/jobs", {"job_type": "wait", "project_id": "q"})
        while answer is not None and answer.status == 202:
            answer = await caller.ask("POST", "/api/jobs", {"job_type": "wait", "project_id": "q"})
        code = await server.stop()

    assert code == 0
    assert time.monotonic() - began < 10
    assert server.count("stop_hurried") == 1


def serve_refused(site: Site) -> tuple[int, str, float]:
    """Start a server that cannot start; give its code, what it said, and its seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cidx_jobs", "serve"],
        cwd=ROOT,
        env=site.environment(),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    return done.returncode, done.stderr, time.monotonic() - began


def doctor(site: Site, *flags: str) -> "subprocess.CompletedProcess[str]":
    """Examine the directory as an operator does."""
    command = [sys.executable, "-m", "cidx_jobs", "doctor", "--data-dir", str(site.data_dir)]
    environment = {name: text for name, text in os.environ.items() if "CIDX" not in name}
    return subprocess.run(
        [*command, "--json", *flags],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


async def test_a_start_is_refused_in_one_line_within_five_seconds(site: Site) -> None:
    """A second owner, a cut file, a missing file, a lost log: exit 1, and nothing is touched."""
    async with started(site) as server, Caller(server) as caller:
        await submit(caller, "wait", hold=True)
        owned = serve_refused(site)
        pid = server.pid
        await server.kill()
    database = site.data_dir / "jobs.db"
    log = site.data_dir / "jobs.db-wal"
    refused = {"owned": owned}
    kept = {path: path.read_bytes() for path in (database, log)}

    def damage(name: str) -> None:
        before = {path: path.read_bytes() for path in (database, log) if path.exists()}
        refused[name] = serve_refused(site)
        after = {path: path.read_bytes() for path in (database, log) if path.exists()}
        assert after == before, f"{name}: a file was touched"
        for path, content in kept.items():
            path.write_bytes(content)

    log.unlink()
    damage("lost log")
    log.unlink()
    database.unlink()
    damage("missing")
    database.write_bytes(b"no database" * 100)
    damage("damaged header")
    database.write_bytes(kept[database][: len(kept[database]) // 2 + 100])
    log.unlink()
    damage("cut")

    for name, (code, said, seconds) in refused.items():
        assert code == 1, (name, said)
        assert len(said.strip().splitlines()) == 1, (name, said)
        assert seconds < REFUSED_SECONDS, name
    assert f"pid {pid}" in refused["owned"][1]
    async with started(site) as server:
        assert server.url


def spoil(database: Path) -> None:
    """Change a row behind the server's back."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE jobs SET attempt = attempt + 1")


async def test_doctor_tells_of_a_server_and_of_a_directory(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 0 where nothing is wrong, 1 with what was found; the directory is left as it is."""
    async with started(site) as server, Caller(server) as caller:
        await submit(caller, "count")
        served = doctor(site, "--deep")
        assert await server.stop() == 0
    stopped = doctor(site)
    with monkeypatch.context() as old:
        install_git(tmp_path, "git version 2.34.1")
        old.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        warned = doctor(site)
    await asyncio.to_thread(spoil, site.data_dir / "jobs.db")
    broken = doctor(site)
    nowhere = doctor(Site(site.data_dir / "nothing", site.runs, "", {}))

    told = json.loads(served.stdout)
    assert told == {"ok": True, "database_id": told["database_id"], "findings": [], "notes": []}
    assert json.loads(stopped.stdout) == told
    (note,) = json.loads(warned.stdout)["notes"]
    assert json.loads(warned.stdout) == {**told, "notes": [note]}
    assert note["kind"] == "git_too_old"
    assert (served.returncode, stopped.returncode, warned.returncode) == (0, 0, 0)
    assert broken.returncode == 1
    (finding,) = json.loads(broken.stdout)["findings"]
    assert finding["kind"] == "log"
    assert nowhere.returncode == 1
    assert "no database" in nowhere.stdout + nowhere.stderr


async def until_fired(caller: Caller, name: str, times: int) -> list[dict[str, Any]]:
    """Wait until the schedule has submitted so many jobs; return them, oldest first."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        answer = await caller.ask("GET", f"/api/jobs?schedule={name}&order=created_at")
        assert answer is not None
        jobs: list[dict[str, Any]] = answer.document["jobs"]
        if len(jobs) >= times:
            return jobs
        assert time.monotonic() < deadline, jobs
        await asyncio.sleep(0.05)


async def test_no_time_of_a_schedule_is_served_twice_or_lost(site: Site) -> None:
    """Over kill -9 the times of the stop make one job, or none, and all are accounted for."""
    async with started(site) as server, Caller(server) as caller:
        for catch_up in ("once", "skip"):
            body = {"name": catch_up, "project_id": "p", "job_type": "tick", "every_seconds": 1}
            made = await caller.ask("POST", "/api/schedules", body | {"catch_up": catch_up})
            assert made is not None
            assert made.status == 201, made
        before = {name: len(await until_fired(caller, name, 1)) for name in ("once", "skip")}
        died_at = datetime.now(UTC)
        await server.kill()
    async with started(site) as server, Caller(server) as caller:
        after = {
            name: await until_fired(caller, name, before[name] + 3) for name in ("once", "skip")
        }
        code = await server.stop()

    ledger = Ledger()
    await asyncio.to_thread(check_schedules, site, ledger)
    assert (code, ledger.faults) == (0, [])
    ready_at = datetime.fromisoformat(recovery_of(server)["timestamp"])
    missed = {
        name: [job for job in jobs if died_at < at_of(job) < ready_at - timedelta(seconds=1)]
        for name, jobs in after.items()
    }
    assert len(missed["once"]) <= 1
    assert missed["skip"] == []


def at_of(job: dict[str, Any]) -> datetime:
    """Return the time that a job stands for."""
    return datetime.fromisoformat(job["scheduled_at"])
