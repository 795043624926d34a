"""Whether the promises held: the ledger, the jobs' own notes and the database say the same."""

import asyncio
import itertools
import json
import os
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.job.lifecycle import TRANSITIONS
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.doctor import examine_directory
from torture.ledger import Ledger, Run, read_runs
from torture.server import ID_VARIABLE, SERVER_VARIABLE, Caller, Site

ORPHAN_SECONDS = 5.0
"""How long after a start a child of an older server may still live (G5)."""

NEVER_FAIL = frozenset({"survive", "child", "wait", "fork"})
"""Jobs whose runs end because the server ends, or because they are cancelled, and of nothing else:
whatever the signal was, and whomever of the server's processes it reached first."""

_PROC = Path("/proc")


async def check_orphans(site: Site, life: str, ledger: Ledger) -> None:
    """Blame whatever an older server left and is alive five seconds after a start."""
    deadline = asyncio.get_running_loop().time() + ORPHAN_SECONDS
    while left := await asyncio.to_thread(find_orphans, site, life):
        if asyncio.get_running_loop().time() > deadline:
            ledger.blame(f"{len(left)} processes of older servers live: {sorted(left)}")
            end_processes(left)
            return
        await asyncio.sleep(0.05)


def find_orphans(site: Site, life: str) -> set[int]:
    """Give the processes that a job of this site started, in another life than this of the server.

    Whoever is alive, where *life* is the empty text.
    """
    ours = f"{ID_VARIABLE}={site.identity}".encode()
    mark = f"{SERVER_VARIABLE}=".encode()
    found = set()
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        try:
            variables = (_PROC / entry.name / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        servers = [part.removeprefix(mark) for part in variables if part.startswith(mark)]
        is_other = bool(servers) and servers[0] != life.encode()
        if ours in variables and is_other:
            found.add(int(entry.name))
    return found


def end_orphans(site: Site) -> None:
    """Kill every process of the site's jobs, those too that began while others were killed."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (left := find_orphans(site, "")) and time.monotonic() < deadline:
        end_processes(left)


def end_processes(pids: set[int]) -> None:
    """Kill what was left, so that a broken promise breaks nobody else's run."""
    for pid in pids:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue


async def check_answers(caller: Caller, ledger: Ledger) -> None:
    """Blame every acknowledged job that is not there, or did not end as it had to."""
    for one in ledger.submitted.values():
        if one.job_id is None:
            continue
        answer = await caller.ask("GET", f"/api/jobs/{one.job_id}")
        if answer is None or answer.status != 200:
            ledger.blame(f"job {one.job_id} was acknowledged and is lost: {answer}")
            continue
        job = answer.document
        ledger.note_version(one.job_id, job["version"], ledger.versions.get(one.job_id, 0))
        _check_end(job, ledger)


def _check_end(job: dict[str, Any], ledger: Ledger) -> None:
    job_id, status = job["job_id"], job["status"]
    is_cancelled = job_id in ledger.told_to_stop or job_id in ledger.stopped_waiting
    if not job["done"]:
        ledger.blame(f"job {job_id} never became final: it is {status}")
    elif is_cancelled and status != "cancelled":
        ledger.blame(f"the cancel of job {job_id} was acknowledged, and it is {status}")
    elif job["job_type"] in NEVER_FAIL and _has_failed(job):
        ledger.blame(f"a run of {job_id} counts as failed: {job['attempts']}")
    elif not is_cancelled and job["job_type"] == "count" and status == "failed":
        ledger.blame(f"job {job_id} failed: {job['error']}")
    elif status == "completed" and job["job_type"] == "count":
        wanted = job["options"].get("steps", 3)
        if job["result"] != {"counted": wanted}:
            ledger.blame(f"job {job_id} counted {job['result']} and not {wanted}")


def _has_failed(job: dict[str, Any]) -> bool:
    return any(attempt["outcome"] == "failed" for attempt in job["attempts"])


def check_runs(site: Site, ledger: Ledger) -> int:
    """Blame runs that overlap, go back behind a checkpoint, or begin after a cancel.

    Gives the number of runs.
    """
    runs = read_runs(site.runs)
    by_job: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_job[run.job_id].append(run)
    for job_id, own in by_job.items():
        for one, other in itertools.pairwise(own):
            end = one.end if one.end is not None else ledger.deaths.get(one.life)
            if end is None or other.begin < end:
                ledger.blame(f"job {job_id} ran twice at a time: {one} and {other}")
            if other.went_on_at < one.saved:
                ledger.blame(f"job {job_id} lost a checkpoint: {one} and {other}")
            if other.number <= one.number:
                ledger.blame(f"job {job_id} had run {other.number} after {one.number}")
        refused = ledger.stopped_waiting.get(job_id)
        if refused is not None and own[-1].begin > refused:
            ledger.blame(f"job {job_id} started after its cancel was answered with 200")
    return len(runs)


def check_database(site: Site, ledger: Ledger, *, per_user: int, total: int) -> int:
    """Blame what the stopped server's database says of itself; give the rows of its log."""
    for finding in examine_directory(DataDirectory(site.data_dir), deep=True).findings:
        ledger.blame(f"doctor: {finding.kind}: {finding.message}")
    uri = f"{(site.data_dir / 'jobs.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        rows = connection.execute(
            "SELECT job_id, user_id, event, from_status, to_status FROM events ORDER BY seq"
        ).fetchall()
        statuses = dict(connection.execute("SELECT job_id, status FROM jobs").fetchall())
        labels = [text for (text,) in connection.execute("SELECT labels FROM jobs") if text]
    for text in replay(rows, statuses, per_user=per_user, total=total):
        ledger.blame(text)
    keys = Counter(json.loads(text).get("key") for text in labels)
    for key, count in keys.items():
        if key is not None and count > 1:
            ledger.blame(f"key {key} made {count} jobs")
    return len(rows)


def replay(
    rows: Sequence[tuple[str, str, str, str | None, str]],
    statuses: dict[str, str],
    *,
    per_user: int,
    total: int,
) -> Iterator[str]:
    """Go through the log from its first row; yield what breaks a rule of states or of slots."""
    now: dict[str, str] = {}
    running: Counter[str] = Counter()
    for job_id, user_id, event, before, after in rows:
        edge = TRANSITIONS.get((None if before is None else JobStatus(before), event))
        if edge is None or edge.value != after or now.get(job_id) != before:
            yield f"job {job_id} took {event} from {before} to {after}, and was {now.get(job_id)}"
        now[job_id] = after
        running[user_id] += (after == "running") - (before == "running")
        if running[user_id] > per_user or running.total() > total:
            yield f"{running[user_id]} jobs of {user_id} ran at a time, {running.total()} in all"
    for job_id in sorted(now.keys() | statuses.keys()):
        if now.get(job_id) != statuses.get(job_id):
            yield f"job {job_id} is {statuses.get(job_id)}, and its log says {now.get(job_id)}"
