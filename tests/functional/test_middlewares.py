"""What stands around each run: its order, its view of what is raised, and its own result."""

import asyncio
from typing import Any

import pytest

from cidx_jobs import CallNext, Fatal, JobContext, JobStatus, JobType, Middleware
from cidx_jobs.testing import Gate, MemoryPersistence, open_for_tests, run_job
from tests.fakes import WAIT_SECONDS
from tests.functional.web import quick


def noting(name: str, told: list[str]) -> Middleware:
    """Give a middleware that notes when it is entered, what it sees, and when it is left."""

    async def middleware(context: JobContext, call_next: CallNext) -> Any:
        told.append(f"{name} enters {context.job.job_type}")
        try:
            return await call_next(context)
        except BaseException as error:
            told.append(f"{name} sees {type(error).__name__}")
            raise
        finally:
            told.append(f"{name} leaves")

    return middleware


async def test_the_outermost_comes_first() -> None:
    """And goes last; the result is the handler's."""
    told: list[str] = []
    around = [noting("outer", told), noting("inner", told)]
    async with open_for_tests([JobType("quick", quick)], middlewares=around) as jobs:
        job = await run_job(jobs, "quick", {"a": 1})

    assert job.result == {"seen": {"a": 1}}
    assert told == ["outer enters quick", "inner enters quick", "inner leaves", "outer leaves"]


async def test_it_sees_what_the_handler_raises() -> None:
    """Before the run's end is stored; a plain function's, too."""
    told: list[str] = []

    def fail(_: JobContext) -> None:
        message = "no"
        raise Fatal(message)

    async with open_for_tests([JobType("fail", fail)], middlewares=[noting("it", told)]) as jobs:
        job = await run_job(jobs, "fail")

    assert job.status is JobStatus.FAILED
    assert told == ["it enters fail", "it sees Fatal", "it leaves"]


async def test_it_sees_a_cancel() -> None:
    """As the handler does."""
    told: list[str] = []
    gate = Gate()
    async with open_for_tests([gate.job_type], middlewares=[noting("it", told)]) as jobs:
        job = await jobs.submit("u", "p", job_type="gated")
        await gate.arrived()
        await jobs.cancel(job.job_id)
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert ended.status is JobStatus.CANCELLED
    assert told[1:] == ["it sees CancelledError", "it leaves"]


async def test_its_own_answer_is_the_result() -> None:
    """Also in place of a handler that is never called."""

    async def answer(_: JobContext, call_next: CallNext) -> Any:
        assert callable(call_next)
        return {"answered": True}

    async with open_for_tests([JobType("quick", quick)], middlewares=[answer]) as jobs:
        job = await run_job(jobs, "quick")

    assert job.result == {"answered": True}


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, asyncio.CancelledError])
async def test_what_it_raises_itself_is_the_end_of_the_run(error: type[BaseException]) -> None:
    """Whatever it is; the slot is free after it."""

    async def refuse(_: JobContext, __: CallNext) -> Any:
        raise error

    async with open_for_tests(
        [JobType("quick", quick, max_attempts=1)], middlewares=[refuse]
    ) as jobs:
        job = await run_job(jobs, "quick")

        assert job.status is JobStatus.FAILED
        assert list(jobs.concurrency.holders()) == []


async def test_a_job_waits_for_a_server_that_has_its_type() -> None:
    """It says `type_missing`, and runs where the type is there again."""
    store = MemoryPersistence()
    async with open_for_tests([JobType("rare", quick)], persistence=store) as jobs:
        held = await jobs.submit("u", "p", job_type="rare", hold=True)

    async with open_for_tests(persistence=store) as jobs:
        await jobs.release(held.job_id)
        await jobs.wait_until_idle(WAIT_SECONDS)
        waiting = await jobs.get(held.job_id)
        place = jobs.manager.queue_status(waiting)
    async with open_for_tests([JobType("rare", quick)], persistence=store) as jobs:
        ended = await jobs.wait(held.job_id, timeout=WAIT_SECONDS)

    assert place is not None
    assert place.blocked_by == ("type_missing",)
    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)
