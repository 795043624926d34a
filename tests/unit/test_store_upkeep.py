"""What the store clears away by the way."""

from datetime import timedelta
from pathlib import Path

import pytest

from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.listing import IdempotencyRecord
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.fakes import FakeClock
from tests.stored import NOON, store_completed, submitted

ALICE = UserId("alice")


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
