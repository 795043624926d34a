"""What the store clears away by the way."""

from datetime import timedelta
from pathlib import Path

from cidx_jobs.model.ids import UserId
from cidx_jobs.model.listing import IdempotencyRecord
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.fakes import FakeClock
from tests.stored import NOON, submitted

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
