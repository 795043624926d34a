"""A process that writes is killed, again and again: nothing that it acknowledged is lost."""

import asyncio
import json
import os
import random
import secrets
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.model.errors import DatabaseDamagedError
from cidx_jobs.model.listing import EventQuery, JobQuery
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.persistence import JobPersistence

ROUNDS = int(os.environ.get("KILL_ROUNDS", "8"))
SEED = int(os.environ.get("KILL_SEED", secrets.randbits(32)))
WRITERS = 20
BOUND_SECONDS = 30.0

EVERYTHING = JobQuery(limit=10**9)


class Said(NamedTuple):
    """What a process said of a job last: where it stands, and its number in the log."""

    version: int
    status: str
    sequence: int


# Each caller takes jobs from submit to end, and tells of each step once it is acknowledged.
PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from cidx_jobs.clock import SystemClock
from cidx_jobs.model.listing import IdempotencyRecord
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.stored import NOON, completed, new_job, started, submitted

def tell(job, sequence):
    print(json.dumps([job.job_id, job.version, job.status, sequence]), flush=True)

async def work(jobs, name, first):
    for number in range(first, first + 100_000):
        change = submitted(new_job(project_id=name, job_id=f"{name}-{number}"))
        key = IdempotencyRecord(user_id="alice", key=change.job.job_id, fingerprint="f",
                                job_id=change.job.job_id, created_at=NOON)
        for step in (lambda job: change, started, completed):
            change = step(change.job)
            rows = await jobs.jobs.save_changes(
                [change], idempotency=key if change.base_version == 0 else None)
            tell(change.job, rows[-1].sequence)

async def main():
    jobs = JobPersistence(DataDirectory(Path(sys.argv[1])), clock=SystemClock())
    identity = await jobs.open()
    print(json.dumps("open"), flush=True)
    await asyncio.gather(*(
        work(jobs, f"w{n}", identity.epoch * 100_000) for n in range(int(sys.argv[2]))))

asyncio.run(main())
"""

# The planted bug that the loop has to find: callers are answered before their COMMIT.
ANSWER_TOO_EARLY = """
import cidx_jobs.store.sqlite.commit.connection as connection

class Early(connection.FunctionRunner):
    batches = 0
    def execute(self, sql, parameters=()):
        if sql == "COMMIT":
            Early.batches += 1
        is_late = sql == "COMMIT" and Early.batches % 20
        if is_late or (sql == "BEGIN IMMEDIATE" and self.in_transaction):
            return super().execute("SELECT 1")
        return super().execute(sql, parameters)

connection.FunctionRunner = Early
"""


async def run_and_kill(root: Path, program: str, lines: int, ledger: dict[str, Said]) -> None:
    """Let a process write until it acknowledged *lines* steps, kill it, and note what it said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        str(root),
        str(WRITERS),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    count = 0
    async with asyncio.timeout(BOUND_SECONDS):
        while (line := await child.stdout.readline()).endswith(b"\n"):
            said = json.loads(line)
            if said != "open":
                job_id, *rest = said
                ledger[job_id] = Said(*rest)
            if count == lines:
                # What it says between this and its death counts as well.
                child.send_signal(signal.SIGKILL)
            count += 1
        await child.wait()


async def find_faults(directory: DataDirectory, ledger: dict[str, Said]) -> list[str]:
    """Compare what is stored with what was acknowledged, and the rows with their log."""
    jobs = JobPersistence(directory, clock=SystemClock())
    try:
        await jobs.open()
    except DatabaseDamagedError as error:
        return [error.message]
    stored = {str(job.job_id): job for job in (await jobs.jobs.query_jobs(EVERYTHING)).jobs}
    log = await jobs.jobs.query_events(EventQuery(limit=EVERYTHING.limit))
    await jobs.close()

    faults = [
        f"{job_id} was acknowledged at {said.version} and is at {stored.get(job_id)}"
        for job_id, said in ledger.items()
        if job_id not in stored
        or stored[job_id].version < said.version
        or (stored[job_id].version == said.version and stored[job_id].status != said.status)
    ]
    if [row.sequence for row in log] != list(range(1, len(log) + 1)):
        faults.append("the log has gaps")
    if len(log) < max((said.sequence for said in ledger.values()), default=0):
        faults.append("the log has lost its end")
    newest = {str(row.job_id): (row.version, row.to_status) for row in log}
    if newest != {job_id: (job.version, job.status) for job_id, job in stored.items()}:
        faults.append("a row is not its last row of the log")
    return faults


async def kill_again_and_again(root: Path, program: str, rounds: int) -> list[str]:
    """Kill at random moments, a quarter of them during the start; give the first faults found."""
    ledger: dict[str, Said] = {}
    chance = random.Random(SEED)  # noqa: S311 - when to kill is no secret
    for _ in range(rounds):
        lines = chance.choice([0, *(chance.randrange(400) for _ in range(3))])
        await run_and_kill(root, program, lines, ledger)
        if faults := await find_faults(DataDirectory(root), ledger):
            return faults
    return []


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * ROUNDS)
async def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    """After each kill every acknowledged step is there, and every row is its last log row."""
    faults = await kill_again_and_again(tmp_path / "data", PROGRAM, ROUNDS)

    assert faults == [], f"KILL_SEED={SEED}"


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_the_loop_finds_an_answer_that_comes_before_its_commit(tmp_path: Path) -> None:
    """The teeth of the loop above: with this bug planted it must fail."""
    faults = await kill_again_and_again(tmp_path / "data", ANSWER_TOO_EARLY + PROGRAM, 10)

    assert faults != [], f"KILL_SEED={SEED}"
