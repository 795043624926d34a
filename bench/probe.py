"""The probe of P1: the product's own statements for a job, in one thread, without asyncio.

They are those of November 2026, frozen in ``probe.sql`` with their schema, so that what the engine
costs beside its statements is one number, and a better schema counts as a gain. Every row is
encoded before the clock runs.
"""

import re
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

_NONE = -(2**63)
_AT = 1_796_105_015_700_303
_ATTEMPTS = (
    '[{"attempt":1,"error":null,"finished_at":"2026-11-22T06:03:35.703622Z",'
    '"outcome":"completed","started_at":"2026-11-22T06:03:35.702195Z"}]'
)
_PART = re.compile(r"^-- name: (.+)$", re.MULTILINE)

Row = tuple[Any, ...]


@attrs.frozen
class _Step:
    """What one commit stores of its jobs: a statement for each, and their rows of the log."""

    statement: str
    rows: Sequence[Row]
    events: Sequence[Row]
    finals: Sequence[Row]
    last_sequence: int


def probe_cpu_seconds(folder: Path, jobs: int, users: int, batch: int) -> float:
    """Return the CPU time of the statements of so many jobs, *batch* of them in each commit."""
    parts = _read_parts()
    steps = list(_make_steps(jobs, users, batch))
    db = sqlite3.connect(folder / "probe.db", isolation_level=None, cached_statements=512)
    try:
        db.executescript(parts["pragmas"])
        db.executescript(parts["schema"])
        began = time.process_time()
        for step in steps:
            _store(db, parts, step)
        return time.process_time() - began
    finally:
        db.close()


def _store(db: sqlite3.Connection, parts: dict[str, str], step: _Step) -> None:
    db.execute("BEGIN IMMEDIATE")
    cursor = db.cursor()
    statement = parts[step.statement]
    for row in step.rows:
        cursor.execute(statement, row)
        assert cursor.rowcount == 1
    cursor.executemany(parts["insert event"], step.events)
    if step.finals:
        cursor.executemany(parts["count final"], step.finals)
    cursor.execute(parts["own batch"], (step.last_sequence, 1.0, 0))
    db.execute("COMMIT")


def _read_parts() -> dict[str, str]:
    text = (Path(__file__).parent / "probe.sql").read_text("utf-8")
    _, *rest = _PART.split(text)
    return dict(zip(rest[::2], (part.strip() for part in rest[1::2]), strict=True))


def _make_steps(jobs: int, users: int, batch: int) -> Iterator[_Step]:
    sequence = 0
    for first in range(0, jobs, batch):
        numbers = range(first, min(first + batch, jobs))
        some = [(_make_id(number), f"u{number % users}", number) for number in numbers]
        for statement, rows in (
            ("insert job", [_inserted(*one) for one in some]),
            ("start job", [_started(job_id) for job_id, _, _ in some]),
            ("end job", [_ended(job_id) for job_id, _, _ in some]),
        ):
            events = [
                (sequence + number, *event)
                for number, event in enumerate(_events(statement, some), start=1)
            ]
            sequence += len(events)
            finals = [(user, "noop", "completed", 1) for _, user, _ in some]
            yield _Step(
                statement, rows, events, finals if statement == "end job" else (), sequence
            )


def _make_id(number: int) -> str:
    """Return an id that grows with time, as UUIDv7 does."""
    return str(uuid.UUID(int=(0x01A23033_9194_7000 + number << 64) | 0xB996587C7DF9D113))


def _inserted(job_id: str, user: str, number: int) -> Row:
    return (
        job_id, "noop", user, "p", 3_600.0, _AT, 2, _AT, "queued", 5, 3, 3, _AT,
        _NONE, _NONE, 29_935_078.5, number, number,
    )  # fmt: skip


def _started(job_id: str) -> Row:
    return (3, _AT, "running", 1, 1, 1, _AT, job_id, 2)


def _ended(job_id: str) -> Row:
    return (4, _AT, 100, "completed", _AT, "{}", _ATTEMPTS, job_id, 3)


def _events(statement: str, some: Sequence[tuple[str, str, int]]) -> Iterator[Row]:
    for job_id, user, _ in some:
        if statement == "insert job":
            yield (job_id, 1, user, "submit", _NONE, "created", _AT, 0, 0, _NONE)
            yield (job_id, 2, user, "enqueue", "created", "queued", _AT, 0, 0, _NONE)
        elif statement == "start job":
            yield (job_id, 3, user, "start", "queued", "running", _AT, 1, 1, _NONE)
        else:
            yield (job_id, 4, user, "complete", "running", "completed", _AT, 1, 1, _NONE)
