"""Traces: a span of each run and of its phases, by the API of OpenTelemetry.

A run is the root of a trace of its own, with a link to the span that its job was submitted from:
it may begin days later, and be one of several attempts. Where nobody has configured a provider,
the API's own spans cost next to nothing and go nowhere.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from cidx_jobs import __version__
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.run import CallNext, JobContext
from cidx_jobs.model.foreign import Raised, call_foreign
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus, Transition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class RunSpans:
    """The spans of the runs of one system: all their times are those that are stored.

    What a provider raises, whose samplers and processors are foreign code, harms no run.
    """

    def __init__(self, clock: Clock) -> None:
        """Take the clock of the phases; the provider is found when the first span is made."""
        self._clock = clock
        self._tracer = trace.get_tracer("cidx_jobs", __version__)
        self._runs: dict[JobId, Span] = {}

    def note(self, job: Job, transitions: Sequence[Transition]) -> None:
        """Begin the span of a run that is stored as started, or end that of one that ended."""
        for transition in transitions:
            if transition.to_status is JobStatus.RUNNING:
                if transition.from_status is not JobStatus.RUNNING:
                    self._start_run(job)
            elif transition.from_status is JobStatus.RUNNING:
                span = self._runs.pop(job.job_id, None)
                if span is not None:
                    _end_run(span, job)

    async def around_run(self, context: JobContext[Any], call_next: CallNext) -> Any:
        """Go on with the run, within its span."""
        with _as_current(self._runs.get(context.job.job_id)):
            return await call_next(context)

    @contextmanager
    def around_phase(self, job_id: JobId, name: str) -> Iterator[None]:
        """Make a span of what is done within, a child of the run's."""
        run = self._runs.get(job_id)
        span = None if run is None else _taken(call_foreign(self._start_phase, run, name))
        try:
            with _as_current(span):
                yield
        except BaseException as error:
            if span is not None:
                call_foreign(_note_error, span, type(error).__qualname__, None)
            raise
        finally:
            if span is not None:
                call_foreign(span.end, _nanoseconds(self._clock.now()))

    def close(self) -> None:
        """End the spans of runs whose ends will not be told any more."""
        while self._runs:
            _, span = self._runs.popitem()
            call_foreign(span.end)

    def _start_run(self, job: Job) -> None:
        links = _links(job.traceparent)
        began = _nanoseconds(job.started_at)
        span = self._tracer.start_span(
            f"run {job.job_type}",
            # A root, whatever is current where the start was stored.
            context=otel_context.Context(),
            kind=SpanKind.CONSUMER,
            attributes={
                "cidx_jobs.job_id": job.job_id,
                "cidx_jobs.job_type": job.job_type,
                "cidx_jobs.user_id": job.user_id,
                "cidx_jobs.project_id": job.project_id,
                "cidx_jobs.attempt": job.attempt,
                "cidx_jobs.max_attempts": job.max_attempts,
            },
            links=links,
            start_time=began,
        )
        if not span.get_span_context().is_valid:
            # Nobody has configured a provider.
            return
        self._runs[job.job_id] = span
        wait = self._tracer.start_span(
            "wait",
            context=trace.set_span_in_context(span, otel_context.Context()),
            links=links,
            start_time=_nanoseconds(job.queued_at),
        )
        wait.end(began)

    def _start_phase(self, run: Span, name: str) -> Span:
        return self._tracer.start_span(
            name,
            context=trace.set_span_in_context(run),
            start_time=_nanoseconds(self._clock.now()),
        )


def _end_run(span: Span, job: Job) -> None:
    record = job.attempts[-1]
    span.set_attribute("cidx_jobs.outcome", record.outcome.value)
    span.set_attribute("cidx_jobs.status", job.status.value)
    if record.error is not None:
        _note_error(span, record.error.code, record.error.message)
    span.end(_nanoseconds(record.finished_at))


def _note_error(span: Span, code: str, message: str | None) -> None:
    # Not the exception itself: its text and its traceback may hold what nobody is to see.
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR, code if message is None else f"{code}: {message}"))


@contextmanager
def _as_current(span: Span | None) -> Iterator[None]:
    if span is None:
        yield
        return
    token = otel_context.attach(trace.set_span_in_context(span))
    try:
        yield
    finally:
        otel_context.detach(token)


def _links(traceparent: str | None) -> list[Link]:
    """Return the link to the span that a trace context (W3C) names, if it names one."""
    if traceparent is None:
        return []
    _, trace_id, span_id, flags = traceparent.split("-")
    origin = SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
    return [Link(origin)] if origin.is_valid else []


def _nanoseconds(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // _MICROSECOND * 1_000


def _taken(span: Span | Raised) -> Span | None:
    return None if isinstance(span, Raised) else span
