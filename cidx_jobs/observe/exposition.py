"""Metrics as text: that of Prometheus, or of OpenMetrics. It needs the extra ``metrics``."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics

from cidx_jobs.observe.figures import Figures
from cidx_jobs.runtime.meters import Histogram, Meters

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN = openmetrics.CONTENT_TYPE_LATEST


def write_metrics(meters: Meters, figures: Figures, *, is_open: bool) -> tuple[bytes, str]:
    """Return the metrics as text, and the type of it."""
    registry = CollectorRegistry()
    collected: Any = _Collected(meters, figures)
    registry.register(collected)
    ProcessCollector(registry=registry)
    if is_open:
        # It has no types.
        generate: Any = openmetrics.generate_latest
        return generate(registry), OPEN
    return generate_latest(registry), PLAIN


@attrs.frozen(eq=False)
class _Collected:
    """Makes the families of our metrics, as a collector of the library's."""

    _meters: Meters
    _figures: Figures

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._jobs()
        yield from self._queue()
        yield from self._store()
        yield from self._requests()
        yield InfoMetricFamily("cidx_jobs", "The server.", value=dict(self._figures.info))

    def _jobs(self) -> Iterator[Metric]:
        figures, meters = self._figures, self._meters
        jobs = GaugeMetricFamily("cidx_jobs_jobs", "Stored jobs.", labels=["status", "job_type"])
        for (status, job_type), count in figures.jobs.items():
            jobs.add_metric([status, job_type], count)
        yield jobs
        yield _histogram("cidx_jobs_job_run_seconds", "How long runs take.", meters.runs)
        yield _histogram(
            "cidx_jobs_job_wait_seconds", "From a job's queueing to its start.", meters.waits
        )
        yield _histograms(
            "cidx_jobs_phase_seconds", "How long phases take.", "phase", meters.phases
        )
        ends = CounterMetricFamily(
            "cidx_jobs_job_ends",
            "Ends of jobs (completed, failed, cancelled), and of runs whose job goes on "
            "(retried, interrupted).",
            labels=["job_type", "outcome", "code"],
        )
        for labels, count in tuple(meters.ends.items()):
            ends.add_metric(labels, count)
        yield ends

    def _queue(self) -> Iterator[Metric]:
        figures = self._figures
        yield _gauge(
            "cidx_jobs_queue_oldest_seconds",
            "How long the job waits that was queued first; 0 where none does.",
            figures.oldest_seconds,
        )
        in_use = GaugeMetricFamily(
            "cidx_jobs_slots_in_use",
            "Units in use; of the resource jobs, jobs that run.",
            labels=["resource"],
        )
        limit = GaugeMetricFamily(
            "cidx_jobs_slots_limit", "Units that there are.", labels=["resource"]
        )
        for resource, (used, most) in figures.slots.items():
            in_use.add_metric([resource], used)
            limit.add_metric([resource], most)
        yield in_use
        yield limit
        hosts = GaugeMetricFamily(
            "cidx_jobs_host_up", "Whether a code host answers.", labels=["host"]
        )
        for host, is_up in figures.hosts.items():
            hosts.add_metric([host], int(is_up))
        yield hosts
        yield _gauge("cidx_jobs_waiters", "Requests that wait.", figures.waiters)

    def _store(self) -> Iterator[Metric]:
        figures, meters = self._figures, self._meters
        yield _histogram("cidx_jobs_commit_seconds", "How long commits take.", meters.commits)
        yield _histogram(
            "cidx_jobs_commit_batch_jobs", "Changes that share a commit.", meters.batches
        )
        yield _histogram(
            "cidx_jobs_loop_lag_seconds", "How late the event loop is.", meters.loop_lag
        )
        yield _gauge("cidx_jobs_database_bytes", "The database.", figures.database_bytes)
        yield _gauge("cidx_jobs_wal_bytes", "Its write-ahead log.", figures.wal_bytes)
        if figures.free_bytes is not None:
            yield _gauge("cidx_jobs_disk_free_bytes", "Room on the disk.", figures.free_bytes)
        if figures.backup_age_seconds is not None:
            yield _gauge(
                "cidx_jobs_backup_age_seconds",
                "The age of the newest backup.",
                figures.backup_age_seconds,
            )
        yield CounterMetricFamily(
            "cidx_jobs_backup_failures",
            "Backups that failed since the start.",
            value=figures.backup_failures,
        )
        yield CounterMetricFamily(
            "cidx_jobs_log_lines_dropped",
            "Lines of the log that were lost.",
            value=figures.lines_dropped,
        )

    def _requests(self) -> Iterator[Metric]:
        meters = self._meters
        requests = CounterMetricFamily(
            "cidx_jobs_http_requests", "Answers.", labels=["route", "method", "status"]
        )
        for labels, count in tuple(meters.requests.items()):
            requests.add_metric(labels, count)
        yield requests
        yield _histograms(
            "cidx_jobs_http_request_seconds",
            "How long answers take, with the time in a long poll.",
            "route",
            meters.request_seconds,
        )


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _histogram(name: str, about: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(name, about)
    family.add_metric([], _buckets(histogram), histogram.sum)
    return family


def _histograms(name: str, about: str, label: str, known: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, about, labels=[label])
    for value, histogram in tuple(known.items()):
        family.add_metric([value], _buckets(histogram), histogram.sum)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    bounds = (*map(float, histogram.bounds), float("inf"))
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
    return buckets
