"""A backup put in place on another machine, whose jobs wait until somebody lets them go."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import Job, JobContext, JobSystem, JobType, Settings
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import EventQuery
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.doctor import examine_directory
from cidx_jobs.store.sqlite.restore import Restored, restore
from tests.fakes import WAIT_SECONDS, Gate

# Each writes a database to the disk, copies and restores it.
pytestmark = pytest.mark.slow


async def restore_held(jobs: JobSystem, target: Path) -> Restored:
    """Make a backup, and restore it with its jobs held."""
    made = await jobs.backups.make()
    return await asyncio.to_thread(
        restore,
        Path(made.file),
        DataDirectory(target),
        replace=False,
        now=datetime.now(UTC),
        hold=True,
    )


def open_types(path: Path, gate: Gate, **settings: Any) -> Any:
    """Open a system with types that wait at the gate, each in its own manner."""
    types = [
        gate.job_type,
        JobType("once", gate.job_type.run, max_attempts=1),
        JobType("alone", gate.job_type.run, exclusive=True),
    ]
    return JobSystem.open(Settings(data_dir=path, **settings), types)


async def reasons(jobs: JobSystem, job: Job) -> tuple[str, ...]:
    """Return why a job waits."""
    place = jobs.manager.queue_status(await jobs.get(job.job_id))
    return () if place is None else place.blocked_by


async def log_of(jobs: JobSystem, job: Job) -> list[tuple[str, str | None, str, str | None]]:
    """Return event, both statuses and reason of a job's rows in the log."""
    rows = await jobs.manager.query_events(EventQuery(job_id=job.job_id))
    return [(row.event, row.from_status, row.to_status, row.reason) for row in rows]


async def test_what_is_unfinished_waits_as_held(tmp_path: Path) -> None:
    """Whether it ran, waited for a slot, for its line or for its time; and then goes on."""
    gate, other = Gate(), Gate()
    later = datetime.now(UTC) + timedelta(days=1)
    async with open_types(tmp_path / "data", gate, max_running_total=3) as jobs:
        running = await jobs.submit("u", "a", job_type="gated")
        alone = await jobs.submit("u", "b", job_type="alone")
        once = await jobs.submit("u", "c", job_type="once")
        await gate.arrived(3)
        follower = await jobs.submit("u", "b", job_type="alone")
        queued = await jobs.submit("u", "d", job_type="gated")
        timed = await jobs.submit("u", "e", job_type="gated", start_at=later)
        done = await restore_held(jobs, tmp_path / "other")
        gate.open()
    examined = await asyncio.to_thread(examine_directory, DataDirectory(tmp_path / "other"))

    async with open_types(tmp_path / "other", other) as jobs:
        ended = await jobs.wait(once.job_id, timeout=WAIT_SECONDS)
        held = [running, alone, follower, queued, timed]
        told = [await reasons(jobs, job) for job in held]
        rows = {job.job_id: await log_of(jobs, job) for job in (running, queued)}
        found = await jobs.examine()
        started = len(other.contexts)
        other.open()
        for job in held:
            await jobs.release(job.job_id)
        results = [await jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in held]

    assert (done.held, started) == (6, 0)
    assert told == [("held",)] * 4 + [("held", "start_at")]
    assert (examined.findings, list(found)) == ((), [])
    assert rows[queued.job_id][-1] == ("hold", "queued", "created", "restored as held")
    assert [row[:3] for row in rows[running.job_id][-3:]] == [
        ("hold", "running", "running"),
        ("interrupt", "running", "queued"),
        ("hold", "queued", "created"),
    ]
    # At most once is at most once: what may have run is not run again by anybody.
    assert ended.error is not None
    assert (ended.status, ended.error.code) == (JobStatus.FAILED, "INTERRUPTED")
    assert [job.status for job in results] == [JobStatus.COMPLETED] * 5
    assert [job.attempt for job in results] == [1] * 5


async def test_a_held_job_keeps_nobody_else_from_its_line(tmp_path: Path) -> None:
    """A new submit for its project makes a job of its own, which starts."""
    gate, other = Gate(), Gate()
    async with open_types(tmp_path / "data", gate) as jobs:
        old = await jobs.submit("u", "b", job_type="alone")
        await gate.arrived()
        await restore_held(jobs, tmp_path / "other")
        gate.open()

    other.open()
    async with open_types(tmp_path / "other", other) as jobs:
        new = await jobs.submit("u", "b", job_type="alone")
        ended = await jobs.wait(new.job_id, timeout=WAIT_SECONDS)
        waiting = await reasons(jobs, old)

    assert new.job_id != old.job_id
    assert (ended.status, waiting) == (JobStatus.COMPLETED, ("held",))


async def test_a_parent_goes_on_once_it_and_its_children_are_let_go(tmp_path: Path) -> None:
    """Both are held; a parent that is let go first waits for its children as ever."""
    gate, other = Gate(), Gate()

    async def parent(context: JobContext) -> dict[str, Any]:
        child = await context.submit("gated", "p", key="one")
        await context.join(child.job_id)
        return {}

    kind = JobType("parent", parent)
    settings = Settings(data_dir=tmp_path / "data")
    async with JobSystem.open(settings, [kind, gate.job_type]) as jobs:
        top = await jobs.submit("u", "p", job_type="parent")
        await gate.arrived()
        child = gate.contexts[0].job
        await jobs.wait(top.job_id, until="status", since=3, timeout=WAIT_SECONDS)
        await restore_held(jobs, tmp_path / "other")
        gate.open()

    other.open()
    copies = Settings(data_dir=tmp_path / "other")
    async with JobSystem.open(copies, [kind, other.job_type]) as jobs:
        both = await reasons(jobs, top), await reasons(jobs, await jobs.get(child.job_id))
        await jobs.release(top.job_id)
        alone = await reasons(jobs, top)
        await jobs.release(child.job_id)
        ended = await jobs.wait(top.job_id, timeout=WAIT_SECONDS)

    assert both == (("held", "children"), ("held",))
    assert alone == ("children",)
    assert ended.status is JobStatus.COMPLETED
