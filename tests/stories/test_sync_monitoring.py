"""Feature 12, "Sync Job Monitoring and Progress Tracking", story by story, on a real server.

The server is a process of its own, asked over HTTP by the clients that ship with it; the
repository is a real one of some thousand files.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest

from cidx_jobs.client import JobPollingEngine, JobsClient, PollingConfig
from cidx_jobs.client.errors import ConflictError, JobCancelledError, JobFailedError
from cidx_jobs.wire.jobs import JobDocument
from tests.sync_kit import Repository

ROOT = Path(__file__).parents[2]
FILES = 4_100
"""More than two batches of the index: each one's end is told, however quick the machine is."""
PATIENCE_SECONDS = 30.0
# The sync takes a second, in which a user's own watching would see its progress twice.
CLOSELY = PollingConfig(window_seconds=0.0)

# Each test starts a server process and syncs a repository of some thousand files.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Give a repository of some thousand files with text worth finding."""
    repository = Repository(tmp_path_factory.mktemp("remotes") / "code")
    repository.commit(
        {
            f"pkg{n % 20}/module_{n}.py": f"def function_{n}():\n    return 'needle {n}'\n" * 5
            for n in range(FILES)
        }
    )
    return repository


@attrs.define
class House:
    """A directory that a server process serves, and the client's side of it."""

    data_dir: Path
    repository: Repository
    process: asyncio.subprocess.Process | None = None
    client: JobsClient | None = None

    @asynccontextmanager
    async def serving(self, **settings: str) -> AsyncIterator[JobsClient]:
        """Run the server; it is stopped by SIGTERM and must end with 0, unless it was killed."""
        await self.start(**settings)
        try:
            async with JobsClient(await self.url()) as client:
                yield client
        finally:
            await self.stop()

    async def start(self, **settings: str) -> None:
        """Start the server process on a free port."""
        variables = {
            "CIDX_JOBS_DATA_DIR": str(self.data_dir),
            "CIDX_JOBS_PORT": "0",
            "CIDX_JOBS_GIT_LOCAL_ROOTS": str(self.repository.path.parent),
            "CIDX_JOBS_SHUTDOWN_GRACE_SECONDS": "0",
        }
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cidx_jobs", "serve",
            cwd=ROOT, env=os.environ | variables | settings,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def url(self) -> str:
        """Wait until the server takes work, and give where."""
        server_file = self.data_dir / "server.json"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if server_file.exists() and f'"pid":{self.pid}' in _squeezed(server_file):
                    return str(_read_json(server_file)["url"])
                await asyncio.sleep(0.02)

    @property
    def pid(self) -> int:
        """The process of the server."""
        assert self.process is not None
        return self.process.pid

    async def stop(self) -> None:
        """Stop the server as an operator does; a clean stop ends with 0."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS) == 0

    async def kill(self) -> None:
        """End the server as a crash does."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()


@pytest.fixture
def house(tmp_path: Path, repository: Repository) -> House:
    """Give a house with a data directory of the test's own."""
    return House(tmp_path / "data", repository)


class TestStory121SyncJobSubmissionAndTracking:
    """Story 12.1: sync jobs are submitted and their execution status is monitored."""

    async def test_a_sync_is_tracked_from_submission_to_completion(self, house: House) -> None:
        """Submitted, watched to its end, and what it indexed can be searched."""
        async with house.serving() as client:
            submitted = await client.sync("code", repository_url=house.repository.url)
            done = await JobPollingEngine(client).start_polling(submitted.job_id)
            events = await client.list_events(submitted.job_id)
            found = await client.search("code", "needle 1234")

        assert submitted.status in {"queued", "running"}
        assert done.status == "completed"
        assert done.result is not None
        assert done.result["files_total"] == done.result["files_indexed"] == FILES
        assert done.result["commit_after"] == house.repository.git("rev-parse", "HEAD").strip()
        assert [event.event for event in events.events] == [
            "submit",
            "enqueue",
            "start",
            "complete",
        ]
        first = found.hits[0]
        assert (first.path, first.line_number) == ("pkg14/module_1234.py", 2)

    async def test_jobs_include_git_operations_and_full_indexing(self, house: House) -> None:
        """Each phase is there with its share and its time."""
        async with house.serving() as client:
            submitted = await client.sync("code", repository_url=house.repository.url)
            done = await JobPollingEngine(client).start_polling(submitted.job_id)

        assert [phase.name for phase in done.phases] == [
            "preparing",
            "git_sync",
            "change_detection",
            "indexing",
            "validation",
        ]
        assert all(phase.status == "completed" for phase in done.phases)
        assert round(sum(phase.weight for phase in done.phases), 3) == 1

    async def test_a_server_that_is_killed_goes_on_with_the_sync(self, house: House) -> None:
        """Kill -9 in the middle: after the next start the job runs on to its end."""
        await house.start()
        async with JobsClient(await house.url()) as client:
            submitted = await client.sync("code", repository_url=house.repository.url)
            await _until_progress(client, submitted.job_id, 5)
            await house.kill()
        async with house.serving() as client:
            done = await JobPollingEngine(client).start_polling(submitted.job_id)
            found = await client.search("code", "needle 1999")

        assert done.status == "completed"
        assert (done.attempt, [a.outcome for a in done.attempts]) == (
            1,
            ["interrupted", "completed"],
        )
        assert found.hits


class TestStory122RealTimeProgressMonitoring:
    """Story 12.2: progress is seen while it happens, by polling and callbacks."""

    async def test_callbacks_hear_of_progress_that_never_goes_back(self, house: House) -> None:
        """CIDX's callback: (current, total, file_path, info)."""
        heard: list[tuple[int, int]] = []

        def hear(current: int, total: int, file_path: Path, info: str = "") -> None:
            assert isinstance(file_path, Path)
            assert isinstance(info, str)
            if total:
                heard.append((current, total))

        async with house.serving(CIDX_JOBS_PROGRESS_INTERVAL_SECONDS="0.02") as client:
            submitted = await client.sync("code", repository_url=house.repository.url)
            await JobPollingEngine(client, hear, config=CLOSELY).start_polling(submitted.job_id)

        shares = [current / total for current, total in heard]
        assert len(set(shares)) > 2
        assert shares == sorted(shares)
        assert shares[-1] == 1

    async def test_the_stored_progress_never_goes_back(self, house: House) -> None:
        """Every version that a long-poll sees is at or above the one before."""
        seen: list[JobDocument] = []
        async with house.serving(CIDX_JOBS_PROGRESS_INTERVAL_SECONDS="0.02") as client:
            submitted = await client.sync("code", repository_url=house.repository.url)
            engine = JobPollingEngine(client, on_change=seen.append, config=CLOSELY)
            await engine.start_polling(submitted.job_id)

        assert [job.version for job in seen] == sorted({job.version for job in seen})
        assert [job.progress for job in seen] == sorted(job.progress for job in seen)
        assert seen[-1].progress == 100


class TestStory123JobManagementOperations:
    """Story 12.3: jobs are listed, queried and managed."""

    async def test_jobs_are_listed_and_found_by_status_and_project(self, house: House) -> None:
        """The newest first, with exact totals."""
        async with house.serving() as client:
            jobs = [await client.submit("repository_sync", f"p{n}", hold=True,
                                        options={"repository_url": house.repository.url})
                    for n in range(3)]  # fmt: skip
            await client.cancel_job(jobs[0].job_id)
            waiting = await client.list_jobs(status=["created"])
            cancelled = await client.list_jobs(status=["cancelled"])

        assert [job.job_id for job in waiting.jobs] == [jobs[2].job_id, jobs[1].job_id]
        assert (waiting.total, [job.job_id for job in cancelled.jobs]) == (2, [jobs[0].job_id])

    async def test_a_running_sync_is_cancelled_and_leaves_nothing_behind(
        self, house: House
    ) -> None:
        """Its watcher is told, and no child process is left."""
        async with house.serving() as client:
            submitted = await client.sync("code", repository_url=house.repository.url)
            await _until_progress(client, submitted.job_id, 1)
            await client.cancel_job(submitted.job_id, "not now")
            with pytest.raises(JobCancelledError):
                await JobPollingEngine(client).start_polling(submitted.job_id)
            left = _children_of(house.pid)

        assert left == []

    async def test_a_failed_sync_says_what_to_do_and_can_be_retried(self, house: House) -> None:
        """Error handling: its own code, a sentence, actions; a retry on request tries again."""
        async with house.serving() as client:
            missing = f"{house.repository.path.parent}/missing"
            submitted = await client.sync("code", repository_url=missing)
            with pytest.raises(JobFailedError) as caught:
                await JobPollingEngine(client).start_polling(submitted.job_id)
            failed = await client.get_job(submitted.job_id)
            again = await client.retry_job(submitted.job_id)
            with pytest.raises(JobFailedError):
                await JobPollingEngine(client).start_polling(again.job_id)

        assert str(missing) not in str(caught.value)
        assert failed.error is not None
        assert failed.error.code.startswith("GIT-")
        assert failed.error.actions

    async def test_concurrent_requests_for_a_project_share_a_run(self, house: House) -> None:
        """Resource control: one project, one run; what cannot be joined may be refused."""
        async with house.serving() as client:
            await client.pause()
            url = house.repository.url
            first = await client.sync("code", repository_url=url)
            with pytest.raises(ConflictError):
                await client.sync("code", on_conflict="reject")
            joined = await client.sync("code")
            await client.resume()
            await JobPollingEngine(client).start_polling(joined.job_id)

        assert joined.job_id == first.job_id


async def _until_progress(client: JobsClient, job_id: str, progress: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        polled = await client.poll_job(job_id)
        while polled.job.progress < progress:
            polled = await client.poll_job(job_id, known=polled, wait_seconds=10)


def _children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()


def _squeezed(path: Path) -> str:
    return path.read_text("utf-8").replace(" ", "")


def _read_json(path: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads(path.read_text("utf-8"))
    return document
