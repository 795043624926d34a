"""The document of the counts, made from what the store and the newest jobs tell."""

from collections.abc import Sequence
from datetime import datetime

from cidx_jobs.model.findings import Recovery
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.limits import Pauses
from cidx_jobs.model.listing import StoreStats
from cidx_jobs.wire.findings import RecoveryDocument
from cidx_jobs.wire.server import (
    PausesDocument,
    QuantilesDocument,
    SlotUseDocument,
    StatsDocument,
)

SAMPLE = 200
"""How many finished jobs the waits and durations are made of."""


def make_stats(
    stats: StoreStats,
    ended: Sequence[Job],
    *,
    slots: SlotUseDocument,
    pauses: Pauses,
    waiters: int,
    recovery: Recovery,
) -> StatsDocument:
    """Give the document; *ended* are the newest finished jobs, `SAMPLE` at most."""
    return StatsDocument(
        database_id=stats.database_id,
        by_status=dict(stats.by_status),
        by_type=dict(stats.by_type),
        by_user=dict(stats.by_user),
        wait_seconds=_quantiles([_seconds(job.queued_at, job.started_at) for job in ended]),
        run_seconds=_quantiles([_seconds(job.started_at, job.finished_at) for job in ended]),
        sample=len(ended),
        slots=slots,
        pauses=PausesDocument.of(pauses),
        waiters=waiters,
        database_bytes=stats.database_bytes,
        wal_bytes=stats.wal_bytes,
        last_seq=stats.last_sequence,
        recovery=RecoveryDocument.of(recovery),
    )


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    if begin is None or end is None:
        return None
    return max(0.0, (end - begin).total_seconds())


def _quantiles(values: Sequence[float | None]) -> QuantilesDocument:
    known = sorted(value for value in values if value is not None)
    if not known:
        return QuantilesDocument(p50=None, p95=None)
    last = len(known) - 1
    return QuantilesDocument(p50=known[last // 2], p95=known[round(last * 0.95)])
