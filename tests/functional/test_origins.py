"""What a run knows of its submit: context variables, and the trace context."""

import asyncio
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from cidx_jobs import JobContext, JobStatus, JobType, ValidationError
from cidx_jobs.testing import Gate, MemoryPersistence, open_for_tests, run_job
from tests.fakes import WAIT_SECONDS
from tests.functional.web import AioClient, open_house

TENANT: ContextVar[str] = ContextVar("TENANT", default="nobody")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def tell(context: JobContext) -> dict[str, Any]:
    """Tell what there is, and change it for this run."""
    seen = TENANT.get()
    TENANT.set("changed")
    if context.options.get("fails") and context.job.attempt == 1:
        message = "once"
        raise RuntimeError(message)
    return {"tenant": seen, "trace": context.job.traceparent}


TELL = JobType("tell", tell)


async def test_a_run_has_the_context_variables_of_its_submit() -> None:
    """Each its own, in every attempt, and what a run sets is gone with it."""
    async with open_for_tests([TELL], retry_base_seconds=0) as jobs:

        async def submit(tenant: str) -> dict[str, Any]:
            TENANT.set(tenant)
            job = await jobs.submit("u", "p", job_type="tell", options={"fails": True})
            ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
            assert ended.result is not None
            return dict(ended.result)

        told = await asyncio.gather(
            *(asyncio.create_task(submit(tenant)) for tenant in ("a", "b"))
        )

    assert [one["tenant"] for one in told] == ["a", "b"]


async def test_a_plain_function_and_another_thread_have_them_too() -> None:
    """They are those of the thread that submitted."""

    def plain(_: JobContext) -> dict[str, Any]:
        return {"tenant": TENANT.get()}

    async with open_for_tests([JobType("plain", plain)]) as jobs:

        def work() -> Any:
            TENANT.set("thread")
            job = jobs.from_thread.submit("u", "p", job_type="plain")
            return jobs.from_thread.wait(job.job_id, timeout=WAIT_SECONDS).result

        told = await asyncio.to_thread(work)

    assert told == {"tenant": "thread"}


async def test_nothing_is_kept_of_jobs_that_are_done_or_refused() -> None:
    """Nor of those that were never stored."""
    gate = Gate()
    async with open_for_tests([TELL, gate.job_type], max_queued_per_user=1) as jobs:
        board = jobs._opened().board.origins
        await run_job(jobs, "tell")
        with pytest.raises(ValidationError):
            await jobs.submit("u", "a b", job_type="tell")
        after = len(board)
        held = await jobs.submit("u", "p", job_type="tell", hold=True)
        while_held = len(board)
        await jobs.cancel(held.job_id)

        assert (after, while_held, len(board)) == (0, 1, 0)


async def test_the_trace_context_is_stored_with_the_job() -> None:
    """Given, or taken from the current span; the next life of the server has it still."""
    store = MemoryPersistence()
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)))
    async with open_for_tests([TELL], persistence=store) as jobs:
        given = await jobs.submit("u", "p", job_type="tell", traceparent=TRACE, hold=True)
        with trace.use_span(span):
            taken = await jobs.submit("u", "q", job_type="tell")
        with pytest.raises(ValidationError) as refused:
            await jobs.submit("u", "p", job_type="tell", traceparent="00-x")
    async with open_for_tests([TELL], persistence=store) as jobs:
        await jobs.release(given.job_id)
        ended = await jobs.wait(given.job_id, timeout=WAIT_SECONDS)

    assert ended.status is JobStatus.COMPLETED
    assert ended.result is not None
    assert ended.result["trace"] == TRACE
    assert taken.traceparent == f"00-{1:032x}-{2:016x}-01"
    assert [fault.pointer for fault in refused.value.faults] == ["/traceparent"]


@pytest.mark.slow
async def test_the_trace_context_of_a_request_is_kept(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """One that is none is left out."""
    async with open_house(aiohttp_client, tmp_path, [TELL]) as house:
        ids = []
        for header in (TRACE, "nonsense"):
            body = {"job_type": "tell", "project_id": "p"}
            answer = await house.ask(
                "POST", "/api/jobs", json=body, headers={"traceparent": header}
            )
            ids.append((await answer.json())["job_id"])
        kept = [(await house.jobs.get(job_id)).traceparent for job_id in ids]

    assert kept == [TRACE, None]
