"""How long finished jobs are kept: by type, and with or without what they hold."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import JobNotFoundError, OptionsRemovedError, SettingsError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.sqlite.doctor import examine_directory
from cidx_jobs.store.tokens import make_token
from cidx_jobs.system import JobSystem
from cidx_jobs.testing import ManualClock
from tests.fakes import WAIT_SECONDS, Gate
from tests.functional.web import AioClient, job_types, open_house, problem_of

HOUR = 3_600.0
OPTIONS = {"names": ["a", "b"], "text": "x" * 2_000}


@asynccontextmanager
async def opened(
    path: Path, clock: ManualClock, store: Persistence | None = None, /, **settings: Any
) -> AsyncIterator[JobSystem]:
    """Open a system with the types that end; it clears away what is old at once."""
    gate = Gate()
    gate.open()
    values = Settings(data_dir=path, **settings)
    async with JobSystem(values, job_types(gate), persistence=store, clock=clock) as jobs:
        yield jobs


async def end_jobs(jobs: JobSystem, *names: str) -> list[Job]:
    """Run a job of each type to its end."""
    made = [
        await jobs.submit("alice", f"p{number}", job_type=name, options=OPTIONS)
        for number, name in enumerate(names)
    ]
    return [await jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in made]


async def until_gone(jobs: JobSystem, job: Job) -> None:
    """Wait until the job is there no more."""
    async with asyncio.timeout(WAIT_SECONDS):
        with contextlib.suppress(JobNotFoundError):
            while (await jobs.get(job.job_id)).done:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.001)


async def until_removed(jobs: JobSystem, job: Job) -> Job:
    """Wait until something of the job was removed."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not (await jobs.get(job.job_id)).removed:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)
    return await jobs.get(job.job_id)


@pytest.mark.slow
async def test_a_type_is_kept_for_its_own_time(tmp_path: Path) -> None:
    """Shorter or longer than all others, and whatever the status says."""
    clock = ManualClock(datetime.now(UTC) - timedelta(days=1))
    async with opened(tmp_path, clock) as jobs:
        quick, gated, broken = await end_jobs(jobs, "quick", "gated", "broken")
    clock.advance(2 * HOUR)
    own = {"quick": "1h", "broken": "3h"}
    times = {"retention_seconds_by_status": {"failed": 1}, "retention_by_type": own}

    async with opened(tmp_path, clock, **times) as jobs:
        await until_gone(jobs, quick)

        assert [job.job_id for job in await jobs.list()] == [broken.job_id, gated.job_id]


@pytest.mark.slow
async def test_options_and_result_go_earlier_than_the_job(tmp_path: Path) -> None:
    """The job stays, says what it lacks, and takes less room; nothing is wrong with the store."""
    clock = ManualClock(datetime.now(UTC) - timedelta(days=1))
    async with opened(tmp_path, clock) as jobs:
        quick, _ = await end_jobs(jobs, "quick", "broken")
        before = await jobs.persistence.jobs.count_bytes(quick.user_id)
    clock.advance(2 * HOUR)

    async with opened(tmp_path, clock, payload_retention_seconds=HOUR) as jobs:
        job = await until_removed(jobs, quick)
        shown = job.document()
        freed = before - await jobs.persistence.jobs.count_bytes(quick.user_id)
        found = await jobs.examine()
        events = [event.event async for event in jobs.events(quick.job_id)]

    assert (shown["options"], shown["result"]) == (None, None)
    assert shown["removed"] == ["options", "result"]
    assert (shown["status"], shown["version"]) == ("completed", quick.version + 1)
    assert shown["finished_at"] == quick.document()["finished_at"]
    assert freed > 2_000 * 3
    assert events[-1] == "complete"
    assert [finding.message for finding in found] == []
    examination = await in_own_thread(examine_directory, DataDirectory(tmp_path))
    assert examination.findings == ()


async def test_a_job_without_its_options_cannot_run_again(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """409 that says why; one that had none can."""
    store = MemoryPersistence()
    clock = ManualClock(datetime.now(UTC) - timedelta(days=1))
    async with opened(tmp_path, clock, store) as jobs:
        (wrong,) = await end_jobs(jobs, "broken")
        bare = await jobs.submit("alice", "q", job_type="broken")
        await jobs.wait(bare.job_id, timeout=WAIT_SECONDS)
    clock.advance(2 * HOUR)
    async with opened(tmp_path, clock, store, payload_retention_seconds=HOUR) as jobs:
        await until_removed(jobs, wrong)
        with pytest.raises(OptionsRemovedError, match="submit it anew"):
            await jobs.retry(wrong.job_id)

    async with open_house(aiohttp_client, tmp_path, (), store) as house:
        refused = await house.ask("POST", f"/api/jobs/{wrong.job_id}/retry")
        taken = await house.ask("POST", f"/api/jobs/{bare.job_id}/retry")

        problem = problem_of(refused, await refused.json())
        assert (refused.status, problem["code"]) == (409, "options_removed")
        assert problem["job_id"] == wrong.job_id
        assert taken.status == 202


async def test_a_reader_sees_that_something_was_removed(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """The tag of before fits no more; job, status and list say the same."""
    store = MemoryPersistence()
    clock = ManualClock(datetime.now(UTC) - timedelta(days=1))
    async with opened(tmp_path, clock, store) as jobs:
        (quick,) = await end_jobs(jobs, "quick")
    clock.advance(2 * HOUR)
    async with opened(tmp_path, clock, store, payload_retention_seconds=HOUR) as jobs:
        await until_removed(jobs, quick)

    async with open_house(aiohttp_client, tmp_path, (), store) as house:
        tag = {"If-None-Match": f'W/"{quick.version}"'}
        whole = await house.ask("GET", f"/api/jobs/{quick.job_id}", headers=tag)
        again = await house.ask(
            "GET", f"/api/jobs/{quick.job_id}", headers={"If-None-Match": whole.headers["ETag"]}
        )
        short = await house.ask("GET", f"/api/jobs/{quick.job_id}/status")
        (row,) = (await (await house.ask("GET", "/api/jobs")).json())["jobs"]

        assert (whole.status, again.status) == (200, 304)
        documents = [await whole.json(), await short.json(), row]
        for document in documents:
            assert document["removed"] == ["options", "result"]
            assert document["result"] is None
        assert [document.get("options", None) for document in documents] == [None] * 3
        assert row["omitted"] == []


async def test_tokens_that_expired_long_ago_are_listed_no_more(tmp_path: Path) -> None:
    """A job of a CI server makes one each time: their rows would stay for ever."""
    store, clock = MemoryPersistence(), ManualClock()
    async with opened(tmp_path, clock, store) as jobs:
        for seconds in (60.0, None):
            _, token = make_token(UserId("ci"), "write", now=clock.now(), lifetime_seconds=seconds)
            await jobs.persistence.tokens.save_token(token)
    clock.advance(31 * 24 * HOUR)

    async with opened(tmp_path, clock, store) as jobs, asyncio.timeout(WAIT_SECONDS):
        tokens = jobs.persistence.tokens
        while len(await tokens.list_tokens()) > 1:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)
        left = await tokens.list_tokens()

    assert [token.expires_at for token in left] == [None]


async def test_a_time_for_a_type_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A typing error would let jobs go too early; a type that has gone may have left jobs."""
    clock = ManualClock()
    store = MemoryPersistence()
    async with opened(tmp_path, clock, store) as jobs:
        await end_jobs(jobs, "quick")
    mistyped = Settings(data_dir=tmp_path, retention_by_type={"qiuck": HOUR})
    left = Settings(data_dir=tmp_path, retention_by_type={"quick": 2 * HOUR})

    with pytest.raises(SettingsError, match=r"no job type qiuck.* mean quick"):
        async with opened(tmp_path, clock, store, retention_by_type=mistyped.retention_by_type):
            pass
    async with JobSystem(left, persistence=store, clock=clock) as jobs:
        notes = [note.message for note in jobs.list_notes() if note.kind == "retention"]
    async with JobSystem(mistyped, clock=clock, shared=True):
        pass

    assert notes == ["retention_by_type names quick, and this server has no such job type"]


async def test_stats_and_doctor_say_how_long_things_are_kept(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Each time that was set, in seconds."""
    times: dict[str, Any] = {
        "retention_seconds": "14d",
        "retention_seconds_by_status": "failed=28d",
        "retention_by_type": "quick=1h,gated=2h",
        "payload_retention_seconds": "1d",
        "project_retention_seconds": "90d",
    }
    async with open_house(aiohttp_client, tmp_path, (), None, **times) as house:
        stats = await (await house.ask("GET", "/api/admin/stats", user="root")).json()
        doctor = await (await house.ask("GET", "/api/admin/doctor", user="root")).json()

    day = 86_400
    assert stats["retention"] == {
        "seconds_by_status": {"completed": 14 * day, "failed": 28 * day, "cancelled": 14 * day},
        "seconds_by_type": {"quick": 3_600, "gated": 7_200},
        "payload_seconds": day,
        "project_seconds": 90 * day,
        "projects_expiring": 0,
        "expiring": [],
    }
    assert doctor["ok"] is True
