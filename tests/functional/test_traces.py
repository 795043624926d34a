"""Traces: the spans of runs, as a provider of the host's own gets them."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from cidx_jobs import Fatal, Job, JobContext, JobStatus, JobType, Retryable, Transition
from cidx_jobs.model import late_imports
from cidx_jobs.testing import Gate, open_for_tests, run_job
from tests.fakes import WAIT_SECONDS
from tests.functional.test_cli_server import clean_environment, run_here

TRACE_ID, SPAN_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
TRACEPARENT = f"00-{TRACE_ID:032x}-{SPAN_ID:016x}-01"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    """Give the provider that the host has configured; that of a process can be set but once."""
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return provider


@pytest.fixture
def exporter(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    """Give what keeps the spans that have ended."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    provider.shutdown()


def spans_of(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """Return the spans by their names, each of which there is but once."""
    spans = exporter.get_finished_spans()
    assert len({span.name for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes without the beginning that all of ours have."""
    return {name.removeprefix("cidx_jobs."): v for name, v in (span.attributes or {}).items()}


async def read(context: JobContext) -> None:
    """Work in two phases, with a span of its own in the first."""
    async with context.phase("reading", weight=0.5):
        with trace.get_tracer("app").start_as_current_span("query"):
            pass
    async with context.phase("writing", weight=0.5):
        pass


async def test_a_run_is_a_span_that_is_linked_to_its_submit(
    exporter: InMemorySpanExporter,
) -> None:
    """A root with the job's names and its stored times; the wait and the phases are below it."""
    async with open_for_tests([JobType("read", read)]) as jobs:
        job = await jobs.submit("alice", "p", job_type="read", traceparent=TRACEPARENT)
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    spans = spans_of(exporter)
    run = spans["run read"]
    assert (run.parent, run.kind, run.status.status_code) == (
        None,
        SpanKind.CONSUMER,
        StatusCode.UNSET,
    )
    assert [(link.context.trace_id, link.context.span_id) for link in run.links] == [
        (TRACE_ID, SPAN_ID)
    ]
    assert attributes_of(run) == {
        "job_id": job.job_id,
        "job_type": "read",
        "user_id": "alice",
        "project_id": "p",
        "attempt": 1,
        "max_attempts": 3,
        "outcome": "completed",
        "status": "completed",
    }
    assert ended.started_at is not None
    assert run.start_time == round(ended.started_at.timestamp() * 1e6) * 1_000
    assert spans["wait"].end_time == run.start_time
    below = {name for name, span in spans.items() if span.parent == run.context}
    assert below == {"wait", "reading", "writing"}
    assert spans["query"].parent == spans["reading"].context
    assert spans.keys() == below | {"run read", "query"}


async def test_a_submit_within_a_span_is_what_its_run_is_linked_to(
    exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    """Of the program's own: the run is no part of its trace, though it has its variables."""
    async with open_for_tests([JobType("read", read)]) as jobs:
        with provider.get_tracer("app").start_as_current_span("request") as request:
            job = await jobs.submit("alice", "p", job_type="read")
        await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    run = spans_of(exporter)["run read"]
    assert run.context is not None
    assert [link.context.span_id for link in run.links] == [request.get_span_context().span_id]
    assert run.context.trace_id != request.get_span_context().trace_id


async def test_each_attempt_has_its_span_and_tells_how_it_ended(
    exporter: InMemorySpanExporter,
) -> None:
    """With the code of its error, as the job has it; the message has no secret in it."""

    async def fail(context: JobContext) -> None:
        if context.job.attempt == 1:
            message = "not yet: https://user:geheim@host.test/"
            raise Retryable(message, after=0)
        async with context.phase("second"):
            raise Fatal(code="APP-1")

    async with open_for_tests([JobType("fail", fail)]) as jobs:
        await run_job(jobs, "fail")

    runs = [span for span in exporter.get_finished_spans() if span.name == "run fail"]
    told = [attributes_of(span) for span in runs]
    assert [(one["attempt"], one["outcome"], one["status"]) for one in told] == [
        (1, "failed", "queued"),
        (2, "failed", "failed"),
    ]
    assert told[1]["error.type"] == "APP-1"
    assert all(span.status.status_code is StatusCode.ERROR for span in runs)
    assert "geheim" not in str(runs[0].status.description)
    (phase,) = (span for span in exporter.get_finished_spans() if span.name == "second")
    assert attributes_of(phase)["error.type"] == "Fatal"
    assert not phase.events


async def test_a_thread_s_work_is_below_its_phase(exporter: InMemorySpanExporter) -> None:
    """A plain function's spans have the run's, and within a phase the phase's."""

    def plain(context: JobContext) -> None:
        tracer = trace.get_tracer("app")
        tracer.start_span("before").end()
        with context.sync.phase("reading"):
            tracer.start_span("query").end()

    async with open_for_tests([JobType("plain", plain)]) as jobs:
        await run_job(jobs, "plain")

    spans = spans_of(exporter)
    assert spans["before"].parent == spans["run plain"].context
    assert spans["reading"].parent == spans["run plain"].context
    assert spans["query"].parent == spans["reading"].context


async def test_a_child_is_linked_to_the_span_it_was_made_in(
    exporter: InMemorySpanExporter,
) -> None:
    """Not to what its parent came from; a run that is suspended has ended."""
    suspended = asyncio.Event()

    async def parent(context: JobContext) -> None:
        child = await context.submit("child", "p", key="a")
        await context.join(child.job_id)

    async def child(_: JobContext) -> None:
        await suspended.wait()

    jobs = open_for_tests([JobType("parent", parent), JobType("child", child)])
    async with jobs as opened:

        @opened.on_transition
        async def note(_: Job, transition: Transition) -> None:
            if transition.event == "suspend":
                suspended.set()

        job = await opened.submit("alice", "p", job_type="parent", traceparent=TRACEPARENT)
        await opened.wait(job.job_id, timeout=WAIT_SECONDS)

    spans = exporter.get_finished_spans()
    first, second = (span for span in spans if span.name == "run parent")
    (made,) = (span for span in spans if span.name == "run child")
    assert attributes_of(first)["status"] == "created"
    assert attributes_of(second)["status"] == "completed"
    assert first.context is not None
    assert [link.context.span_id for link in made.links] == [first.context.span_id]


async def test_a_run_that_a_stop_interrupts_has_ended(exporter: InMemorySpanExporter) -> None:
    """No span is left open behind a system that is closed."""
    gate = Gate()
    async with open_for_tests([gate.job_type]) as jobs:
        await jobs.submit("alice", "p", job_type="gated")
        await gate.arrived()

    run = spans_of(exporter)["run gated"]
    assert attributes_of(run)["outcome"] == "interrupted"
    assert run.status.status_code is StatusCode.UNSET


class Refusing(SpanProcessor):
    """A provider's part that raises."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002 - the API's
        """Raise."""
        raise RuntimeError(span.name)

    def on_end(self, span: Any) -> None:
        """Raise."""
        raise RuntimeError(span.name)


async def test_what_a_provider_raises_harms_no_run(provider: TracerProvider) -> None:
    """It runs as if there were none."""
    provider.add_span_processor(Refusing())

    async def work(context: JobContext) -> None:
        async with context.phase("reading"):
            pass

    async with open_for_tests([JobType("work", work)]) as jobs:
        job = await run_job(jobs, "work")

    assert job.status is JobStatus.COMPLETED


async def test_off_makes_none_whatever_is_loaded(exporter: InMemorySpanExporter) -> None:
    """The setting goes before what the program has."""
    async with open_for_tests([JobType("read", read)], tracing="off") as jobs:
        await run_job(jobs, "read")

    assert [span.name for span in exporter.get_finished_spans()] == ["query"]


@pytest.mark.slow
def test_a_program_without_it_loads_nothing_of_it(tmp_path: Path) -> None:
    """What is off costs nothing: a run without a provider has no middleware and no observer."""
    program = (
        "import asyncio, sys\n"
        "from cidx_jobs import JobSystem, JobType, Settings\n"
        "from cidx_jobs.testing import run_job\n"
        "async def work(context):\n"
        "    async with context.phase('a'):\n"
        "        pass\n"
        "async def main():\n"
        "    async with JobSystem.open(Settings(data_dir='data'), [JobType('w', work)]) as jobs:\n"
        "        await run_job(jobs, 'w')\n"
        "        runner = jobs._engine._executor._runner\n"
        "        print(len(runner.middlewares), runner.traces)\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
        "print('cidx_jobs.observe.traces' in sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )

    assert done.stdout.splitlines() == ["0 None", "[]", "False"], done.stderr


@pytest.mark.parametrize("command", ["check", "serve"])
def test_without_the_extra_it_is_refused_with_what_to_install(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before anything is opened."""
    monkeypatch.setattr(late_imports, "find_spec", lambda _: None)
    env = {**clean_environment(), "CIDX_JOBS_TRACING": "on"}

    done = run_here((command, "--data-dir", str(tmp_path / "data")), env)

    assert done.code == 1
    assert "pip install 'cidx_jobs[otel]'" in done.err
    assert not (tmp_path / "data").exists()
