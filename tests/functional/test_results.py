"""Results that are waited for: typed, from any thread and process, and errors in their place."""

import asyncio
from pathlib import Path
from typing import assert_type

import attrs
import pytest
from msgspec.structs import replace

from cidx_jobs import (
    CidxJobsError,
    Fatal,
    FromThread,
    Job,
    JobCancelledError,
    JobContext,
    JobFailedError,
    JobSystem,
    JobType,
    ResultRemovedError,
    Schedule,
    Settings,
    StoppingError,
    UnknownJobTypeError,
    ValidationError,
    job_type,
)
from cidx_jobs.calls.job_calls import JobCalls
from cidx_jobs.model.job.outcome import find_result
from cidx_jobs.testing import Gate, open_for_tests
from tests.fakes import WAIT_SECONDS
from tests.stored import completed, started, submitted


@attrs.frozen
class Text:
    """What is asked."""

    words: tuple[str, ...]


@attrs.frozen
class Count:
    """What comes of it."""

    letters: int
    first: str = ""


@job_type("count", options=Text, result=Count)
async def count(context: JobContext[Text]) -> Count:
    """Count the letters; none are a failure."""
    words = context.options.words
    if not words:
        message = "there are no words"
        raise Fatal(message)
    return Count(sum(map(len, words)), words[0])


async def test_a_result_is_an_instance_of_its_class() -> None:
    """Where the type itself is given; by its name the result is the object that is stored."""
    async with open_for_tests([count]) as jobs:
        made = await jobs.run("u", "p", job_type=count, options=Text(("ab", "c")))
        plain = await jobs.run("u", "p", job_type="count", options={"words": ["ab"]})
        last = (await jobs.list("u", job_type=count, limit=1))[0]
        again = await jobs.wait_result(last.job_id, job_type=count, timeout=0)
        stored = await jobs.wait_result(last.job_id)

    assert_type(made, Count)
    assert (made, again) == (Count(3, "ab"), Count(2, "ab"))
    assert plain == stored == {"letters": 2, "first": "ab"}


async def test_a_job_that_does_not_complete_raises() -> None:
    """With the job as it ended, in the one tree of errors."""
    gate = Gate()
    async with open_for_tests([count, gate.job_type]) as jobs:
        with pytest.raises(JobFailedError, match="there are no words") as failed:
            await jobs.run("u", "p", job_type=count, options=Text(()))
        waits = await jobs.submit("u", "p", job_type=gate.job_type)
        with pytest.raises(TimeoutError):
            await jobs.wait_result(waits.job_id, timeout=0)
        await jobs.cancel(waits.job_id, "not wanted")
        with pytest.raises(JobCancelledError, match="not wanted") as cancelled:
            await jobs.wait_result(waits.job_id, timeout=WAIT_SECONDS)

    assert failed.value.job.error is not None
    assert cancelled.value.job.job_id == waits.job_id
    assert isinstance(failed.value, CidxJobsError)
    assert isinstance(cancelled.value, CidxJobsError)


async def test_a_stop_ends_the_waiting_for_a_result() -> None:
    """The job is not done, and goes on later: that is no result, and no failure of it."""
    gate = Gate()
    async with open_for_tests([gate.job_type]) as jobs:
        waiting = asyncio.create_task(jobs.run("u", "p", job_type=gate.job_type))
        await gate.arrived()
        await jobs.begin_stop()
        with pytest.raises(StoppingError):
            await waiting


def test_a_result_that_is_not_kept_is_told() -> None:
    """It may go before its job."""
    ended = completed(started(submitted().job).job).job

    with pytest.raises(ResultRemovedError):
        find_result(replace(ended, result=None), None)


async def test_a_result_of_an_older_class_is_told_by_its_members() -> None:
    """As options are."""
    old: JobType[Count] = JobType("count", count.run, result=Count)
    async with open_for_tests([count]) as jobs:
        job = await jobs.submit("u", "p", job_type=count, options=Text(("ab",)))
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    with pytest.raises(ValidationError) as wrong:
        old.read_result({**(ended.result or {}), "letters": "two", "gone": 1})

    assert [fault.pointer for fault in wrong.value.faults] == ["/result/letters", "/result/gone"]


async def test_wherever_a_type_is_named_it_may_stand_itself() -> None:
    """In submits, filters, pauses and schedules; one that is not registered is unknown."""
    other = JobType("other", count.run)
    nightly = Schedule(
        "nightly", "u", "p", job_type=count, options={"words": ["a"]}, cron="@daily"
    )
    async with open_for_tests([count], schedules=[nightly]) as jobs:
        paused = await jobs.pause(job_type=count)
        wanted = {"project_id": "p", "job_type": count, "options": Text(("a",))}
        (made,) = await jobs.submit_many("u", [wanted])
        found = await jobs.list(job_type=count)
        resumed = await jobs.resume(job_type=count)
        shown = await jobs.schedules.get("u", "nightly")
        with pytest.raises(UnknownJobTypeError):
            await jobs.run("u", "p", job_type=other)

    assert (paused.job_types, resumed.job_types) == (frozenset({"count"}), frozenset())
    assert [job.job_id for job in found] == [made.job_id]
    assert shown.job_type == "count"


def ask(jobs: FromThread) -> tuple[Count, list[str], Job]:
    """Use what another thread has: a result, events, and how an end is told."""
    made = jobs.run("u", "p", job_type=count, options=Text(("ab",)))
    (job,) = jobs.list("u", job_type=count)
    events = [row.event for row in jobs.events(job.job_id)]
    jobs.limits(max_running_total=3)
    jobs.pause(job_type=count)
    jobs.resume(job_type=count)
    again = jobs.wait_result(job.job_id, job_type=count, timeout=WAIT_SECONDS)
    assert again == made
    assert jobs.wait_result(job.job_id) == job.result
    with pytest.raises(JobFailedError) as failed:
        jobs.run("u", "p", job_type=count, options=Text(()))
    return made, events, failed.value.job


@pytest.mark.slow
async def test_other_threads_have_all_calls_in_every_process(tmp_path: Path) -> None:
    """Also where the system is only attached to, and not on the loop's own thread."""
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=0)
    async with (
        JobSystem.open(settings, [count], shared=True),
        JobSystem.attach(settings.data_dir) as attached,
    ):
        made, events, failed = await asyncio.to_thread(ask, attached.from_thread)
        with pytest.raises(RuntimeError, match="other threads"):
            attached.from_thread.get(failed.job_id)
    with pytest.raises(RuntimeError, match="nothing is attached"):
        attached.from_thread.get(failed.job_id)

    assert made == Count(2, "ab")
    assert events[-1] == "complete"


def test_no_call_is_lacking_from_other_threads() -> None:
    """What `JobSystem` and `JobSystem.attach` both have, threads have, too."""
    calls = {name for name in vars(JobCalls) if not name.startswith("_")}

    assert calls <= set(vars(FromThread))
