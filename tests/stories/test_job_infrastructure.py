"""The checklist and the success criteria of "Server-Side Job Infrastructure", line by line."""

import asyncio
import sqlite3
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cidx_jobs import InvalidTransitionError, JobNotFoundError, JobStatus, JobSystem, Settings
from cidx_jobs.clock import SystemClock
from cidx_jobs.model.ids import ProjectId, UserId, is_job_id
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.settings import DataDirectory
from tests.fakes import WAIT_SECONDS, Gate


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the defaults in a directory of the test's own, with an impatient stop."""
    return Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=0)


@pytest.fixture
def gate() -> Gate:
    """Give a job type whose runs the test lets through."""
    return Gate()


async def submit_gated(jobs: JobSystem, count: int, user: str = "u") -> list[str]:
    """Submit jobs at once; give their ids in order."""
    submits = [jobs.submit(user, f"p{n}", job_type="gated") for n in range(count)]
    return [job.job_id for job in await asyncio.gather(*submits)]


class TestStory11JobManagerFoundation:
    """Story 1.1."""

    async def test_jobs_are_created_with_unique_ids(self, settings: Settings, gate: Gate) -> None:
        """Job creation with unique IDs."""
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            ids = await submit_gated(jobs, 100)

        assert len(set(ids)) == 100
        assert all(is_job_id(job_id) for job_id in ids)

    async def test_states_change_only_along_the_edges(
        self, settings: Settings, gate: Gate
    ) -> None:
        """State transition management."""
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            [job_id] = await submit_gated(jobs, 1)
            await gate.arrived(1)
            job = await jobs.get(job_id)
            with pytest.raises(InvalidTransitionError):
                await jobs.manager.update_job_status(job.job_id, JobStatus.RUNNING)
            gate.open()
            done = await jobs.wait(job_id, timeout=WAIT_SECONDS)
            edges = [(row.from_status, row.to_status) async for row in jobs.events(job_id)]

        assert done.status is JobStatus.COMPLETED
        assert edges == [
            (None, "created"),
            ("created", "queued"),
            ("queued", "running"),
            ("running", "completed"),
        ]

    async def test_metadata_is_stored(self, settings: Settings, gate: Gate) -> None:
        """Job metadata storage: labels, options, priority and times come back as they were."""
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            job = await jobs.submit(
                "u", "p", job_type="gated", options={"deep": [1, {"x": None}]},
                priority=3, labels={"origin": "ci"}, hold=True, timeout_seconds=77,
            )  # fmt: skip
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            loaded = await jobs.get(job.job_id)

        assert loaded == job

    async def test_a_job_belongs_to_its_user(self, settings: Settings, gate: Gate) -> None:
        """User association tracking."""
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            [of_a] = await submit_gated(jobs, 1, "a")
            [of_b] = await submit_gated(jobs, 1, "b")
            listed = await jobs.manager.list_user_jobs(UserId("a"))

        assert [job.job_id for job in listed] == [of_a] != [of_b]


class TestStory12JobPersistenceLayer:
    """Story 1.2."""

    async def test_the_schema_is_in_sqlite(self, settings: Settings) -> None:
        """SQLite database schema."""
        async with JobSystem.open(settings):
            pass

        with sqlite3.connect(DataDirectory(settings.data_dir).database) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
        db.close()
        assert "jobs" in tables

    async def test_jobs_are_created_read_updated_and_deleted(
        self, settings: Settings, gate: Gate
    ) -> None:
        """CRUD operations."""
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            job = await jobs.submit("u", "p", job_type="gated", hold=True)
            await jobs.manager.revise_job(job.job_id, priority=9)
            updated = await jobs.persistence.load_job(job.job_id)
            await jobs.cancel(job.job_id)
            later = jobs.clock.now() + timedelta(days=8)
            deleted = await jobs.persistence.delete_expired_jobs(
                later, frozenset({JobStatus.CANCELLED}), 10
            )
            left = await jobs.persistence.load_job(job.job_id)

        assert updated is not None
        assert (updated.priority, list(deleted), left) == (9, [job.job_id], None)

    async def test_jobs_can_be_queried(self, settings: Settings, gate: Gate) -> None:
        """Query capabilities: by user, status, type, project and label."""
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            held = await jobs.submit(
                "u", "p", job_type="gated", hold=True, labels={"team": "search"}
            )
            await submit_gated(jobs, 2)
            found = [
                await jobs.manager.query_jobs(query)
                for query in (
                    JobQuery(statuses=frozenset({JobStatus.CREATED})),
                    JobQuery(user_id=UserId("u"), project_id=ProjectId("p")),
                    JobQuery(labels=(("team", "search"),), job_type="gated"),
                )
            ]

        assert [[job.job_id for job in page.jobs] for page in found] == [[held.job_id]] * 3

    async def test_old_jobs_are_cleared_away(self, settings: Settings, gate: Gate) -> None:
        """Cleanup routines: a finished job whose time is over is gone after the next start."""
        gate.open()
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            [job_id] = await submit_gated(jobs, 1)
            done = await jobs.wait(job_id, timeout=WAIT_SECONDS)
        assert done.finished_at is not None
        short = Settings(data_dir=settings.data_dir, retention_seconds=1)
        async with JobSystem.open(short, clock=_ClockAhead(seconds=5)) as jobs:
            for _ in range(200):
                try:
                    await jobs.get(job_id)
                except JobNotFoundError:
                    return
                await asyncio.sleep(0.01)

        pytest.fail("the job is still there")


class _ClockAhead:
    """The machine's clocks, some seconds later."""

    def __init__(self, seconds: float) -> None:
        self._system = SystemClock()
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._system.now() + self._ahead

    def monotonic(self) -> float:
        return self._system.monotonic()


class TestStory13ConcurrentJobControl:
    """Story 1.3, and "Support 10 concurrent jobs per user"."""

    async def test_ten_jobs_of_a_user_run_and_the_others_wait_in_line(
        self, settings: Settings, gate: Gate
    ) -> None:
        """Per-user job limits, resource slot management, queue position tracking."""
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            ids = await submit_gated(jobs, 13)
            await gate.arrived(10)
            waiting = [await jobs.get(job_id) for job_id in ids[10:]]
            places = [jobs.manager.queue_status(job) for job in waiting]
            running = jobs.concurrency.count_running(UserId("u"))
            gate.open()
            for job_id in ids:
                await jobs.wait(job_id, timeout=WAIT_SECONDS)
            left = jobs.concurrency.count_running()

        assert (running, left, gate.most_running) == (10, 0, 10)
        assert [(place.position, place.blocked_by) for place in places if place] == [
            (1, ("user_limit",)),
            (2, ("user_limit",)),
            (3, ("user_limit",)),
        ]

    async def test_higher_priorities_go_first(self, tmp_path: Path, gate: Gate) -> None:
        """Priority handling."""
        settings = Settings(data_dir=tmp_path, max_running_total=1, shutdown_grace_seconds=0)
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            await submit_gated(jobs, 1)
            await gate.arrived(1)
            ids = [
                (await jobs.submit("u", "p", job_type="gated", priority=p)).job_id
                for p in (1, 9, 5)
            ]
            gate.open()
            for job_id in ids:
                await jobs.wait(job_id, timeout=WAIT_SECONDS)

        started = [context.job.priority for context in gate.contexts[1:]]
        assert started == [9, 5, 1]


class TestSuccessCriteria:
    """What the feature is measured by."""

    async def test_jobs_persist_across_restarts(self, settings: Settings, gate: Gate) -> None:
        """Jobs persist across server restarts: the waiting, the running and the finished."""
        gate.open()
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            [finished] = await submit_gated(jobs, 1)
            done = await jobs.wait(finished, timeout=WAIT_SECONDS)
            gate.close()
            [running] = await submit_gated(jobs, 1)
            await gate.arrived(2)
            held = await jobs.submit("u", "p", job_type="gated", hold=True)
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            await gate.arrived(3)
            again = await jobs.get(running)

            assert await jobs.get(finished) == done
            assert await jobs.get(held.job_id) == held
            assert (again.status, again.attempt, again.run) == (JobStatus.RUNNING, 1, 2)

    async def test_transitions_are_atomic(self, settings: Settings, gate: Gate) -> None:
        """Job state transitions are atomic: each row agrees with the last row of its log."""
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            ids = await submit_gated(jobs, 30)
            await gate.arrived(10)
            await asyncio.gather(*[jobs.cancel(job_id) for job_id in ids])
            gate.open()
            for job_id in ids:
                await jobs.wait(job_id, timeout=WAIT_SECONDS)
        with sqlite3.connect(DataDirectory(settings.data_dir).database) as db:
            differing = db.execute(
                "SELECT count(*) FROM jobs JOIN events USING (job_id) WHERE seq ="
                " (SELECT max(seq) FROM events AS e WHERE e.job_id = jobs.job_id)"
                " AND (status <> to_status OR jobs.version < events.version)"
            ).fetchone()
        db.close()

        assert differing == (0,)

    @pytest.mark.slow
    async def test_queries_take_less_than_100_milliseconds(
        self, tmp_path: Path, gate: Gate
    ) -> None:
        """Query performance <100ms, with ten thousand jobs stored."""
        settings = Settings(data_dir=tmp_path, max_queued_per_user=20_000)
        async with JobSystem.open(settings, [gate.job_type]) as jobs:
            for _ in range(10):
                submits = [
                    jobs.submit("u", "p", job_type="gated", hold=True) for _ in range(1_000)
                ]
                await asyncio.gather(*submits)
            began = time.perf_counter()
            page = await jobs.manager.query_jobs(
                JobQuery(user_id=UserId("u"), statuses=frozenset({JobStatus.CREATED}))
            )
            took = time.perf_counter() - began

        assert len(page.jobs) == 50
        assert took < 0.1
