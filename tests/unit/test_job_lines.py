"""What the log says of jobs: one line each at info, at its end, with its whole story."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cidx_jobs import JobContext, JobSystem, JobType, RetryPolicy, Settings, setup_logging
from cidx_jobs.model.job.events import Complete, Fail, RetryLater
from cidx_jobs.model.job.job import Job, PhaseState, Transition
from cidx_jobs.observe.job_lines import JobLines
from cidx_jobs.observe.logs import to_json
from tests.fakes import WAIT_SECONDS, Gate, logged
from tests.stored import AN_ERROR, KEY, NOON, completed, new_job, started, submitted, taken

TOKEN = "cidxj_" + "a" * 43


async def story_of(
    tmp_path: Path, job_type: JobType, *, level: str = "info", cancel: bool = False, **request: Any
) -> list[dict[str, Any]]:
    """Give the lines that a server writes of one job."""
    stream = io.StringIO()
    settings = Settings(data_dir=tmp_path / "data", log_level=level, log_format="json")
    setup_logging(settings, stream)
    async with JobSystem.open(settings, [job_type]) as jobs:
        job = await jobs.submit("alice", "p", job_type=job_type.name, **request)
        if cancel:
            await jobs.cancel(job.job_id, "no need")
        await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
    events = map(json.loads, stream.getvalue().splitlines())
    return [event for event in events if event.get("job_id") == job.job_id]


async def work(context: JobContext) -> None:
    """Work in two phases."""
    async with context.phase("reading", weight=0.5):
        await asyncio.sleep(0.02)
    async with context.phase("writing", weight=0.5):
        pass


async def test_a_job_that_completes_has_one_line(tmp_path: Path) -> None:
    """With what it was, how it ended, how long it waited and ran, and its phases."""
    (line,) = await story_of(tmp_path, JobType("work", work))

    assert (line["level"], line["event"]) == ("info", "job_ended")
    assert (line["job_type"], line["user_id"], line["project_id"]) == ("work", "alice", "p")
    assert (line["status"], line["attempts"]) == ("completed", 1)
    assert 0 <= line["wait_seconds"] < WAIT_SECONDS
    assert 0.02 <= line["run_seconds"] < WAIT_SECONDS
    assert list(line["phase_seconds"]) == ["reading", "writing"]
    assert line["phase_seconds"]["reading"] >= 0.02
    assert "code" not in line


async def test_a_job_that_fails_is_a_warning_for_each_attempt(tmp_path: Path) -> None:
    """The attempts that will be tried again, then the end; each with code and message."""

    async def fail(_: JobContext) -> None:
        message = f"no luck with {TOKEN}"
        raise ValueError(message)

    policy = RetryPolicy(base_seconds=0.01, cap_seconds=0.01)
    lines = await story_of(tmp_path, JobType("fail", fail, max_attempts=2, retry=policy))

    told = [line for line in lines if line["event"].startswith("job_")]
    retried, end = told
    assert (retried["level"], retried["event"]) == ("warning", "job_retried")
    assert (retried["attempt"], retried["code"]) == (1, "HANDLER_ERROR")
    assert "no luck" in retried["message"]
    assert (end["level"], end["event"], end["status"]) == ("warning", "job_failed", "failed")
    assert (end["attempt"], end["attempts"], end["code"]) == (2, 2, "HANDLER_ERROR")
    assert "no luck" in end["message"]
    assert TOKEN not in str(lines)


async def test_a_job_that_is_cancelled_says_why(tmp_path: Path) -> None:
    """One that never ran has run for no time."""
    (line,) = await story_of(tmp_path, Gate().job_type, cancel=True, hold=True)

    assert (line["event"], line["status"], line["attempts"]) == ("job_ended", "cancelled", 0)
    assert (line["code"], line["message"]) == ("CANCELLED", "no need")
    assert line["run_seconds"] == 0


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["job_changed"] * 4 + ["job_ended"]),
        ("info", ["job_ended"]),
        ("warning", []),
        ("error", []),
    ],
)
async def test_the_level_says_how_much_is_told(
    tmp_path: Path, level: str, events: list[str]
) -> None:
    """Each transition at debug, the end at info."""
    lines = await story_of(tmp_path, JobType("work", work), level=level)

    assert [line["event"] for line in lines] == events


async def test_a_run_that_takes_long_has_a_line_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, while it runs; one that has ended by then has none, and none after the close."""
    lines = JobLines(long_run_seconds=0.02)
    long, short = (submitted(project_id=name) for name in ("long", "short"))
    for change in (long, short):
        run = started(change.job)
        lines(run.job, run.transitions[-1:])
    end = completed(started(short.job).job)
    lines(end.job, end.transitions[-1:])

    await asyncio.sleep(0.1)
    late = started(submitted(project_id="late").job)
    lines(late.job, late.transitions[-1:])
    lines.close()
    await asyncio.sleep(0.05)

    (told,) = (record for record in caplog.records if "job_started" in record.getMessage())
    assert "project_id='long'" in told.getMessage()


def foreign_moments() -> Iterator[tuple[Job, Transition]]:
    """Give moments of jobs in which every text that can be somebody else's is a secret."""
    queued, other = (
        submitted(new_job(user_id=TOKEN, project_id=TOKEN, job_type=TOKEN)) for _ in range(2)
    )
    error = replace(AN_ERROR, code=TOKEN, message="long " * 100 + f"password=s3cr3t {TOKEN}")
    phases = (PhaseState(name=TOKEN, weight=1, started_at=NOON, finished_at=NOON),)
    running = started(queued.job).job
    later = RetryLater(error=error, retry_at=NOON, key=KEY, elapsed_seconds=1.0)
    changes = (
        queued,
        started(other.job),
        taken(running, later),
        taken(running, Fail(error=error, elapsed_seconds=1.0), phases=phases),
        taken(running, Complete(result={}, elapsed_seconds=1.0), phases=phases),
    )
    for change in changes:
        for row in change.transitions:
            yield change.job, row


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
async def test_every_text_from_elsewhere_is_clean(
    caplog: pytest.LogCaptureFixture, level: int
) -> None:
    """Names, codes, messages and phases in every line of a job, the second time too."""
    caplog.set_level(level, "cidx_jobs")
    lines = JobLines(long_run_seconds=0)

    for _ in range(2):
        for job, row in foreign_moments():
            lines(job, [row])
        await asyncio.sleep(0.01)
    lines.close()

    assert {"job_ended", "job_failed", "job_retried", "job_started"} <= set(logged(caplog))
    assert ("job_changed" in logged(caplog)) is (level == logging.DEBUG)
    for record in caplog.records:
        shown = str(record.msg) + to_json(record)
        assert TOKEN not in shown
        assert "s3cr3t" not in shown
