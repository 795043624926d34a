"""What the store clears away by the way."""

import asyncio
import sqlite3
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import IdempotencyRecord
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.open import session
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.fakes import FakeClock
from tests.stored import NOON, store_completed, store_running, submitted

ALICE = UserId("alice")
LONG = {"long": "x" * 800_000}


async def test_keys_go_when_nobody_may_come_back_with_them(tmp_path: Path) -> None:
    """With the finished jobs, a day after they came; younger ones stay."""
    clock = FakeClock()
    store = JobPersistence(DataDirectory(tmp_path), clock=clock)
    await store.open()
    try:
        for key, age in (("old", timedelta(hours=25)), ("young", timedelta(hours=23))):
            change = submitted(project_id=key)
            record = IdempotencyRecord(
                user_id=ALICE,
                key=key,
                fingerprint="f",
                job_id=change.job.job_id,
                created_at=clock.now() - age,
            )
            await store.jobs.save_changes([change], idempotency=record)

        await store.jobs.delete_expired_jobs(NOON, frozenset(), 10)
        kept = [
            await store.jobs.find_idempotency_record(ALICE, key, clock.now() - timedelta(days=99))
            for key in ("old", "young")
        ]
    finally:
        await store.close()

    assert [record is not None for record in kept] == [False, True]


@pytest.mark.slow
async def test_a_database_that_is_mostly_free_is_shortened(tmp_path: Path) -> None:
    """Step by step, as old jobs go; a new one was made for that."""
    directory = DataDirectory(tmp_path / "data")
    store = JobPersistence(directory, clock=FakeClock())
    await store.open()
    for number in range(40):
        await store_completed(store.jobs, project_id=f"p{number}", labels={"long": "x" * 60_000})
    before = (await store.jobs.collect_stats()).database_bytes

    for _ in range(8):
        await store.jobs.delete_expired_jobs(
            NOON + timedelta(days=9), frozenset({JobStatus.COMPLETED}), 5
        )

    after = (await store.jobs.collect_stats()).database_bytes
    await store.close()
    assert after < before / 2


@pytest.mark.slow
async def test_the_log_begins_anew_however_many_read_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one reads while the other begins, each would keep the log for the next."""
    monkeypatch.setattr(session, "BUSY_SECONDS", 0.1)
    directory = DataDirectory(tmp_path / "data")
    store = JobPersistence(directory, clock=FakeClock(), synchronous="NORMAL")
    await store.open()
    lists = [asyncio.create_task(_read_all_the_time(store)) for _ in range(2)]
    sizes = []
    for number in range(80):
        await store.jobs.save_changes([submitted(project_id=f"p{number}", labels=LONG)])
        sizes.append((await store.jobs.collect_stats()).wal_bytes)
    for reading in lists:
        reading.cancel()
    await asyncio.gather(*lists, return_exceptions=True)
    await store.close()

    written = 80 * len(LONG["long"])
    assert max(sizes) < written / 2


async def _read_all_the_time(store: JobPersistence) -> None:
    while True:
        await store._database.search(_read_slowly)


def _read_slowly(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM owner").fetchone()
    time.sleep(0.03)
    connection.execute("COMMIT")


async def test_counts_of_users_go_with_the_last_of_their_jobs(tmp_path: Path) -> None:
    """Users come and go over the years: a row for each would stay for ever."""
    directory = DataDirectory(tmp_path / "data")
    store = JobPersistence(directory, clock=FakeClock())
    await store.open()
    for user in ("alice", "bob"):
        await store_completed(store.jobs, user_id=user)
    await store_running(store.jobs, user_id="bob", project_id="q")

    await store.jobs.delete_expired_jobs(NOON + timedelta(days=9), frozenset(JobStatus), 10)

    counts, sizes = await store._database.look_up(_read_counts)
    left = await store.jobs.count_bytes(ALICE), (await store.jobs.collect_stats()).by_user
    await store.close()
    assert (counts, sizes, left) == ([], [("bob",)], (0, {"bob": 1}))


def _read_counts(connection: sqlite3.Connection) -> tuple[list[Any], list[Any]]:
    counts = connection.execute("SELECT user_id FROM finals").fetchall()
    return counts, connection.execute("SELECT user_id FROM stored_bytes").fetchall()
