"""Whatever a job's code says, raises or is asked with: each run ends, and each row can be read."""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import (
    Fatal,
    Job,
    JobContext,
    JobNotFoundError,
    JobStatus,
    JobSystem,
    JobType,
    Retryable,
    Settings,
    ValidationError,
)
from cidx_jobs.model.job.packed import PackedObject
from tests.fakes import WAIT_SECONDS

NO_TEXT = os.fsdecode(b"caf\xe9.txt")
"""A file name that is no text: half of a surrogate pair stands in it."""


class SpeechlessError(Exception):
    """An error that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


async def idle(_: JobContext) -> None:
    """Do nothing."""


def make_jobs(folder: Path, handler: Callable[[JobContext], Awaitable[None]]) -> JobSystem:
    """Build a system over a database with one job type, which is tried once."""
    settings = Settings(data_dir=folder / "data", shutdown_grace_seconds=0)
    return JobSystem(settings, [JobType("foreign", handler, max_attempts=1)])


async def run_one(jobs: JobSystem) -> Job:
    """Run a job to its end."""
    job = await jobs.submit("alice", "p", job_type="foreign")
    return await jobs.wait(job.job_id, timeout=WAIT_SECONDS)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(NO_TEXT), "HANDLER_ERROR", "the job's code raised OSError: caf?.txt"),
        (Fatal(NO_TEXT, code=NO_TEXT), "caf?.txt", "caf?.txt"),
        (Fatal(KeyError("x")), "HANDLER_ERROR", "'x'"),  # type: ignore[arg-type] # on purpose
        (Fatal("x", code=7), "7", "x"),  # type: ignore[arg-type] # on purpose
        (SpeechlessError(), "HANDLER_ERROR", "the job's code raised SpeechlessError"),
        (SystemExit(3), "HANDLER_ERROR", "the job's code raised SystemExit: 3"),
        (
            BaseExceptionGroup("two", [asyncio.CancelledError()]),
            "HANDLER_ERROR",
            "the job's code raised BaseExceptionGroup: two (1 sub-exception)",
        ),
    ],
)
async def test_whatever_a_handler_raises_is_the_end_of_its_attempt(
    error: BaseException, code: str, message: str, tmp_path: Path
) -> None:
    """It is stored, in text that can be stored, and the server goes on."""

    async def fail(_: JobContext) -> None:
        raise error

    async with make_jobs(tmp_path, fail) as jobs:
        await run_one(jobs)
        [job] = await jobs.list("alice")

    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.message) == (code, message)


@pytest.mark.parametrize("after", [math.inf, 1e300, -1.0, math.nan])
async def test_a_retry_is_at_a_time_that_there_is(after: float, tmp_path: Path) -> None:
    """However far away a handler puts it: ten years at most, and never in the past."""
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=0)

    async def fail(context: JobContext) -> None:
        if context.job.attempt == 1:
            raise Retryable(after=after)

    async with JobSystem.open(settings, [JobType("later", fail)]) as jobs:
        job = await jobs.submit("alice", "p", job_type="later")
        ended = await jobs.manager.wait(job.job_id, lambda now: bool(now.attempts), WAIT_SECONDS)

    assert ended.attempts[0].error is not None
    assert ended.retry_at is None or ended.retry_at < datetime.now(UTC) + timedelta(days=3_651)


async def test_what_a_run_reports_can_be_read_again(tmp_path: Path) -> None:
    """Fractions, paths and file names that are no text become what their members hold."""
    values: Any = {"done": 1.5, "total": 3.0, "current_item": Path(NO_TEXT), "unit": 7}

    async def report(context: JobContext) -> None:
        context.plan([(1, 0.5), (NO_TEXT, 0.5)])  # type: ignore[list-item] # on purpose
        async with context.phase(NO_TEXT, weight=0.5) as phase:
            await phase.report(message=NO_TEXT, **values)
        context.warn(7, NO_TEXT)  # type: ignore[arg-type] # on purpose
        await context.save_checkpoint({})

    async with make_jobs(tmp_path, report) as jobs:
        await run_one(jobs)
        [job] = await jobs.list("alice")

    assert job.status is JobStatus.COMPLETED
    assert [phase.name for phase in job.phases] == ["1", "caf?.txt"]
    assert [(warning.code, warning.message) for warning in job.warnings] == [("7", "caf?.txt")]
    detail = job.progress_detail
    assert (detail.done, detail.total, detail.unit) == (1, 3, "7")
    assert (detail.current_item, job.message) == ("caf?.txt", "caf?.txt")


@pytest.mark.parametrize(
    "call",
    [
        lambda context: context.report(done="a", total=3),
        lambda context: context.report(done=math.nan),
        lambda context: context.report(percent=math.nan),
        lambda context: context.phase("a", weight=math.nan).__aenter__(),
        lambda context: context.phase("a", weight=-1).__aenter__(),
    ],
    ids=["a word", "no count", "no percentage", "no weight", "a negative weight"],
)
async def test_a_number_that_is_none_is_refused_and_nothing_of_it_is_kept(
    call: Callable[[JobContext], Awaitable[object]], tmp_path: Path
) -> None:
    """The handler hears of it at the call; where it goes on, its row can be read."""

    async def report(context: JobContext) -> None:
        with pytest.raises((TypeError, ValueError)):
            await call(context)
        context.warn("CAUGHT", "it was refused")

    async with make_jobs(tmp_path, report) as jobs:
        await run_one(jobs)
        [job] = await jobs.list("alice")

    assert job.status is JobStatus.COMPLETED
    assert [warning.code for warning in job.warnings] == ["CAUGHT"]
    assert job.progress_detail.done is None
    assert job.phases == ()


async def test_options_are_what_a_restart_would_make_of_them(tmp_path: Path) -> None:
    """A handler gets JSON values, never objects of the caller's that change under it."""
    names = ["a"]
    options: dict[Any, Any] = {"names": names, "pair": (1, 2), 3: "x"}
    async with make_jobs(tmp_path, idle) as jobs:
        job = await jobs.submit("alice", "p", job_type="foreign", options=options)
        names.append("b")

        assert job.options == {"names": ["a"], "pair": [1, 2], "3": "x"}


@pytest.mark.parametrize("value", [object(), NO_TEXT])
async def test_options_that_are_not_json_are_refused(value: object, tmp_path: Path) -> None:
    """With the pointer to them, as over HTTP."""
    async with make_jobs(tmp_path, idle) as jobs:
        with pytest.raises(ValidationError) as caught:
            await jobs.submit("alice", "p", job_type="foreign", options={"a": value})

    assert caught.value.faults[0].pointer == "/options"


@pytest.mark.parametrize(
    "start_at",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    ],
)
async def test_a_start_that_utc_does_not_know_is_refused(
    start_at: datetime, tmp_path: Path
) -> None:
    """Stored, it could never be read again."""
    async with make_jobs(tmp_path, idle) as jobs:
        with pytest.raises(ValidationError, match="/start_at"):
            await jobs.submit("alice", "p", job_type="foreign", start_at=start_at)

        assert await jobs.list("alice") == ()


async def test_a_start_is_kept_in_utc(tmp_path: Path) -> None:
    """Wherever the caller is: every time of a job is in UTC, before a restart and after it."""
    noon_in_rome = datetime(2126, 6, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    async with make_jobs(tmp_path, idle) as jobs:
        job = await jobs.submit("alice", "p", job_type="foreign", start_at=noon_in_rome)

    assert str(job.start_at) == "2126-06-01 10:00:00+00:00"


async def test_the_events_of_an_unknown_job_are_an_error(tmp_path: Path) -> None:
    """Nobody waits for ever for what cannot come."""
    async with make_jobs(tmp_path, idle) as jobs:
        with pytest.raises(JobNotFoundError):
            await anext(aiter(jobs.events("019a0000-0000-7000-8000-000000000000")))


@pytest.mark.parametrize(
    ("length", "status", "code"),
    [(1_000, JobStatus.COMPLETED, None), (1_001, JobStatus.FAILED, "RESULT_TOO_LARGE")],
)
async def test_a_result_is_as_long_as_it_may_be(
    tmp_path: Path, length: int, status: JobStatus, code: str | None
) -> None:
    """A longer one fails the job at once: it would be as long the next time."""

    async def tell(_: JobContext) -> dict[str, object]:
        return {"a": "x" * (length - len('{"a":""}'))}

    settings = Settings(data_dir=tmp_path / "data", max_result_bytes=1_000)
    async with JobSystem(settings, [JobType("foreign", tell, max_attempts=3)]) as jobs:
        ended = await run_one(jobs)

    assert (ended.status, ended.attempt) == (status, 1)
    assert (ended.error.code if ended.error else None) == code


async def test_long_options_are_kept_as_text_and_come_as_a_dictionary(tmp_path: Path) -> None:
    """While it waits, and after a restart, a job takes little; its handler notices nothing."""
    options: dict[str, object] = {"names": [{}] * 1_000}
    got: list[object] = []

    async def look(context: JobContext) -> None:
        got.extend((type(context.options), context.options))

    async with make_jobs(tmp_path, look) as jobs:
        waiting = await jobs.submit("alice", "p", job_type="foreign", options=options, hold=True)
    async with make_jobs(tmp_path, look) as jobs:
        again = await jobs.get(waiting.job_id)
        await jobs.manager.start_job(waiting.job_id)
        await jobs.wait(waiting.job_id, timeout=WAIT_SECONDS)

    assert isinstance(waiting.options, PackedObject)
    assert isinstance(again.options, PackedObject)
    assert got == [dict, options]
