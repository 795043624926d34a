"""What every `JobStore` promises to a run: its progress and its checkpoints."""

from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.errors import StaleRunError, StaleVersionError
from cidx_jobs.model.job.events import Retry
from cidx_jobs.model.job.lifecycle import record_progress
from cidx_jobs.model.listing import EventQuery
from tests.stored import KEY, NOON, checkpointed, completed, failed, store, store_running, taken


async def test_progress_is_stored_without_a_row_in_the_log(jobs: JobStore) -> None:
    """A report raises the version and changes what it reports, nothing else."""
    job = await store_running(jobs)
    report = record_progress(job, NOON, progress=40, phase="reading", message="4 of 10")
    told: list[Any] = []

    refused = await jobs.save_progress([report], on_commit=told.append)

    assert list(refused) == []
    assert await jobs.load_job(job.job_id) == report
    assert [list(jobs) for jobs in told] == [[report]]
    assert len(await jobs.query_events(EventQuery())) == 3


async def test_a_stale_report_is_refused_and_its_neighbours_are_stored(jobs: JobStore) -> None:
    """Reports are refused one by one: for their version, their run, or a job that has ended."""
    job = await store_running(jobs, project_id="a")
    good = record_progress(job, NOON, progress=10)
    other = await store_running(jobs, project_id="b")
    ended = record_progress(other, NOON, progress=20)
    await store(jobs, completed(other))
    zombie = replace(
        record_progress(await store_running(jobs, project_id="c"), NOON, progress=30), run=0
    )

    refused = await jobs.save_progress([zombie, good, ended])

    assert set(refused) == {zombie.job_id, ended.job_id}
    assert await jobs.load_job(job.job_id) == good


async def test_a_checkpoint_is_stored_with_the_job(jobs: JobStore) -> None:
    """Its content comes back as it was, and a newer one takes its place."""
    job = await store_running(jobs)
    first = checkpointed(job)
    await jobs.save_checkpoint(first, ["a", {"b": 1.5}])
    second = checkpointed(first.job, "writing")
    told: list[bool] = []

    await jobs.save_checkpoint(second, None, on_commit=lambda: told.append(True))

    checkpoint = await jobs.load_checkpoint(job.job_id)
    assert checkpoint is not None
    assert (checkpoint.data, checkpoint.phase, checkpoint.run) == (None, "writing", 1)
    assert await jobs.load_job(job.job_id) == second.job
    assert told == [True]


async def test_a_checkpoint_is_not_changed_by_its_handler_later(jobs: JobStore) -> None:
    """What was stored is what was handed over then."""
    job = await store_running(jobs)
    data = ["a"]
    await jobs.save_checkpoint(checkpointed(job), data)

    data.append("b")

    checkpoint = await jobs.load_checkpoint(job.job_id)
    assert checkpoint is not None
    assert checkpoint.data == ["a"]


async def test_a_zombie_saves_no_checkpoint(jobs: JobStore) -> None:
    """A run that is over is told so, and a run that was overtaken is told that."""
    job = await store_running(jobs)
    late = checkpointed(job)
    await jobs.save_progress([record_progress(job, NOON, progress=5)])

    with pytest.raises(StaleVersionError):
        await jobs.save_checkpoint(late, 1)
    with pytest.raises(StaleRunError):
        await jobs.save_checkpoint(replace(late, job=replace(late.job, run=99)), 1)

    assert await jobs.load_checkpoint(job.job_id) is None


async def test_a_change_can_drop_the_checkpoint(jobs: JobStore) -> None:
    """A retry from the start forgets it in its own transaction."""
    job = await store_running(jobs)
    saved = checkpointed(job)
    await jobs.save_checkpoint(saved, 1)
    ended = await store(jobs, failed(saved.job))
    again = taken(ended, Retry(key=KEY, from_start=True))

    await jobs.save_changes([replace(again, drops_checkpoint=True)])

    assert await jobs.load_checkpoint(job.job_id) is None
